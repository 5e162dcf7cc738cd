"""Forms that are sent: read whole or refused, with so many fields and no more, whatever kind they are of.

The files in a form are not copied out of its body: each is a part of that one file, read where it stands.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from io import BytesIO
from typing import IO, Any, cast

from flask import current_app, request
from werkzeug.datastructures import FileStorage, Headers, MultiDict
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser, MultiPartParser
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from portal.settings import Settings

Parsed = tuple[IO[bytes], MultiDict[str, str], MultiDict[str, FileStorage]]
CANNOT_BE_READ = "The form cannot be read: it is cut off, or a field in it has no name in UTF-8 text."
TOO_MANY = "The form has more than {most:,} fields: send fewer."
TOO_MANY_INPUTS = "The form has more than {most:,} files of {name}: send fewer."
LONGEST_BOUNDARY = 200  # RFC 2046 allows 70
BLOCK = 1 << 16


class Unreadable(BadRequest, ValueError):
    """A form that nobody can read; a ValueError, as readers of forms expect it."""

    def __init__(self) -> None:
        super().__init__(CANNOT_BE_READ)


class Strict(FormDataParser):
    """Says when a form cannot be read, where Flask's own parser makes of it one without fields."""

    repeated = ""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, silent=False)

    def parse(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: dict[str, str] | None = None
    ) -> Parsed:
        if len((options or {}).get("boundary", "")) > LONGEST_BOUNDARY:
            raise Unreadable
        try:
            read, fields, files = super().parse(stream, mimetype, content_length, options)
        except ValueError:
            raise Unreadable from None
        if None in fields or None in files:
            raise Unreadable
        return read, fields, files

    def _parse_urlencoded(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: dict[str, str]
    ) -> Parsed:
        content = stream.read()
        if self.max_form_parts is not None and content.count(b"&") >= self.max_form_parts:
            raise RequestEntityTooLarge(TOO_MANY.format(most=self.max_form_parts))
        return super()._parse_urlencoded(BytesIO(content), mimetype, content_length, options)

    def _parse_multipart(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: dict[str, str]
    ) -> Parsed:
        fields: list[tuple[str, str]] = []
        files: list[tuple[str, FileStorage]] = []
        inputs = 0
        for part, content in self._parts(stream, options.get("boundary", "").encode("ascii")):
            if isinstance(content, Slice):
                files.append((part.name, FileStorage(cast(IO[bytes], content), content.filename, part.name)))
            else:
                fields.append((part.name, content.decode(_charset(part.headers), "replace")))
            inputs += part.name == self.repeated
            self._check(len(fields) + len(files) - inputs, inputs)
        return stream, self.cls(fields), self.cls(files)

    def _check(self, others: int, inputs: int) -> None:
        most, most_inputs = self.max_form_parts, cast(Settings, current_app.config["PORTAL"]).portal_max_inputs
        if most is not None and others > most:
            raise RequestEntityTooLarge(TOO_MANY.format(most=most))
        if inputs > most_inputs:
            raise RequestEntityTooLarge(TOO_MANY_INPUTS.format(most=most_inputs, name=self.repeated))

    def _parts(self, stream: IO[bytes], boundary: bytes) -> Iterator[tuple[Field | File, bytes | Slice]]:
        """Each part with what is in it: of a field its bytes, of a file its place in the body."""
        if not boundary:
            raise Unreadable
        decoder, body, taken = MultipartDecoder(boundary, self.max_form_memory_size), request.environ["wsgi.input"], 0
        part: Field | File | None = None
        content: bytearray | Slice = bytearray()
        while not decoder.complete:
            block = stream.read(BLOCK)
            taken += len(block)
            decoder.receive_data(block or None)
            while not isinstance(event := decoder.next_event(), Epilogue | NeedData):
                if isinstance(event, Field | File):
                    part = event
                    begins = taken - len(decoder.buffer) + _line_break(decoder.buffer)
                    content = Slice(body, begins, event.filename) if isinstance(event, File) else bytearray()
                elif isinstance(event, Data) and part is not None:
                    self._take(content, event.data)
                    if not event.more_data:
                        yield part, content if isinstance(content, Slice) else bytes(content)
                        part = None

    def _take(self, content: bytearray | Slice, data: bytes) -> None:
        if isinstance(content, Slice):
            content.size += len(data)
            return
        content += data
        if self.max_form_memory_size is not None and len(content) > self.max_form_memory_size:
            raise RequestEntityTooLarge


class WithInputs(Strict):
    """The form of a submission, which may hold many inputs beside its fields."""

    repeated = "input_data"


class Slice(io.RawIOBase):
    """A file of a form, where it stands in the body."""

    def __init__(self, body: IO[bytes], begins: int, filename: str) -> None:
        self.body, self.begins, self.filename = body, begins, filename
        self.size = self.place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.place = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.size}[whence])
        return self.place

    def tell(self) -> int:
        return self.place

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self.size - self.place)
        self.body.seek(self.begins + self.place)
        data = self.body.read(left if size is None or size < 0 else min(size, left))
        self.place += len(data)
        return data

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _charset(headers: Headers) -> str:
    """As Flask's own parser understands it, which has UTF-8 for a part that names no type."""
    return MultiPartParser().get_part_charset(headers) if "Content-Type" in headers else "utf-8"


def _line_break(buffer: bytearray) -> int:
    """How long the line break is that the content begins after."""
    return 2 if buffer.startswith(b"\r\n") else 1
