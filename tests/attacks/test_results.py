"""Attacks by results and logs on who looks at them, and on what the portal keeps."""

from __future__ import annotations

import csv
import io
import logging
import re
import tracemalloc
import zipfile
from itertools import product
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal import downloads, queue, storage
from portal.database import transaction
from portal.domain.errors import Damaged
from portal.domain.verdict import Outcome
from portal.models import Account, Audit, Run, Submission
from portal.services import integrity, keeping, progress, results
from portal.services.progress import Found, Kept, Written
from portal.settings import settings
from tests.making import make_job, make_task, submitted

SCRIPT = b"<script>fetch('/api/v1/me')</script><svg onload=alert(1)>"
LINK = "\x1b]8;;javascript:alert(1)\x07x"
HOSTILE = [LINK, "\x1b[2J", "<img src=x onerror=alert(1)>", "a\u202eb", "\u2066x", "\x9b1m"]
ACTIVE = [".html", ".svg", ".xhtml", ".xml", ".mht", ".pdf", ".js", ".htm", ".xsl", ".swf", ""]
FORMULAS = [
    "=cmd|'/C calc'!A0",
    "@SUM(A1)",
    "+1",
    "-1+cmd",
    "\t=1+1",
    "\r=1",
    "\n=1",
    "＝1+1",
    '=HYPERLINK("x")',
    "＠x",
]
LARGE = integrity.LOOKED_AT_FIRST + 3_000_000


@pytest.fixture
def submission(session: Session) -> Submission:
    make_task(session, "t", "command", "true")
    make_job(session, "job", [(1, "t")])
    return submitted(session, "job")


def give(session: Session, submission: Submission, *files: tuple[str, bytes], log: bytes = b"") -> None:
    """End the submission's run with these files, each under exactly this name behind the submission's."""
    with transaction(session):
        claim = progress.claim(session, [queue.EVERY], "worker", "host")
    assert claim is not None
    kept = []
    for number, (name, content) in enumerate(files, 1):
        blob = storage.put(f"runs/{claim.uuid}/1/{number}", io.BytesIO(content))
        kept.append(Kept(f"{submission.uuid}{name}", blob))
    with transaction(session):
        progress.started(session, claim, {"host": "host"})
        for at in range(0, len(log), 1_000_000):
            progress.beat(session, claim, [Written("stdout", at, log[at : at + 1_000_000])])
        progress.finish(session, claim, Outcome("exited", 0), Found(kept))


def address(submission: Submission, name: str, where: str = "/runs/{}/results/") -> str:
    return where.format(submission.uuid) + submission.uuid + name


WHERE = ["/runs/{}/results/", "/api/v1/submissions/{}/results/", "/submissions/"]


@pytest.mark.attack("RS-01")
@pytest.mark.parametrize("ending", ACTIVE)
def test_it_gives_nothing_that_a_browser_would_run(
    ending: str, client: FlaskClient, session: Session, submission: Submission
) -> None:
    give(session, submission, (ending, SCRIPT))

    for where in WHERE:
        answer = client.get(address(submission, ending, where))

        assert (answer.status_code, answer.data) == (200, SCRIPT)
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.mimetype in ("application/octet-stream", "application/pdf")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"
        assert "Set-Cookie" not in answer.headers


@pytest.mark.attack("RS-01")
@pytest.mark.parametrize("ending", [".html", ".svg", ".txt", ".csv", ".json", ".xml"])
def test_it_previews_what_is_active_as_text(
    ending: str, client: FlaskClient, session: Session, submission: Submission
) -> None:
    give(session, submission, (ending, SCRIPT))

    page = client.get(address(submission, ending) + "/preview").text

    assert "<script>fetch" not in page and "<svg onload" not in page
    assert "fetch(" in page


@pytest.mark.attack("RS-02")
@pytest.mark.parametrize("word", FORMULAS)
def test_it_puts_no_formula_in_a_sheet_of_its_own(
    word: str, signed_in: FlaskClient, session: Session, submission: Submission
) -> None:
    with transaction(session):
        submission.batch.name = word

    rows = list(csv.DictReader(io.StringIO(signed_in.get("/runs.csv").text, newline="")))

    assert [row["name"] for row in rows] == [f"'{word}"]


@pytest.mark.attack("RS-02")
def test_it_shows_a_formula_as_text(client: FlaskClient, session: Session, submission: Submission) -> None:
    give(session, submission, (".csv", b"a,b\n=cmd|' /C calc'!A0,<b>x</b>\n"))

    page = client.get(address(submission, ".csv") + "/preview").text

    assert "<td>=cmd|&#39; /C calc&#39;!A0</td>" in page
    assert "<b>x</b>" not in page


@pytest.mark.attack("RS-03")
@pytest.mark.parametrize(
    "name",
    [
        "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "..%252f..%252fportal.db",
        "%25252e%25252e%25252fportal.db",
        "..%c0%af..%c0%afportal.db", "....//....//portal.db", "%00", "x%00.csv", "%2fetc%2fpasswd", "..\\..\\portal.db",
        "%2e%2e%5cportal.db", "portal.db", "secret_key", "runs%2f", "%ff%fe", "." * 300, "a" * 5000,
    ],
)  # fmt: skip
def test_it_leads_to_no_file_by_its_path(
    name: str, client: FlaskClient, session: Session, submission: Submission
) -> None:
    for where, begin in product(WHERE, ("", submission.uuid)):
        answer = client.get(where.format(submission.uuid) + begin + name)

        assert answer.status_code == 404
        assert b"root:" not in answer.data and b"SQLite format" not in answer.data


@pytest.mark.attack("RS-04")
@pytest.mark.parametrize(
    "name",
    [
        'a"\r\nSet-Cookie: x=1', "日本.txt", "a" * 200, 'x"; filename="evil.html', "a\u202egpj.exe",
        "x\x00y", "..", "a\nb",
        "é;é", "%0d%0aX: y",
    ],
)  # fmt: skip
def test_it_splits_no_header_by_a_files_name(
    name: str, client: FlaskClient, session: Session, submission: Submission
) -> None:
    give(session, submission, (".txt", b"x"))
    result = results.find(session, f"{submission.uuid}.txt")
    with client.application.test_request_context():
        answer = downloads.file(results.Stored(name, result.key, 1, result.sha256), None)
        zipped = downloads.archive(f"{name}.zip", [], None)

    for each in (answer, zipped):
        header = each.headers["Content-Disposition"]
        assert header.startswith("attachment; filename")
        assert not set(header) & set("\r\n\0\u202e")
        assert "Set-Cookie" not in each.headers and len(re.findall(r"; *filename=", header)) <= 1


RANGES = [
    "bytes=" + "0-0," * 1000 + "0-0", "bytes=5-2", "bytes=-0", f"bytes={10**30}-", f"bytes=0-{10**30}", "bytes=a-b",
    "bytes=", "lines=0-1", "bytes=0-0,1-1", "bytes=--1", "bytes=-1", "bytes=0-", "bytes=10-10", "bytes=9-",
    "bytes=0-9,0-9", f"bytes=-{10**30}", "bytes=１-2",
]  # fmt: skip


@pytest.mark.attack("RS-05")
@pytest.mark.parametrize("asked", RANGES)
def test_it_sends_no_more_than_the_file_for_any_range(
    asked: str, client: FlaskClient, session: Session, submission: Submission
) -> None:
    give(session, submission, (".txt", b"0123456789"))

    for where in WHERE:
        answer = client.get(address(submission, ".txt", where), headers={"Range": asked.encode().decode("latin-1")})

        assert answer.status_code in (200, 206, 416)
        assert answer.status_code == 416 or answer.data in b"0123456789"


@pytest.mark.attack("RS-07")
@pytest.mark.parametrize("word", HOSTILE)
def test_it_shows_a_logs_control_characters_as_symbols(
    word: str, client: FlaskClient, session: Session, submission: Submission
) -> None:
    give(session, submission, (".txt", f"before {word} after".encode()), log=f"before {word} after\n".encode())

    pages = [client.get(f"/runs/{submission.uuid}").text, client.get(address(submission, ".txt") + "/preview").text]

    for page in pages:
        assert "before" in page and "after" in page
        assert not set(page) & set("\x1b\x07\x9b\u202e\u2066")
        assert "<img src=x" not in page


@pytest.mark.attack("RS-07")
def test_it_shows_and_sends_the_log_of_one_endless_line_in_little_memory(
    client: FlaskClient, session: Session, submission: Submission
) -> None:
    give(session, submission, log=b"x" * 100_000_000)
    run = session.scalars(select(Run)).one()
    session.rollback()
    client.get(f"/runs/{submission.uuid}")

    tracemalloc.start()
    page = client.get(f"/runs/{submission.uuid}")
    answer = client.get(f"/runs/{submission.uuid}/steps/{run.uuid}/stdout")
    size = sum(map(len, answer.iter_encoded()))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(page.text) < 100_000
    assert (size, answer.mimetype) == (100_000_000, "text/plain")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert most < 20_000_000


@pytest.mark.attack("RS-08")
def test_it_packs_names_that_stay_below_where_they_are_unpacked(
    client: FlaskClient, session: Session, submission: Submission
) -> None:
    names = ["/../../x", "/../../../../etc/x", "\\..\\y", ":z", "/a/../../b", "\n", "/x", "\u202e"]
    give(session, submission, *((name, name.encode()) for name in names))

    answer = client.get(f"/api/v1/submissions/{submission.uuid}/results.zip")

    packed = zipfile.ZipFile(io.BytesIO(answer.data)).namelist()
    assert len(packed) == len(set(packed)) == len(names)
    assert not [name for name in packed if set(name) & set("/\\:\n\u202e") or name.startswith((".", "-"))]


@pytest.mark.attack("RS-08")
def test_it_packs_hundreds_of_files_while_it_sends_them(
    client: FlaskClient, session: Session, submission: Submission
) -> None:
    give(session, submission, *((f".{number}.bin", bytes(4000)) for number in range(500)), (".big", bytes(20_000_000)))

    tracemalloc.start()
    answer = client.get(f"/api/v1/submissions/{submission.uuid}/results.zip")
    size = sum(map(len, answer.iter_encoded()))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert size > 100_000
    assert most < 8_000_000
    assert answer.headers["Cache-Control"] == "private, no-store"


@pytest.mark.attack("RS-09")
def test_it_gives_nothing_of_a_run_that_was_deleted(
    client: FlaskClient, session: Session, submission: Submission
) -> None:
    give(session, submission, (".txt", b"x"))
    where = [address(submission, ".txt", each) for each in WHERE]
    assert [client.get(each).status_code for each in where] == [200, 200, 200]

    with transaction(session):
        keeping.delete(session, submission)
    keeping.remove(submission.id)

    assert [client.get(each).status_code for each in where] == [404, 404, 404]
    assert not [file for file in settings().files_directory.rglob("*") if file.is_file()]


@pytest.mark.attack("RS-10")
@pytest.mark.parametrize("where", [*WHERE, "zip", "log"])
def test_no_cache_between_keeps_what_was_given(
    where: str, client: FlaskClient, session: Session, submission: Submission
) -> None:
    give(session, submission, (".txt", b"x"), log=b"x")
    run = session.scalars(select(Run)).one()
    zipped, log = (
        f"/api/v1/submissions/{submission.uuid}/results.zip",
        f"/runs/{submission.uuid}/steps/{run.uuid}/stdout",
    )
    asked = {"zip": zipped, "log": log}.get(where) or address(submission, ".txt", where)

    answers = [client.get(asked), client.get(asked, headers={"Range": "bytes=0-0"})]
    answers.append(client.get(asked, headers={"If-None-Match": answers[0].headers.get("ETag", "")}))

    for answer in answers:
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert {"Cookie", "Authorization"} <= {each.strip() for each in answer.headers["Vary"].split(",")}


def flip(submission: Submission, place: int = -1) -> Path:
    """Change one byte of the only stored result, as a disk may do."""
    [file] = [each for each in (settings().files_directory / "runs").rglob("*") if each.is_file()]
    with file.open("r+b") as stream:
        stream.seek(place, 2 if place < 0 else 0)
        byte = stream.read(1)
        stream.seek(-1, 1)
        stream.write(bytes([byte[0] ^ 1]))
    return file


@pytest.mark.attack("RS-11")
@pytest.mark.parametrize("how", [*WHERE, "preview", "range"])
def test_it_gives_no_damaged_file_and_raises_an_alarm(
    how: str, client: FlaskClient, session: Session, submission: Submission, caplog: pytest.LogCaptureFixture
) -> None:
    give(session, submission, (".txt", b"0123456789"))
    flip(submission)
    caplog.set_level(logging.ERROR)

    if how == "preview":
        answer = client.get(address(submission, ".txt") + "/preview")
    elif how == "range":
        answer = client.get(address(submission, ".txt"), headers={"Range": "bytes=0-3"})
    else:
        answer = client.get(address(submission, ".txt", how))

    assert answer.status_code == 500
    assert b"damaged" in answer.data and b"0123" not in answer.data and b"Traceback" not in answer.data
    session.rollback()
    assert session.scalars(select(Audit.action).where(Audit.kind == "file")).all() == ["found damaged"]
    assert "is damaged" in caplog.text


@pytest.mark.attack("RS-11")
@pytest.mark.parametrize("place", [0, LARGE // 2, -1])
def test_it_breaks_a_large_damaged_file_off_before_its_end(
    place: int, client: FlaskClient, session: Session, submission: Submission
) -> None:
    give(session, submission, (".bin", bytes(LARGE)))
    assert sum(map(len, client.get(address(submission, ".bin")).iter_encoded())) == LARGE
    flip(submission, place)

    answer = client.get(address(submission, ".bin"))
    sent = 0
    with pytest.raises(Damaged):
        for block in answer.iter_encoded():
            sent += len(block)

    assert answer.headers["Content-Length"] == str(LARGE)
    assert sent < LARGE


@pytest.mark.attack("RS-11")
def test_it_breaks_an_archive_with_a_large_damaged_file_off(
    client: FlaskClient, session: Session, submission: Submission
) -> None:
    give(session, submission, (".bin", bytes(LARGE)))
    flip(submission)

    with pytest.raises(Damaged):
        list(client.get(f"/api/v1/submissions/{submission.uuid}/results.zip").iter_encoded())


@pytest.mark.attack("RS-11")
def test_it_notices_damage_after_parts_were_given_before(
    client: FlaskClient, session: Session, submission: Submission
) -> None:
    give(session, submission, (".bin", bytes(LARGE)))
    part = {"Range": "bytes=0-3"}
    assert client.get(address(submission, ".bin"), headers=part).data == bytes(4)
    flip(submission)

    assert client.get(address(submission, ".bin"), headers=part).status_code == 500


@pytest.mark.attack("RS-11")
@pytest.mark.parametrize("change", [b"", b"012345678", b"01234567890"])
def test_it_notices_a_file_of_another_length(
    change: bytes, client: FlaskClient, session: Session, submission: Submission
) -> None:
    give(session, submission, (".txt", b"0123456789"))
    flip(submission).write_bytes(change)

    assert client.get(address(submission, ".txt")).status_code == 500


@pytest.mark.attack("RS-05")
def test_a_thousand_parts_leave_one_line_in_the_trail(
    signed_in: FlaskClient, admin: Account, session: Session, submission: Submission
) -> None:
    give(session, submission, (".txt", b"0123456789"))
    for number in range(30):
        signed_in.get(address(submission, ".txt"), headers={"Range": f"bytes={number % 10}-"})

    session.rollback()
    lines = session.execute(select(Audit.actor, Audit.object).where(Audit.action == "downloaded")).all()
    assert [tuple(line) for line in lines] == [("admin", f"{submission.uuid}.txt")]
    assert session.scalar(select(func.count(Audit.id)).where(Audit.kind == "file")) == 1


@pytest.mark.attack("RS-11")
def test_it_gives_no_damaged_file_to_a_next_step(session: Session, submission: Submission) -> None:
    give(session, submission, (".txt", b"0123456789"))
    result = results.find(session, f"{submission.uuid}.txt")
    flip(submission)

    with pytest.raises(Damaged):
        storage.copy_to(result.key, settings().portal_data / "copy", result.sha256)
