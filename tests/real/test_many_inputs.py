"""Ten thousand inputs in one request: they are taken, and told of, by a web server that stays quick and small."""

from __future__ import annotations

import http.client
import json
from pathlib import Path

import pytest

from tests.real.test_large_files import peak
from tests.servers import Portal, portal_in_one

pytestmark = pytest.mark.real

COUNT = 10_000
MOST_MORE = 150_000_000
EDGE = "edge-of-parts"
LIFTED = {"PORTAL_WORKERS": "1", "PORTAL_QUOTA_BYTES": ""}


def test_it_takes_ten_thousand_inputs_and_tells_of_them(tmp_path: Path) -> None:
    with portal_in_one(tmp_path / "data", LIFTED) as portal:
        before = peak(portal)
        batch = sent(portal, body())
        more = peak(portal) - before
        page = asked(portal, f"/batches/{batch}")
        last = asked(portal, f"/batches/{batch}?after={COUNT - 2}")
        live = asked(portal, f"/batches/{batch}/progress")
        told = json.loads(asked(portal, f"/analytics_automated/submission/{batch}.json"))
        first, final = (told["submissions"][place]["input_file"] for place in (0, -1))
        contents = asked(portal, first), asked(portal, final)

    assert f"{COUNT:,} runs" in page and "in0.txt" in page
    assert f"in{COUNT - 1}.txt" in last
    assert live.count("<tr role=") == page.count("<tr role=") <= 101
    assert len(told["submissions"]) == COUNT
    assert contents == ("word 0\n", f"word {COUNT - 1}\n")
    assert more < MOST_MORE


def body() -> bytes:
    fields = {"job": "word_count", "submission_name": "many", "email": "ann@example.org"}
    parts = [part(f'name="{name}"', value) for name, value in fields.items()]
    parts += [part(f'name="input_data"; filename="in{number}.txt"', f"word {number}\n") for number in range(COUNT)]
    return "".join([*parts, f"--{EDGE}--\r\n"]).encode()


def part(about: str, content: str) -> str:
    return f"--{EDGE}\r\nContent-Disposition: form-data; {about}\r\n\r\n{content}\r\n"


def sent(portal: Portal, form: bytes) -> str:
    """The batch of what was sent."""
    connection = connected(portal)
    headers = {"Content-Type": f"multipart/form-data; boundary={EDGE}"}
    connection.request("POST", "/analytics_automated/submission.json", form, headers)
    answer = connection.getresponse()
    told = json.loads(answer.read())
    assert answer.status == 201, told
    return str(told["UUID"])


def asked(portal: Portal, address: str) -> str:
    connection = connected(portal)
    connection.request("GET", address)
    answer = connection.getresponse()
    text = answer.read().decode()
    assert answer.status == 200, text
    return text


def connected(portal: Portal) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", int(portal.settings["PORT"]), timeout=300)
