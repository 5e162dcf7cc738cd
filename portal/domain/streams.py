"""A stream read in bounded pieces: its lines, or its bytes. However long it or a line of it is, little is held."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

BLOCK = 1 << 16
MOST_PIXELS = 250_000_000
LONGEST_LINE = 1 << 20
LINE_ENDS = ("\n", "\r")


class Unfit(Exception):
    """Data that is not of its kind: a sentence that names the line or the byte."""


def lines(stream: BinaryIO) -> Iterator[str]:
    """The lines of UTF-8 text, with their ends. Raises Unfit for one that is no text or longer than 1 MiB."""
    for number, line in pieces(stream, LONGEST_LINE):
        if len(line) == LONGEST_LINE and not line.endswith(LINE_ENDS):
            raise Unfit(f"line {number} has more than {LONGEST_LINE:,} characters.")
        yield line


def pieces(stream: BinaryIO, longest: int = BLOCK) -> Iterator[tuple[int, str]]:
    """The lines with their numbers, a long one in several pieces. Raises Unfit for what is no UTF-8 text."""
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
    number = 1
    while piece := text.readline(longest):
        if not _is_text(piece):
            raise Unfit(f"line {number} is not UTF-8 text.")
        if "\0" in piece:
            raise Unfit(f"line {number} holds a NUL character.")
        yield number, piece
        number += piece.endswith(LINE_ENDS)


def _is_text(piece: str) -> bool:
    """Whether all bytes could be decoded: those that could not are halves of characters now."""
    try:
        piece.isascii() or piece.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_pixels(width: int, height: int) -> None:
    """Raises Unfit for an image that would fill the memory of whatever unpacks it."""
    if width * height > MOST_PIXELS:
        raise Unfit(f"it has {width:,} × {height:,} pixels, {MOST_PIXELS:,} are the most: make it smaller.")


class Bytes:
    """The bytes of a stream in their order; `at` is how many were taken."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._block = b""
        self._before = self._start = 0

    @property
    def at(self) -> int:
        return self._before + self._start

    def ahead(self, least: int = 1) -> bytes:
        """Some of the bytes that come next, at least so many if there are. They are not taken."""
        while len(self._block) - self._start < least and (more := self._stream.read(BLOCK)):
            self._before, self._block, self._start = self.at, self._block[self._start :] + more, 0
        return self._block[self._start :]

    def run(self, count: int) -> Iterator[bytes]:
        """Take the next `count` bytes, in pieces. Raises Unfit when there are fewer."""
        while count:
            piece = self.ahead()[:count]
            if not piece:
                raise Unfit(f"it ends too early, after {self.at:,} bytes: a part of it is missing.")
            self._start += len(piece)
            count -= len(piece)
            yield piece

    def take(self, count: int) -> bytes:
        return b"".join(self.run(count))

    def skip(self, count: int) -> None:
        for _ in self.run(count):
            pass
