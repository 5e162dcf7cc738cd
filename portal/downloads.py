"""Files that analysts' code made, on their way out: given to be saved, never to be run by a browser."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from flask import Response, request, send_file

from portal.domain.errors import NotFound
from portal.services import logs, results

BLOCK = 1 << 18
PACKED = {".zip", ".gz", ".bz2", ".xz", ".png", ".jpg", ".jpeg", ".gif", ".pdf"}
HEADERS = {"Content-Security-Policy": "default-src 'none'; sandbox", "Cache-Control": "private, no-cache"}
PASSIVE = {
    "text/plain", "text/csv", "text/tab-separated-values", "application/json",
    "image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "application/pdf",
}  # fmt: skip


def file(stored: results.Stored, as_attachment: bool = True) -> Response:
    """A stored file, streamed; answers conditional and range requests."""
    response = send_file(
        results.open_file(stored),
        mimetype=stored.media_type if stored.media_type in PASSIVE else "application/octet-stream",
        as_attachment=as_attachment,
        download_name=stored.name,
        conditional=False,
        etag=stored.sha256,
    )
    response.content_length = stored.size
    response.headers.update(HEADERS)
    return _conditional(response, stored.size)


def text(name: str, content: bytes) -> Response:
    """What a step wrote, as plain text to save."""
    response = send_file(io.BytesIO(content), mimetype="text/plain", as_attachment=True, download_name=name)
    response.headers.update(HEADERS)
    return response


def log(name: str, written: logs.Log, etag: str) -> Response:
    """What a step wrote, as plain text to save; answers conditional and range requests."""
    response = send_file(
        io.BufferedReader(written, BLOCK),
        mimetype="text/plain",
        as_attachment=True,
        download_name=name,
        conditional=False,
        etag=etag,
    )
    response.content_length = written.size
    response.headers.update(HEADERS)
    return _conditional(response, written.size)


def _conditional(response: Response, length: int) -> Response:
    return response.make_conditional(_environ(), accept_ranges=True, complete_length=length)


def _environ() -> dict[str, Any]:
    """The request, without a Range that is not one of bytes: RFC 9110 has it ignored, and the whole sent."""
    asked = request.range
    if asked and asked.units == "bytes" and len(asked.ranges) == 1:
        return request.environ
    return {name: value for name, value in request.environ.items() if name != "HTTP_RANGE"}


def archive(name: str, files: Sequence[results.Stored]) -> Response:
    """Files in one zip, which is made while it is sent."""
    response = Response(_zipped(files), mimetype="application/zip")
    response.headers.set("Content-Disposition", "attachment", filename=name)
    response.headers.update(HEADERS)
    return response


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
    """A file that was removed meanwhile is left out."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as packing:
        for each in files:
            yield from _packed(packing, each, sink)
    yield sink.emptied()


def _packed(packing: zipfile.ZipFile, stored: results.Stored, sink: _Sink) -> Iterator[bytes]:
    entry = zipfile.ZipInfo(stored.name)
    entry.compress_type = zipfile.ZIP_STORED if PurePath(stored.name).suffix in PACKED else zipfile.ZIP_DEFLATED
    entry.file_size = stored.size
    try:
        stream = results.open_file(stored)
    except NotFound:
        return
    with stream, packing.open(entry, "w") as packed:
        while block := stream.read(BLOCK):
            packed.write(block)
            yield sink.emptied()
