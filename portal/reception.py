"""Where a request waits until it is whole, so that a slow client never has one of the application's few places.

A body goes to a temporary file without a name first. What is wrong with it is said when the application reads it, in
the form that its client knows.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Iterable
from tempfile import SpooledTemporaryFile
from threading import BoundedSemaphore
from typing import IO, Any

from gunicorn.http.errors import ParseException
from werkzeug.exceptions import BadRequest, RequestTimeout
from werkzeug.http import parse_options_header

from portal.domain.errors import NoRoom, Unavailable

BLOCK = 1 << 16
IN_MEMORY = 1 << 16
PLACES = 16
MOST_BODIES = 400
FORM = "multipart/form-data"
NOT_WHOLE = "The body of the request did not come whole, or not within the time: send it again."
UNREADABLE = "The body of the request cannot be read: its length or its chunks are wrong."
FULL = "The portal's disk is full: try again later."
BUSY = "Too many requests are sent at this moment: send yours again in a minute."


class Reception:
    """Takes the body of a request, then lets it to the application as soon as a place is free."""

    def __init__(self, app: Callable[..., Iterable[bytes]], largest: int, largest_text: int) -> None:
        self.app = app
        self.largest = largest
        self.largest_text = largest_text
        self.places = BoundedSemaphore(PLACES)
        self.bodies = BoundedSemaphore(MOST_BODIES)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = self._body(environ)
        if body:
            environ["wsgi.input"] = body
        with self.places:
            return self.app(environ, start_response)

    def _body(self, environ: dict[str, Any]) -> IO[bytes] | None:
        """The body; None where there is none, or where the application refuses it for its length alone."""
        length = _length(environ)
        if length == 0:
            return None
        most = self.largest if parse_options_header(environ.get("CONTENT_TYPE"))[0] == FORM else self.largest_text
        if (length or 0) > most:
            return None
        if not self.bodies.acquire(blocking=False):
            return _Broken(Unavailable(BUSY))
        try:
            return _taken(environ["wsgi.input"], length, most)
        finally:
            self.bodies.release()


def _length(environ: dict[str, Any]) -> int | None:
    """The length that the client names; None where it sends chunks. What is no length, the application refuses."""
    if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        return None
    named = environ.get("CONTENT_LENGTH") or "0"
    return int(named) if named.isascii() and named.isdecimal() else 0


def _taken(source: IO[bytes], length: int | None, most: int) -> IO[bytes]:
    """One byte more than is allowed tells the application that it was too much."""
    body = _empty(length)
    size, wanted = 0, most + 1 if length is None else length
    try:
        while size < wanted and (block := source.read(min(BLOCK, wanted - size))):
            body.write(block)
            size += len(block)
    except (OSError, ParseException) as failure:
        body.close()
        return _Broken(_reason(failure))
    if length is not None and size < length:
        body.close()
        return _Broken(RequestTimeout(NOT_WHOLE))
    body.seek(0)
    return body


def _empty(length: int | None) -> IO[bytes]:
    """What is known to be small needs no file."""
    if length is not None and length <= IN_MEMORY:
        return io.BytesIO()
    return SpooledTemporaryFile(IN_MEMORY)  # type: ignore[return-value]


def _reason(failure: OSError | ParseException) -> Exception:
    return NoRoom(FULL) if getattr(failure, "errno", None) in (errno.ENOSPC, errno.EDQUOT) else BadRequest(UNREADABLE)


class _Broken(io.RawIOBase):
    """A body that could not be taken: whoever reads it learns why."""

    def __init__(self, reason: Exception) -> None:
        self._reason = reason

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        raise self._reason

    def read(self, size: int = -1) -> bytes:
        raise self._reason
