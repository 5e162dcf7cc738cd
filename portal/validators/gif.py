"""GIF images: every block is whole, from the header to the trailer, and at least one of them is an image."""

from __future__ import annotations

import struct
from typing import BinaryIO

from portal.domain.streams import Bytes, Unfit, check_pixels

LABEL = "GIF image"
HINT = "A whole GIF image, still or moving."
OPTIONS = ""

SIGNATURES = (b"GIF87a", b"GIF89a")
EXTENSION, IMAGE, TRAILER = 0x21, 0x2C, 0x3B


def check(stream: BinaryIO, options: str) -> str | None:
    source = Bytes(stream)
    if not source.ahead(len(SIGNATURES[0])).startswith(SIGNATURES):
        return "it is no GIF image: it does not begin like one."
    source.skip(len(SIGNATURES[0]))
    _pass_screen(source)
    images = 0
    while (kind := source.take(1)[0]) != TRAILER:
        if kind == IMAGE:
            _pass_image(source)
            images += 1
        elif kind == EXTENSION:
            source.skip(1)
            _pass_blocks(source)
        else:
            return f"byte {source.at:,}: a block of a GIF image must begin here."
    return None if images else "it is a GIF without an image."


def _pass_screen(source: Bytes) -> None:
    width, height, flags = struct.unpack("<HHB2x", source.take(7))
    check_pixels(width, height)
    _pass_colours(source, flags)


def _pass_image(source: Bytes) -> None:
    width, height, flags = struct.unpack("<4xHHB", source.take(9))
    if not (width and height):
        raise Unfit(f"byte {source.at:,}: an image of no size.")
    check_pixels(width, height)
    _pass_colours(source, flags)
    if not 1 <= source.take(1)[0] <= 11:
        raise Unfit(f"byte {source.at:,}: no possible size of the codes that follow.")
    _pass_blocks(source)


def _pass_colours(source: Bytes, flags: int) -> None:
    """The table of colours, if the flags name one."""
    if flags & 0x80:
        source.skip(3 << ((flags & 7) + 1))


def _pass_blocks(source: Bytes) -> None:
    """Blocks that each begin with their length, up to an empty one: many in one go, for each may be a single byte."""
    while True:
        ahead, at = source.ahead(), 0
        end = len(ahead)
        while at < end and (length := ahead[at]):
            at += length + 1
        source.skip(at)
        if at < end:
            source.skip(1)
            return
        if not end:
            source.skip(1)
