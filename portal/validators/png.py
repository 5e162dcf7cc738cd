"""PNG images: every chunk is whole and has its check sum, from the header to the end."""

from __future__ import annotations

import re
import struct
import zlib
from typing import BinaryIO

from portal.domain.streams import Bytes, Unfit, check_pixels

LABEL = "PNG image"
HINT = "A whole PNG image."
OPTIONS = ""

SIGNATURE = b"\x89PNG\r\n\x1a\n"
NAME = re.compile(rb"[A-Za-z]{4}")
LARGEST = (1 << 31) - 1
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


def check(stream: BinaryIO, options: str) -> str | None:
    source = Bytes(stream)
    if not source.ahead(len(SIGNATURE)).startswith(SIGNATURE):
        return "it is no PNG image: it does not begin like one."
    source.skip(len(SIGNATURE))
    _check_header(source)
    pixels = False
    while (name := _pass_chunk(source)) != b"IEND":
        pixels = pixels or name == b"IDAT"
    if not pixels:
        return "it is a PNG image without pixels."
    return f"it goes on after the end of the image, at byte {source.at + 1:,}." if source.ahead() else None


def _check_header(source: Bytes) -> None:
    if source.ahead(18)[:8] != b"\x00\x00\x00\x0dIHDR":
        raise Unfit(f"byte {source.at + 1:,}: the header of a PNG image must come first.")
    width, height, depth, colour = struct.unpack(">IIBB", source.ahead(18)[8:18].ljust(10, b"\0"))
    if not (0 < width <= LARGEST and 0 < height <= LARGEST and depth in DEPTHS.get(colour, ())):
        raise Unfit(f"byte {source.at + 9:,}: the header names no possible image.")
    check_pixels(width, height)
    _pass_chunk(source)


def _pass_chunk(source: Bytes) -> bytes:
    """Take one chunk; gives its name."""
    start = source.at
    length, name = struct.unpack(">I4s", source.take(8))
    if length > LARGEST or not NAME.fullmatch(name):
        raise Unfit(f"byte {start + 1:,}: a chunk of a PNG image must begin here.")
    found = zlib.crc32(name)
    for piece in source.run(length):
        found = zlib.crc32(piece, found)
    if found != int.from_bytes(source.take(4), "big"):
        raise Unfit(f"byte {start + 1:,}: the chunk {name.decode('ascii')} that begins here is damaged.")
    return bytes(name)
