"""What a run gave, by its public name: previews, and what it wrote while it ran."""

from __future__ import annotations

import io
import json

import pytest
from sqlalchemy.orm import Session

from portal import queue, storage
from portal.database import transaction
from portal.domain.errors import NotFound
from portal.domain.verdict import Outcome
from portal.models import Submission
from portal.services import logs, progress, results
from portal.services.progress import Found, Kept, Written
from portal.services.results import PREVIEW_BYTES, PREVIEW_COLUMNS, PREVIEW_ROWS, Stored
from tests.making import make_job, make_task, submitted

PNG = b"\x89PNG\r\n\x1a\n\0"


@pytest.fixture
def submission(session: Session) -> Submission:
    make_task(session, "t", "command", "true", inputs=(".csv",))
    make_job(session, "job", [(1, "t")])
    return submitted(session, "job", b"a,b\n")


def begin(session: Session) -> progress.Claim:
    with transaction(session):
        claim = progress.claim(session, [queue.EVERY], "worker", "host")
    assert claim is not None
    return claim


def stored(data: object, name: str, content: bytes) -> Stored:
    blob = storage.put(f"test/{name}", io.BytesIO(content))
    return Stored(name, blob.key, blob.size, blob.sha256)


def shown(file: Stored) -> results.Preview:
    with results.open_file(file) as stream:
        return results.preview(file, stream)


def test_it_finds_a_result_and_the_upload_by_their_public_names_and_nothing_else(
    session: Session, submission: Submission
) -> None:
    name = f"{submission.uuid}.txt"
    with transaction(session):
        blob = storage.put("runs/x", io.BytesIO(b"result"))
    claim = begin(session)
    with transaction(session):
        progress.finish(session, claim, Outcome("exited", 0), Found([Kept(name, blob)]))

    assert results.open_file(results.find(session, name)).read() == b"result"
    assert results.input_name(submission) == f"{submission.uuid}_input.csv"
    assert results.open_file(results.find(session, f"{submission.uuid}_input.csv")).read() == b"a,b\n"
    for unknown in ("", "../portal.db", "in.txt", f"{submission.uuid}_input", f"{submission.uuid}_input.txt", "x.csv"):
        with pytest.raises(NotFound):
            results.find(session, unknown)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("x.csv", "text/csv"),
        ("x.PNG", "image/png"),
        ("x.txt", "text/plain"),
        ("x.html", "application/octet-stream"),
        ("x.svg", "application/octet-stream"),
        ("x.js", "application/octet-stream"),
        ("x", "application/octet-stream"),
    ],
)
def test_it_never_serves_what_a_browser_would_run(name: str, media_type: str) -> None:
    assert Stored(name, "k", 0, "").media_type == media_type


def test_it_shows_a_table(data: object) -> None:
    found = shown(stored(data, "x.csv", b'\xef\xbb\xbfname,n\n"a, b",1\n'))

    assert (found.kind, found.header, found.rows, found.cut) == ("table", ["name", "n"], [["a, b", "1"]], False)
    assert shown(stored(data, "x.tsv", b"a\tb\n1\t2\n")).header == ["a", "b"]


def test_it_shows_the_beginning_of_a_long_and_wide_table_and_says_that_there_is_more(data: object) -> None:
    long = shown(stored(data, "long.csv", b"a\n" + b"1\n" * (PREVIEW_ROWS + 1)))
    wide = shown(stored(data, "wide.csv", b",".join([b"a"] * (PREVIEW_COLUMNS + 1)) + b"\n"))

    assert (len(long.rows), long.cut) == (PREVIEW_ROWS, True)
    assert (len(wide.header), wide.cut) == (PREVIEW_COLUMNS, True)


def test_it_shows_text_up_to_a_whole_character(data: object) -> None:
    found = shown(stored(data, "x.txt", b"x" + "é".encode() * PREVIEW_BYTES))

    assert found.kind == "text" and found.cut
    assert set(found.text) == {"x", "é"}


def test_it_shows_json_with_line_breaks_and_what_only_claims_to_be_json_as_text(data: object) -> None:
    content = {"b": [1, "é😀"]}

    found = shown(stored(data, "x.json", json.dumps(content).encode()))

    assert (found.kind, json.loads(found.text)) == ("json", content)
    assert "é😀" in found.text and "\n" in found.text
    assert shown(stored(data, "half.json", b'["\\ud83d"]')).text == '["\\ud83d"]'
    assert shown(stored(data, "y.json", b"{not json")).kind == "text"
    assert shown(stored(data, "z.json", b"[" * 100_000)).kind == "text"


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [("x.png", PNG, "image"), ("x.csv", PNG, "none"), ("x.bin", b"\xff\xfe", "none"), ("x", b"", "text")],
)
def test_it_shows_an_image_as_one_and_of_other_binary_data_nothing(
    data: object, name: str, content: bytes, kind: str
) -> None:
    assert shown(stored(data, name, content)).kind == kind


def write(session: Session, claim: progress.Claim, stream: str, start: int, text: bytes) -> None:
    with transaction(session):
        progress.beat(session, claim, [Written(stream, start, text)])


def test_it_shows_the_last_lines_of_a_log_and_makes_control_characters_visible(
    session: Session, submission: Submission
) -> None:
    claim = begin(session)
    text = b"first\nsecond \x1b[31mred\x07\n\xff<b>\t" + "é".encode()
    write(session, claim, "stderr", 0, text[:9])
    write(session, claim, "stderr", 9, text[9:])

    [run] = submission.runs

    assert logs.last_lines(session, run, "stderr", lines=2) == "second \\x1b[31mred\\x07\n\\xff<b>\té"
    assert logs.whole(session, run, "stderr") == text
    assert logs.last_lines(session, run, "stdout", 200) == ""
