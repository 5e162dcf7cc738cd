"""Files of hundreds of megabytes are checked, taken and given by processes that stay small."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT, Portal, portal_in_one
from tests.validators.test_every_validator import LONG

pytestmark = pytest.mark.real

SIZES = {"csv": 100, "pdb": 100, "fasta protein": 100, "regex [a-z ]+": 50, "gif": 100}
MOST_MEGABYTES = 20
CODE = """
import resource, sys
from portal import validators
from tests.validators.samples import Endless
from tests.validators.test_every_validator import LONG

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

entry, size = sys.argv[1], int(sys.argv[2]) * 1_000_000
piece, begin, end = LONG[entry]
validators.check(entry, Endless(1_000_000, piece, begin, end))
before = peak()
print(validators.check(entry, Endless(size, piece, begin, end)), peak() - before)
"""


@pytest.mark.parametrize("entry", LONG)
def test_it_checks_a_large_file_in_little_memory(entry: str) -> None:
    size = str(SIZES.get(entry, 300))
    done = subprocess.run(
        [sys.executable, "-c", CODE, entry, size], cwd=ROOT, capture_output=True, text=True, check=True
    )

    answer, more = done.stdout.split()
    assert answer == "None"
    assert int(more) < MOST_MEGABYTES


LARGE = 300_000_000
PIECE = b"0123456789abcde\n" * 65_536
MOST_MORE = 80_000_000
EDGE = "edge-of-parts"


def test_it_takes_and_gives_a_large_file_in_little_memory(tmp_path: Path) -> None:
    with portal_in_one(tmp_path / "data", {"PORTAL_QUOTA_BYTES": ""}) as portal:
        before = peak(portal)
        name = sent(portal, body(tmp_path, "word_count"))
        sizes = [fetched(portal, name) for _ in range(2)]
        part = fetched(portal, name, {"Range": "bytes=299000000-299000099"})
        more = peak(portal) - before

    assert (sizes, part) == ([LARGE, LARGE], 100)
    assert more < MOST_MORE


def peak(portal: Portal) -> int:
    """The most memory that a process of the web server has had."""
    found = [int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024 for status in _web_servers(portal)]
    return max(found)


def _web_servers(portal: Portal) -> list[str]:
    ours = ["pgrep", "-f", f"gunicorn.*127.0.0.1:{portal.settings['PORT']}"]
    numbers = subprocess.run(ours, capture_output=True, text=True, check=True).stdout.split()
    return [Path(f"/proc/{number}/status").read_text() for number in numbers]


def body(directory: Path, job: str) -> Path:
    """The form, on disk."""
    form = directory / "form"
    with form.open("wb") as file:
        for name, value in {"job": job, "submission_name": "large", "email": "ann@example.org"}.items():
            file.write(f'--{EDGE}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
        head = 'Content-Disposition: form-data; name="input_data"; filename="in.txt"'
        file.write(f"--{EDGE}\r\n{head}\r\n\r\n".encode())
        left = LARGE
        while left:
            left -= file.write(PIECE[:left])
        file.write(f"\r\n--{EDGE}--\r\n".encode())
    return form


def sent(portal: Portal, form: Path) -> str:
    """The address of what was sent."""
    connection = _connection(portal)
    headers = {"Content-Type": f"multipart/form-data; boundary={EDGE}", "Content-Length": str(form.stat().st_size)}
    with form.open("rb") as file:
        connection.request("POST", "/analytics_automated/submission.json", file, headers)
    answer = connection.getresponse()
    told = json.loads(answer.read())
    assert answer.status == 201, told
    connection.request("GET", f"/analytics_automated/submission/{told['UUID']}.json")
    return str(json.loads(connection.getresponse().read())["submissions"][0]["input_file"])


def fetched(portal: Portal, name: str, headers: dict[str, str] | None = None) -> int:
    """How many bytes came."""
    connection = _connection(portal)
    connection.request("GET", name, headers=headers or {})
    answer, size = connection.getresponse(), 0
    while block := answer.read(1 << 20):
        size += len(block)
    return size


def _connection(portal: Portal) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", int(portal.settings["PORT"]), timeout=300)
