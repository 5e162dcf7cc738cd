"""Plain text: characters of one encoding, none of them a control character."""

from __future__ import annotations

import codecs
import re
from typing import BinaryIO

from portal.domain.streams import BLOCK, Unfit

LABEL = "Plain text"
HINT = "Text without NUL or other control characters."
OPTIONS = "Its encoding: utf-8, ascii, latin-1, latin-9, windows-1252 or utf-16. Empty: utf-8."

ENCODINGS = {
    "utf-8": "UTF-8",
    "ascii": "ASCII",
    "latin-1": "Latin-1",
    "latin-9": "Latin-9",
    "windows-1252": "Windows-1252",
    "utf-16": "UTF-16",
}
CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f]")


def check_options(text: str) -> str | None:
    if not text or text.lower() in ENCODINGS:
        return None
    return f"“{text[:40]}” is none of the encodings {', '.join(ENCODINGS)}."


def check(stream: BinaryIO, options: str) -> str | None:
    encoding = options.lower() or "utf-8"
    decoder = codecs.getincrementaldecoder("iso8859-15" if encoding == "latin-9" else encoding)()
    line = 1
    while True:
        block = stream.read(BLOCK)
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeError as wrong:
            return f"line {line + _lines_before(wrong)} is not {ENCODINGS[encoding]} text."
        _check_characters(text, line)
        line += text.count("\n")
        if not block:
            return None


def _lines_before(wrong: UnicodeError) -> int:
    """How many lines of the block were read before the place that is wrong."""
    if not isinstance(wrong, UnicodeDecodeError):
        return 0
    return wrong.object[: wrong.start].decode(wrong.encoding, "ignore").count("\n")


def _check_characters(text: str, line: int) -> None:
    if found := CONTROL.search(text):
        code = ord(found[0])
        what = f"the control character U+{code:04X}" if code else "a NUL character"
        raise Unfit(f"line {line + text.count(chr(10), 0, found.start())} holds {what}.")
