"""Plain text in UTF-8."""

from __future__ import annotations

import codecs
from typing import BinaryIO

LABEL = "UTF-8 text"
BLOCK = 1 << 16


def check(stream: BinaryIO) -> str | None:
    decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
    try:
        while block := stream.read(BLOCK):
            text = decoder.decode(block)
            if "\0" in text:
                return f"line {line + text[: text.index(chr(0))].count(chr(10))} holds a NUL character."
            line += text.count("\n")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as wrong:
        return f"line {line + wrong.object[: wrong.start].count(10)} is not UTF-8 text."
    return None
