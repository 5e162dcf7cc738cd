"""Files that analysts' code made, on their way out: given to be saved, never to be run by a browser."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from itertools import chain, count
from pathlib import PurePath
from typing import Any

from flask import Response, request, send_file

from portal.domain.errors import NotFound
from portal.domain.names import last_segment
from portal.models import Account
from portal.services import integrity, logs, results, trail

BLOCK = 1 << 18
PACKED = {".zip", ".gz", ".bz2", ".xz", ".png", ".jpg", ".jpeg", ".gif", ".pdf"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cache-Control": "private, no-store",
}
UNSAFE = re.compile('[:;"]')
GIVEN = (200, 206)
PASSIVE = {
    "text/plain", "text/csv", "text/tab-separated-values", "application/json",
    "image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "application/pdf",
}  # fmt: skip


def file(stored: results.Stored, account: Account | None, as_attachment: bool = True) -> Response:
    """A stored file, streamed, for this account (None: nobody signed in); answers conditional and range requests."""
    response = send_file(
        integrity.part(stored) if request.range else integrity.whole(stored),
        mimetype=stored.media_type if stored.media_type in PASSIVE else "application/octet-stream",
        as_attachment=as_attachment,
        download_name=_plain(stored.name),
        conditional=False,
        etag=stored.sha256,
    )
    response.content_length = stored.size
    answer = _conditional(_own_way(response), stored.size)
    if request.method == "GET" and answer.status_code in GIVEN:
        trail.fetched(account, request.remote_addr or "", stored.name)
    return answer


def _plain(name: str) -> str:
    """A name for a header, a disk and an archive, whatever a file was called."""
    return UNSAFE.sub("_", last_segment(name)).lstrip(".-") or "file"


def _own_way(response: Response) -> Response:
    """It is given to whoever asked and kept by nothing between; a browser runs nothing of it."""
    response.headers.update(HEADERS)
    response.vary.update(["Cookie", "Authorization"])
    return response


def log(name: str, written: logs.Log, etag: str) -> Response:
    """What a step wrote, as plain text to save; answers conditional and range requests."""
    response = send_file(
        io.BufferedReader(written, BLOCK),
        mimetype="text/plain",
        as_attachment=True,
        download_name=_plain(name),
        conditional=False,
        etag=etag,
    )
    response.content_length = written.size
    return _conditional(_own_way(response), written.size)


def _conditional(response: Response, length: int) -> Response:
    return response.make_conditional(_environ(), accept_ranges=True, complete_length=length)


def _environ() -> dict[str, Any]:
    """The request, without a Range that is not one of bytes: RFC 9110 has it ignored, and the whole sent."""
    asked = request.range
    if asked and asked.units == "bytes" and len(asked.ranges) == 1:
        return request.environ
    return {name: value for name, value in request.environ.items() if name != "HTTP_RANGE"}


def archive(name: str, files: Sequence[results.Stored], account: Account | None) -> Response:
    """Files in one zip, which is made while it is sent."""
    response = Response(_zipped(files), mimetype="application/zip")
    response.headers.set("Content-Disposition", "attachment", filename=_plain(name))
    if request.method == "GET":
        trail.fetched(account, request.remote_addr or "", name)
    return _own_way(response)


class _Sink(io.RawIOBase):
    """Where the zip is written to: what came since it was last emptied."""

    def __init__(self) -> None:
        self._came: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._came.append(bytes(data))
        return len(data)

    def emptied(self) -> bytes:
        came, self._came = b"".join(self._came), []
        return came


def _zipped(files: Sequence[results.Stored]) -> Iterator[bytes]:
    """A file that was removed meanwhile is left out; at one that is damaged it breaks off."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as packing:
        for each in files:
            yield from _packed(packing, each, sink)
    yield sink.emptied()


def _entry(packing: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """One that lands below the directory it is unpacked in, and upon no other."""
    plain = _plain(name)
    names = chain([plain], (f"{number}-{plain}" for number in count(2)))
    return zipfile.ZipInfo(next(free for free in names if free not in packing.NameToInfo))


def _packed(packing: zipfile.ZipFile, stored: results.Stored, sink: _Sink) -> Iterator[bytes]:
    entry = _entry(packing, stored.name)
    entry.compress_type = zipfile.ZIP_STORED if PurePath(stored.name).suffix in PACKED else zipfile.ZIP_DEFLATED
    entry.file_size = stored.size
    try:
        stream = integrity.whole(stored)
    except NotFound:
        return
    with stream, packing.open(entry, "w") as packed:
        while block := stream.read(BLOCK):
            packed.write(block)
            yield sink.emptied()
