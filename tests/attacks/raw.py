"""What no well-behaved client sends: requests by the byte, and the web server that gets them, as started by `start`."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.servers import Portal, eventually, flask, process, settings_for

BOUNDARY = "a1b2c3"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
URLENCODED = "application/x-www-form-urlencoded"
SUBMIT = "/analytics_automated/submission.json"
FIELDS = {"job": "word_count", "submission_name": "a run", "email": "ann@example.org"}


@contextmanager
def web_server(data: Path, extra: Mapping[str, str] | None = None) -> Iterator[Portal]:
    """The web server alone, with the bundled examples; its temporary files are in the data's own directory."""
    temporary = data / "tmp"
    temporary.mkdir(parents=True)
    chosen = settings_for(data, {"TMPDIR": str(temporary), **(extra or {})})
    flask("setup", extra=chosen)
    bind = f"127.0.0.1:{chosen['PORT']}"
    command = [sys.executable, "-m", "gunicorn", "-c", "python:portal.serving", "app:create_app()", "--bind", bind]
    with process(command, chosen, data / "log") as running:
        portal = Portal(f"http://{bind}", data, chosen, data / "log", running)
        eventually(portal.answers)
        yield portal


def port(portal: Portal) -> int:
    return int(portal.url.rpartition(":")[2])


def connected(portal: Portal, seconds: float = 30) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port(portal)), timeout=seconds)


def talk(portal: Portal, sent: bytes, ends: bool = True) -> bytes:
    """All that comes back. `ends`: the client says that it sends no more."""
    with connected(portal) as client:
        with suppress(OSError):
            client.sendall(sent)
        if ends:
            with suppress(OSError):
                client.shutdown(socket.SHUT_WR)
        return received(client)


def received(client: socket.socket) -> bytes:
    came = b""
    with suppress(ConnectionError):
        while block := client.recv(65536):
            came += block
    return came


def statuses(answers: bytes) -> list[int]:
    """The status of each answer in what came back."""
    return [int(line.split()[1]) for line in answers.split(b"\r\n") if line.startswith(b"HTTP/1.")]


def request(method: str = "GET", path: str = "/sign-in", body: bytes = b"", **headers: str) -> bytes:
    """A request; `Content_Length` and the like are headers, None leaves the usual one out."""
    usual = {"Host": "localhost", "Connection": "close"}
    given = usual | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def part(name: str, content: bytes, filename: bytes | None = None) -> bytes:
    """One part of a form, its file name as it is."""
    named = b'; filename="' + filename + b'"' if filename is not None else b""
    head = b'Content-Disposition: form-data; name="' + name.encode() + b'"' + named
    return b"--" + BOUNDARY.encode() + b"\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


def form(
    *parts: bytes, fields: Mapping[str, str] = FIELDS, end: bytes = b"--" + BOUNDARY.encode() + b"--\r\n"
) -> bytes:
    return b"".join([*(part(name, value.encode()) for name, value in fields.items()), *parts, end])


def chunked(body: bytes, size: int = 8192) -> bytes:
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
