"""Files that want to be elsewhere, larger, or something else than they say."""

from __future__ import annotations

import ast
import errno
import hashlib
import io
import os
import struct
import tarfile
import tempfile
import threading
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import create_app
from portal import reception, validators
from portal.domain.plugins import plugins
from portal.domain.texts import storable
from portal.models import Batch, Submission, Upload
from portal.services import quotas
from portal.settings import settings
from tests.attacks import raw
from tests.attacks.raw import FIELDS, MULTIPART, SUBMIT, URLENCODED, form, part
from tests.making import make_job, make_task
from tests.servers import ROOT, Portal, eventually
from tests.validators import samples

MOUTHS = {
    "contract": (SUBMIT, FIELDS),
    "v1": ("/api/v1/submissions", {"job": "word_count", "name": "a run", "email": "ann@example.org"}),
    "page": ("/jobs/word_count/run", {"submission_name": "a run", "email": "ann@example.org"}),
}
TAKEN = (201, 202, 303)
CANARY = Path(tempfile.gettempdir()) / "canary-of-uploads"
OPTIONS = {"regex": "regex .*", "size": "size 1..10 MB"}
WAYS_OUT = [
    b"../../../../var/canary", b"..\\\\..\\\\x", b"/etc/passwd", b"C:\\\\x", b"\\\\\\\\host\\\\share\\\\x",
    b".", b"..", b" ",
    b"-rf", b"CON", b"a/../../b", b"%2e%2e%2fcanary", b"~root/x", b"x.txt/", b"./x", b"$(id)", b"`id`", b"aux.txt",
]  # fmt: skip
BROKEN_NAMES = [
    b"a\0b", b"a\r\nSet-Cookie: x=1", b"a\nSet-Cookie: x=1", "\u202egpj.exe".encode(), b"n" * 5000, b"\xff\xfe",
    "😀".encode() * 200, b"a\x1b[2Jb", "e\u0301".encode(), b"\xed\xa0\x80", b"%0d%0aSet-Cookie: x=1",
]  # fmt: skip


@pytest.fixture
def job(session: Session) -> None:
    make_task(session, "count", "command", "wc -w $I1", inputs=(".txt",), stdout=".count")
    make_job(session, "word_count", [(1, "count")])


@pytest.fixture(autouse=True)
def without_queue_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are other attacks' matter."""
    for name in ("PORTAL_QUEUE_HOG_SIZE", "PORTAL_QUEUE_HARD_LIMIT"):
        monkeypatch.setenv(name, "")


def send(client: FlaskClient, *parts: bytes, mouth: str = "contract", **more: Any) -> Any:
    path, fields = MOUTHS[mouth]
    return client.post(path, data=form(*parts, fields=fields), content_type=MULTIPART, **more)


def upload(name: bytes, content: bytes = b"one two\n") -> bytes:
    return part("input_data", content, name)


def everything(data: Path) -> set[Path]:
    """All files around the store, but the database's own."""
    around = {path for path in data.rglob("*") if path.is_file() and not path.name.startswith("portal.db")}
    return around - {data / "secret_key"}


def rows(session: Session) -> tuple[int, int]:
    session.rollback()
    return session.scalars(select(func.count(Batch.id))).one(), session.scalars(select(func.count(Upload.id))).one()


# Names


@pytest.mark.attack("UP-01", "UP-02")
@pytest.mark.parametrize("mouth", MOUTHS)
@pytest.mark.parametrize("name", WAYS_OUT)
def test_a_name_is_no_path(
    client: FlaskClient, session: Session, data: Path, job: object, name: bytes, mouth: str
) -> None:
    answer = send(client, upload(name), mouth=mouth)

    assert answer.status_code in (*TAKEN, 400, 422)
    kept = everything(data)
    assert {path.parent for path in kept} <= {data / "files" / "uploads"}
    assert len(kept) == (answer.status_code in TAKEN)
    for upload_row in session.scalars(select(Upload)):
        assert "/" not in upload_row.name and upload_row.key.startswith("uploads/")
        assert name.decode(errors="replace") not in upload_row.key or len(name) < 2


@pytest.mark.attack("UP-01", "UP-02")
def test_a_run_brings_no_file_to_where_its_name_points(
    client: FlaskClient, session: Session, data: Path, job: object, work: Callable[[], None]
) -> None:
    for name in (b"../../../canary", str(CANARY).encode(), b"-rf", b".."):
        assert send(client, upload(name)).status_code in (*TAKEN, 400)
    work()

    states = session.scalars(select(Submission.state)).all()
    assert set(states) == {"COMPLETE"}
    assert not CANARY.exists()
    assert not list(data.parent.rglob("*canary*"))


@pytest.mark.attack("UP-03")
@pytest.mark.parametrize("mouth", MOUTHS)
@pytest.mark.parametrize("name", BROKEN_NAMES)
def test_a_name_splits_no_header(client: FlaskClient, session: Session, job: object, name: bytes, mouth: str) -> None:
    answer = send(client, upload(name), mouth=mouth)

    assert answer.status_code in (*TAKEN, 400, 422)
    for each in session.scalars(select(Upload)):
        assert storable(each.name) and "\n" not in each.name and "\r" not in each.name and len(each.name) <= 255
    for submission in session.scalars(select(Submission)):
        page = client.get(f"/runs/{submission.uuid}")
        file = client.get(f"/submissions/{submission.uuid}_input.txt")
        assert page.status_code == 200 and "x" not in client.get_cookie("x").__repr__().replace("None", "")
        assert file.status_code in (200, 404) and len(file.headers.getlist("Content-Disposition")) <= 1


@pytest.mark.attack("UP-04")
@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>.fa", "&lt;script&gt;.fa", '"><svg onload=alert(1)>.fa', "{{7*7}}.fa"]
)
def test_a_name_is_no_markup(
    client: FlaskClient, signed_in: FlaskClient, session: Session, job: object, name: str
) -> None:
    escaped = name.replace('"', "%22").encode()
    assert send(client, upload(escaped)).status_code == 201
    [submission] = session.scalars(select(Submission)).all()

    for path in (f"/runs/{submission.uuid}", f"/batches/{submission.batch.uuid}", "/runs", "/", "/runs.csv"):
        text = signed_in.get(path).text
        assert "<img src=x" not in text and "<svg onload" not in text and "49.fa" not in text and "<script>" not in text


# Sizes


@pytest.mark.attack("UP-05")
@pytest.mark.parametrize("content", [b"", b"x", b"\n\n\n", b"\xef\xbb\xbf", b"\0", b"\xef\xbb\xbf\n", b"\r", b"\xff"])
def test_next_to_nothing_is_refused_or_taken(
    client: FlaskClient, session: Session, job: object, content: bytes
) -> None:
    make_task(session, "t", "command", "true")
    for validator in plugins("validators"):
        make_job(
            session,
            f"j_{validator}",
            [(1, "t")],
            validators=(OPTIONS.get(validator, validator),),
        )
        fields = FIELDS | {"job": f"j_{validator}"}
        body = form(upload(b"a.txt", content), fields=fields)
        answer = client.post(SUBMIT, data=body, content_type=MULTIPART)
        assert answer.status_code in (201, 400), (validator, answer.text)


@pytest.fixture
def small(data: Path, monkeypatch: pytest.MonkeyPatch, job: object) -> FlaskClient:
    """A portal that takes files of 10,000 bytes."""
    monkeypatch.setenv("PORTAL_MAX_UPLOAD_BYTES", "10000")
    monkeypatch.setenv("PORTAL_MAX_FORM_BYTES", "100000")
    settings.cache_clear()
    return fresh_client()


def fresh_client() -> FlaskClient:
    app = create_app()
    app.config["WTF_CSRF_ENABLED"] = False
    return app.test_client()


@pytest.mark.attack("UP-06")
@pytest.mark.parametrize("mouth", MOUTHS)
@pytest.mark.parametrize("size", [10_001, 100_000, 120_000, 5_000_000])
def test_a_file_beyond_the_limit_leaves_nothing(
    small: FlaskClient, session: Session, data: Path, mouth: str, size: int
) -> None:
    answer = send(small, upload(b"a.txt", b"x" * size), mouth=mouth)

    assert answer.status_code in (413, 422)
    assert (rows(session), everything(data)) == ((0, 0), set())


@pytest.mark.attack("UP-06")
def test_a_file_of_exactly_the_limit_is_taken(small: FlaskClient, session: Session) -> None:
    assert send(small, upload(b"a.txt", b"x" * 10_000)).status_code == 201
    assert rows(session) == (1, 1)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """A web server that takes files of 1 MB."""
    extra = {"PORTAL_MAX_UPLOAD_BYTES": "1000000", "PORTAL_MAX_FORM_BYTES": "100000"}
    with raw.web_server(tmp_path_factory.mktemp("uploads") / "var", extra) as running:
        yield running


def left_by(web: Portal) -> set[Path]:
    return {path for path in (web.data / "tmp").rglob("*") if path.is_file()}


def kept_by(web: Portal) -> set[Path]:
    return {path for path in (web.data / "files").rglob("*") if path.is_file()}


@pytest.mark.attack("UP-06")
@pytest.mark.parametrize("size", [1_000_001, 1_100_001, 3_000_000])
def test_chunks_beyond_the_limit_are_refused(web: Portal, size: int) -> None:
    before = kept_by(web)
    body = raw.chunked(form(upload(b"a.txt", b"x" * size)))

    answers = raw.talk(web, raw.request("POST", SUBMIT, body, Content_Type=MULTIPART, Transfer_Encoding="chunked"))

    assert raw.statuses(answers)[0] in (400, 413)
    assert (left_by(web), kept_by(web)) == (set(), before)


@pytest.mark.attack("UP-06")
def test_chunks_within_the_limit_are_taken(web: Portal) -> None:
    body = raw.chunked(form(upload(b"a.txt", b"x" * 1_000_000)))

    answers = raw.talk(web, raw.request("POST", SUBMIT, body, Content_Type=MULTIPART, Transfer_Encoding="chunked"))

    assert raw.statuses(answers) == [201]


@pytest.mark.attack("UP-06")
@pytest.mark.parametrize("kind", [MULTIPART, URLENCODED, "application/json", "image/png"])
def test_a_length_beyond_the_limit_is_refused_before_it_comes(web: Portal, kind: str) -> None:
    with raw.connected(web) as client:
        client.sendall(raw.request("POST", SUBMIT, b"x" * 1000, Content_Type=kind, Content_Length="200000000"))
        first = client.recv(65536)

    assert raw.statuses(first)[0] in (413, 415)
    assert left_by(web) == set()


@pytest.mark.attack("UP-07")
@pytest.mark.parametrize(
    ("length", "expected"),
    [("5000", {408}), ("-1", {400}), ("abc", {400}), ("1e3", {400}), ("+10", {400}), ("10, 20", {400}),
     ("9" * 400, {400, 413}), ("0x10", {400}), ("", {400, 415}), (" 12 13", {400})],
)  # fmt: skip
def test_a_wrong_length_is_refused(web: Portal, length: str, expected: set[int]) -> None:
    before = kept_by(web)

    answers = raw.talk(web, raw.request("POST", SUBMIT, b"job=x", Content_Type=URLENCODED, Content_Length=length))

    assert set(raw.statuses(answers)) <= expected and answers
    assert (left_by(web), kept_by(web)) == (set(), before)


@pytest.mark.attack("UP-07")
def test_a_length_too_small_cuts_the_form_and_nothing_else(web: Portal) -> None:
    body = form(upload(b"a.txt"))

    answers = raw.talk(web, raw.request("POST", SUBMIT, body, Content_Type=MULTIPART, Content_Length="60"))

    assert set(raw.statuses(answers)) == {400}


@pytest.mark.attack("UP-07")
def test_two_lengths_are_none(web: Portal) -> None:
    head = f"POST {SUBMIT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {URLENCODED}\r\nContent-Length: 5\r\n"

    answers = raw.talk(web, f"{head}Content-Length: 6\r\n\r\njob=x1".encode())

    assert raw.statuses(answers) == [400]


@pytest.mark.attack("UP-08")
def test_slow_clients_keep_nobody_waiting_and_are_sent_away(web: Portal) -> None:
    head = raw.request("POST", SUBMIT, b"a=", Content_Type=URLENCODED, Content_Length="90000")
    slow = [raw.connected(web, 60) for _ in range(200)]
    endless = [raw.connected(web, 60) for _ in range(200)]
    over = threading.Event()
    try:
        for client in slow:
            client.sendall(head)
        for client in endless:
            client.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        dripping = threading.Thread(target=drip, args=(slow, over))
        dripping.start()
        for _ in range(30):
            assert raw.statuses(raw.talk(web, raw.request(), ends=False)) == [200]
        assert {raw.statuses(client.recv(65536))[0] for client in slow} == {408}
        assert {client.recv(65536) for client in endless} == {b""}
    finally:
        over.set()
        for client in (*slow, *endless):
            client.close()
    dripping.join()
    assert eventually(lambda: left_by(web) == set())


def drip(clients: list[Any], over: threading.Event) -> None:
    """One byte a second from each."""
    while not over.wait(1):
        for client in clients:
            try:
                client.sendall(b"x")
            except OSError:
                continue


# Forms


@pytest.mark.attack("UP-09")
@pytest.mark.parametrize("path", [SUBMIT, "/api/v1/submissions", "/jobs/word_count/run", "/sign-in"])
@pytest.mark.parametrize("separator", ["&", "=&", "&a=&a[]="])
def test_too_many_fields_are_refused(client: FlaskClient, job: object, path: str, separator: str) -> None:
    answer = client.post(path, data=separator.join(["a"] * 200_000), content_type=URLENCODED)

    assert answer.status_code == (415 if path.startswith("/api") else 413)


@pytest.mark.attack("UP-09")
@pytest.mark.parametrize("path", [SUBMIT, "/api/v1/submissions", "/jobs/word_count/run", "/sign-in"])
@pytest.mark.parametrize("filename", [None, b"a.txt"])
def test_too_many_parts_are_refused(
    client: FlaskClient, session: Session, job: object, path: str, filename: bytes | None
) -> None:
    body = form(*(part(f"f{number}", b"x", filename) for number in range(2000)))

    assert client.post(path, data=body, content_type=MULTIPART).status_code == 413
    assert rows(session) == (0, 0)


HARMLESS = {("nothing", "v1"): (422,), ("nothing", "page"): (422,)}
NESTED = part("input_data", b"--inner\r\n\r\nx\r\n--inner--", b"a.txt").replace(
    b'"a.txt"\r\n', b'"a.txt"\r\nContent-Type: multipart/mixed; boundary=inner\r\n'
)
MALFORMED: dict[str, tuple[bytes, str]] = {
    "no boundary": (form(upload(b"a")), "multipart/form-data"),
    "empty boundary": (form(upload(b"a")), "multipart/form-data; boundary="),
    "another boundary": (form(upload(b"a")), "multipart/form-data; boundary=other"),
    "long boundary": (
        form(upload(b"a")).replace(raw.BOUNDARY.encode(), b"b" * 10_000),
        "multipart/form-data; boundary=" + "b" * 10_000,
    ),
    "no end": (form(upload(b"a"), end=b""), MULTIPART),
    "half an end": (form(upload(b"a"), end=b"--a1b2"), MULTIPART),
    "carriage returns": (form(upload(b"a", b"\r" * 1_000_000), end=b""), MULTIPART),
    "carriage returns alone": (b"\r" * 1_000_000, MULTIPART),
    "half boundaries": (form(upload(b"a", b"\r\n--a1b2c" * 100_000), end=b""), MULTIPART),
    "a header without end": (b"--a1b2c3\r\n" + b"X: y\r\n" * 100_000, MULTIPART),
    "a long header": (b"--a1b2c3\r\nX: " + b"y" * 1_000_000, MULTIPART),
    "no name": (b"--a1b2c3\r\nContent-Disposition: form-data\r\n\r\nx\r\n--a1b2c3--\r\n", MULTIPART),
    "a field without name": (
        form(upload(b"a"), b"--a1b2c3\r\nContent-Disposition: form-data\r\n\r\nx\r\n"),
        MULTIPART,
    ),
    "a file without name": (
        form(upload(b"a"), b'--a1b2c3\r\nContent-Disposition: form-data; filename="x"\r\n\r\nx\r\n'),
        MULTIPART,
    ),
    "no disposition": (b"--a1b2c3\r\n\r\nx\r\n--a1b2c3--\r\n", MULTIPART),
    "nothing": (b"", MULTIPART),
    "a boundary of odd letters": (form(upload(b"a")), 'multipart/form-data; boundary="é"'),
}


@pytest.mark.attack("UP-10")
@pytest.mark.parametrize("mouth", MOUTHS)
@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_form_is_refused(client: FlaskClient, session: Session, job: object, kind: str, mouth: str) -> None:
    body, content_type = MALFORMED[kind]

    answer = client.post(MOUTHS[mouth][0], data=body, headers={"Content-Type": content_type})

    assert answer.status_code in (400, 413, 415, *HARMLESS.get((kind, mouth), ())), answer.text
    assert rows(session) == (0, 0)


@pytest.mark.attack("UP-10")
@pytest.mark.parametrize("mouth", MOUTHS)
def test_of_a_form_in_a_form_the_outer_counts(client: FlaskClient, session: Session, job: object, mouth: str) -> None:
    answer = send(client, NESTED, mouth=mouth)

    assert answer.status_code in (*TAKEN, 400)
    assert rows(session) in ((1, 1), (0, 0))


@pytest.mark.attack("UP-10")
@pytest.mark.parametrize("mouth", MOUTHS)
def test_of_two_inputs_each_has_a_submission_of_its_own(
    client: FlaskClient, session: Session, data: Path, job: object, mouth: str
) -> None:
    answer = send(client, upload(b"a.txt", b"first\n"), upload(b"b.txt", b"second\n"), mouth=mouth)

    inputs = session.scalars(select(Submission.input).order_by(Submission.position)).all()
    assert answer.status_code in TAKEN
    assert (len(everything(data)), rows(session), inputs) == (2, (1, 2), [1, 2])


# Archives


def zipped(*entries: tuple[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return target.getvalue()


def bomb(size: int = 50_000_000) -> bytes:
    return zipped(("zeros", b"\0" * size))


def nested(depth: int = 5) -> bytes:
    inner = bomb(1_000_000)
    for _ in range(depth):
        inner = zipped(*((f"{number}.zip", inner) for number in range(4)))
    return inner


def overlapping() -> bytes:
    """Both entries of the directory lead to the same data, and tell of a size that it has not."""
    whole = zipped(("a", b"x" * 1000), ("b", b"y" * 1000))
    start = whole.index(b"PK\x01\x02")
    second = whole.index(b"PK\x01\x02", start + 4)
    return (
        whole[: second + 20]
        + struct.pack("<II", 10, 2**31)
        + whole[second + 28 : second + 42]
        + b"\0\0\0\0"
        + whole[second + 46 :]
    )


def linked() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        link = zipfile.ZipInfo("dir")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, tempfile.gettempdir())
        archive.writestr("dir/canary-of-uploads", b"x")
    return target.getvalue()


def tarred(**attributes: Any) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for name in ("link", "link/canary-of-uploads"):
            member = tarfile.TarInfo(name)
            for attribute, value in attributes.items():
                setattr(member, attribute, value)
            archive.addfile(member, io.BytesIO(b"\0" * member.size))
    return target.getvalue()


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "UP-11 bomb": bomb,
    "UP-11 nested": nested,
    "UP-11 overlapping": overlapping,
    "UP-11 gzip bomb": lambda: zlib.compress(b"\0" * 50_000_000, 9, 31),
    "UP-12 up": lambda: zipped(("../../canary-of-uploads", b"x"), ("a/../../canary-of-uploads", b"x")),
    "UP-12 absolute": lambda: zipped((str(CANARY), b"x"), ("C:\\canary-of-uploads", b"x")),
    "UP-12 link": linked,
    "UP-12 many": lambda: zipped(*((f"{number}", b"") for number in range(20_000))),
    "UP-12 deep": lambda: zipped(("d/" * 1000 + "x", b"x")),
    "UP-12 twins": lambda: zipped(("a.txt", b"x"), ("A.TXT", b"y"), ("e\u0301", b"x"), ("\u00e9", b"y")),
    "UP-13 symlink": lambda: tarred(type=tarfile.SYMTYPE, linkname=tempfile.gettempdir()),
    "UP-13 hard link": lambda: tarred(type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    "UP-13 device": lambda: tarred(type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "UP-13 FIFO": lambda: tarred(type=tarfile.FIFOTYPE),
    "UP-13 setuid": lambda: tarred(mode=0o4755, size=4),
    "UP-13 other path": lambda: tarred(pax_headers={"path": str(CANARY)}),
}


@pytest.mark.attack("UP-11", "UP-12", "UP-13")
@pytest.mark.parametrize("kind", ARCHIVES)
@pytest.mark.parametrize("mouth", MOUTHS)
def test_an_archive_stays_as_it_is(
    client: FlaskClient, session: Session, data: Path, job: object, kind: str, mouth: str
) -> None:
    content = ARCHIVES[kind]()

    assert send(client, upload(b"a.zip", content), mouth=mouth).status_code in TAKEN

    [kept] = everything(data)
    assert hashlib.sha256(kept.read_bytes()).digest() == hashlib.sha256(content).digest()
    [submission] = session.scalars(select(Submission)).all()
    assert client.get(f"/runs/{submission.uuid}").status_code == 200
    assert not CANARY.exists()


@pytest.mark.attack("UP-11", "UP-12", "UP-13")
def test_no_part_of_the_portal_could_unpack_an_archive() -> None:
    unpacking = {"zipfile", "tarfile", "gzip", "bz2", "lzma", "unpack_archive", "PIL"}
    found = {
        path.relative_to(ROOT).as_posix(): names
        for folder in ("portal", "workers")
        for path in (ROOT / folder).rglob("*.py")
        if "examples" not in path.parts and (names := unpacking & set(imported(path)))
    }

    assert found == {"portal/downloads.py": {"zipfile"}}
    assert 'ZipFile(sink, "w")' in (ROOT / "portal/downloads.py").read_text()


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "").split(".")[0], *(alias.name for alias in node.names))
        elif isinstance(node, ast.Attribute):
            yield node.attr


# Kinds


POLYGLOTS = {
    "a.png": samples.PNG_SIGNATURE + b"<html><script>alert(1)</script>",
    "a.gif": b"GIF89a/*" + b"\0" * 20 + b"*/=1;alert(1)//",
    "a.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "a.html": b"<script>alert(1)</script>",
    "a.xhtml": b'<html xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></html>',
    "a.js": b"alert(1)",
    "a.pdf": b"%PDF-1.7 /OpenAction /JavaScript",
    "a.jpg": b"\xff\xd8\xff<script>alert(1)</script>",
}


@pytest.mark.attack("UP-14")
@pytest.mark.parametrize("name", POLYGLOTS)
def test_no_browser_runs_what_was_uploaded(client: FlaskClient, session: Session, data: Path, name: str) -> None:
    ending = name[1:]
    make_task(session, "t", "command", "true $I1", inputs=(ending,))
    make_job(session, "polyglots", [(1, "t")])
    body = form(upload(name.encode(), POLYGLOTS[name]), fields=FIELDS | {"job": "polyglots"})
    assert client.post(SUBMIT, data=body, content_type=MULTIPART).status_code == 201
    [submission] = session.scalars(select(Submission)).all()

    for path in ("submissions", f"runs/{submission.uuid}/results"):
        answer = client.get(f"/{path}/{submission.uuid}_input{ending}")
        assert answer.status_code == 200
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.mimetype in (
            "application/octet-stream",
            "application/pdf",
            *(f"image/{each}" for each in ("png", "gif", "jpeg")),
        )
        assert answer.mimetype.startswith("image/") or answer.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.attack("UP-14")
@pytest.mark.parametrize("name", POLYGLOTS)
@pytest.mark.parametrize("validator", ["png", "gif", "jpeg"])
def test_no_validator_of_images_takes_a_polyglot(name: str, validator: str) -> None:
    assert samples.refusal(validator, POLYGLOTS[name])


def huge_jpeg() -> bytes:
    return samples.JPEG_START + samples.segment(0xC0, struct.pack(">BHHB", 8, 60_000, 60_000, 3) + b"\1\x11\0" * 3)


def huge_gif() -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", 60_000, 60_000, 0, 0, 0) + b"\x3b"


@pytest.mark.attack("UP-15")
@pytest.mark.parametrize(
    ("validator", "data"),
    [
        (
            "png",
            samples.PNG_SIGNATURE
            + samples.png_header(60_000, 60_000)
            + samples.chunk(b"IDAT", b"x" * 30_000)
            + samples.chunk(b"IEND"),
        ),
        ("png", samples.PNG_SIGNATURE + samples.png_header(2**31 - 1, 2**31 - 1)),
        ("png", samples.PNG_SIGNATURE + samples.png_header(2**31 - 1, 1)),
        ("jpeg", huge_jpeg()),
        ("gif", huge_gif()),
    ],
)
def test_an_image_that_no_memory_holds_is_known_by_its_header(validator: str, data: bytes) -> None:
    assert "pixels" in str(samples.refusal(validator, data))


SEQUENCES: dict[str, tuple[Callable[[], Iterator[bytes]], bool]] = {
    "one line of 50 MB": (lambda: (b"ACGT" * 16_384 for _ in range(763)), True),
    "a million headers": (lambda: (b">a\n" * 10_000 for _ in range(100)), False),
    "a million marks": (lambda: (b">" * 10_000 for _ in range(100)), False),
    "UTF-16": (lambda: iter([">a\nACGT\n".encode("utf-16")]), False),
    "NUL": (lambda: iter([b">a\nAC\0GT\n"]), False),
    "no text": (lambda: iter([b">a\nAC\xffGT\n"]), False),
    "a header alone": (lambda: iter([b">a\n"]), False),
    "a header without end": (lambda: (b">" + b"a" * 65_535 for _ in range(160)), False),
}


@pytest.mark.attack("UP-16")
@pytest.mark.parametrize("kind", SEQUENCES)
def test_sequences_of_any_shape_are_read_in_little_memory(kind: str) -> None:
    make, fits = SEQUENCES[kind]
    tracemalloc.start()
    try:
        refusal = validators.check("fasta", Long(make()))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (refusal is None) is fits
    assert peak < 8_000_000


class Long(io.RawIOBase):
    """A stream of pieces that is kept nowhere."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._rest:
            self._rest = next(self._pieces, b"")
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece


# Amounts


@pytest.fixture
def narrow(data: Path, monkeypatch: pytest.MonkeyPatch, job: object) -> FlaskClient:
    """A portal that keeps 1,000 bytes for each."""
    monkeypatch.setenv("PORTAL_QUOTA_BYTES", "1000")
    settings.cache_clear()
    return fresh_client()


@pytest.mark.attack("UP-17")
@pytest.mark.parametrize("mouth", MOUTHS)
def test_the_same_file_again_and_again_meets_a_quota(
    narrow: FlaskClient, session: Session, data: Path, mouth: str
) -> None:
    answers = [send(narrow, upload(b"a.txt", b"x" * 150), mouth=mouth) for _ in range(12)]

    assert [answer.status_code in TAKEN for answer in answers] == [True] * 6 + [False] * 6
    assert {answer.status_code for answer in answers[6:]} <= {429}
    assert int(answers[-1].headers["Retry-After"]) > 0
    for word in ("900 bytes of the 1,000 bytes", "sign in"):
        assert word in answers[-1].text
    assert rows(session) == (6, 6) and len(everything(data)) == 6


@pytest.mark.attack("UP-17")
def test_another_address_has_a_quota_of_its_own(narrow: FlaskClient) -> None:
    there = {"REMOTE_ADDR": "192.0.2.7"}

    assert [send(narrow, upload(b"a.txt", b"x" * 900)).status_code for _ in range(2)] == [201, 429]
    assert send(narrow, upload(b"a.txt", b"x" * 900), environ_overrides=there).status_code == 201


@pytest.mark.attack("UP-17")
def test_many_at_one_instant_pass_no_quota(narrow: FlaskClient, session: Session) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(lambda _: send(narrow.application.test_client(), upload(b"a.txt", b"x" * 300)), range(8))
        )

    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [429] * 5
    assert quotas.used(session, None, "127.0.0.1") == 900


@pytest.mark.attack("UP-18", "DO-04")
@pytest.mark.parametrize("mouth", MOUTHS)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_in_the_store_leaves_nothing(
    client: FlaskClient,
    session: Session,
    data: Path,
    job: object,
    mouth: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(code, "no room")

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fsync)
        answer = send(client, upload(b"a.txt"), mouth=mouth)

    assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (507, True)
    assert "disk is full" in answer.text
    assert (rows(session), everything(data)) == ((0, 0), set())
    assert send(client, upload(b"a.txt"), mouth=mouth).status_code in TAKEN


@pytest.mark.attack("UP-18")
@pytest.mark.parametrize("mouth", MOUTHS)
def test_a_disk_that_is_full_while_a_body_comes_leaves_nothing(
    client: FlaskClient, session: Session, data: Path, job: object, mouth: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(tempfile.SpooledTemporaryFile[bytes]):
        def write(self, content: Any) -> int:
            raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(reception, "SpooledTemporaryFile", Full)
    monkeypatch.setattr(reception, "IN_MEMORY", 0)
    answer = send(client, upload(b"a.txt"), mouth=mouth)

    assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (507, True)
    assert (rows(session), everything(data)) == ((0, 0), set())
