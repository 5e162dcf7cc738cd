"""Section 4 of the first system's contract: the bytes of a result or an input, and the type they are told to have."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import PurePath

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import storage
from portal.database import transaction
from portal.models import Result, Run
from tests.api.service import A, MakeJob, Send

READ_BY_JQUERY = re.compile(r"\b(?:json|xml|html|(?:java|ecma)script)\b")
Give = Callable[[str, bytes], str]


@pytest.fixture
def give(session: Session, send: Send, make_job: MakeJob) -> Give:
    """Give a submission a result of this ending; its address."""
    make_job("count_lines")
    send()

    def give(ending: str, content: bytes) -> str:
        with transaction(session):
            run = session.scalars(select(Run)).one()
            blob = storage.put(f"results/{run.uuid}{ending}", io.BytesIO(content))
            name = f"{run.submission.uuid}{ending}"
            session.add(
                Result(submission_id=run.submission_id, run=run, attempt=1, name=name, key=blob.key, size=blob.size,
                       sha256=blob.sha256)
            )  # fmt: skip
        return f"/submissions/{name}"

    return give


TYPES = {
    ".txt": "text/plain; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".png": "image/png",
    ".PNG": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".pdf": "application/pdf",
    ".horiz": "application/octet-stream",
    ".ss2": "application/octet-stream",
    ".tar.gz": "application/octet-stream",
    ".graph.out": "text/plain; charset=utf-8",
    ".contents": "application/octet-stream",
}


def test_its_type_is_that_of_its_suffix_and_unknown_ones_are_bytes(client: FlaskClient, give: Give) -> None:
    for ending, kind in TYPES.items():
        answer = client.get(give(ending, b"\x89bytes\n"))
        assert (answer.status_code, answer.data, answer.headers["Content-Type"]) == (200, b"\x89bytes\n", kind)


def test_nothing_is_of_a_type_that_a_browser_or_jquery_would_read_by_itself(client: FlaskClient, give: Give) -> None:
    for ending in (".html", ".htm", ".xhtml", ".json", ".xml", ".js", ".mjs", ".svg", ".rdf", ".wasm"):
        answer = client.get(give(ending, b"<script>alert(1)</script>"))
        assert not READ_BY_JQUERY.search(answer.headers["Content-Type"]), ending
        assert answer.headers["Content-Disposition"].startswith("attachment"), ending
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("root", ["", A])
def test_it_answers_head_parts_and_conditions(client: FlaskClient, give: Give, root: str) -> None:
    address = root + give(".bin", b"0123456789")
    head = client.head(address)
    assert (head.status_code, head.content_length, head.data) == (200, 10, b"")
    assert head.headers["Accept-Ranges"] == "bytes"
    part = client.get(address, headers={"Range": "bytes=-3"})
    assert (part.status_code, part.data, part.headers["Content-Range"]) == (206, b"789", "bytes 7-9/10")
    assert client.get(address, headers={"Range": "bytes=20-"}).status_code == 416
    assert client.get(address, headers={"If-None-Match": head.headers["ETag"]}).status_code == 304


@pytest.mark.parametrize("root", ["", A])
def test_a_file_that_is_not_there_yet_is_not_found_until_it_is(client: FlaskClient, give: Give, root: str) -> None:
    there = give(".first", b"1")
    address = root + there.replace(".first", ".later")
    assert client.get(address).status_code == 404
    assert client.head(address).status_code == 404
    give(".later", b"2")
    assert client.get(address).data == b"2"


def test_an_address_of_several_segments_is_no_file(client: FlaskClient, give: Give) -> None:
    name = PurePath(give(".bin", b"x")).name
    assert client.get(f"/submissions/files/{name}").status_code == 404
