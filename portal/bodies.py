"""Forms that are sent: read whole or refused, with so many fields and no more, whatever kind they are of."""

from __future__ import annotations

from io import BytesIO
from typing import IO, Any

from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

Parsed = tuple[IO[bytes], MultiDict[str, str], MultiDict[str, FileStorage]]
CANNOT_BE_READ = "The form cannot be read: it is cut off, or a field in it has no name in UTF-8 text."
TOO_MANY = "The form has more than {most:,} fields: send fewer."
LONGEST_BOUNDARY = 200  # RFC 2046 allows 70


class Unreadable(BadRequest, ValueError):
    """A form that nobody can read; a ValueError, as readers of forms expect it."""

    def __init__(self) -> None:
        super().__init__(CANNOT_BE_READ)


class Strict(FormDataParser):
    """Says when a form cannot be read, where Flask's own parser makes of it one without fields."""

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
