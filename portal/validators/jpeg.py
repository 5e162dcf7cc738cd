"""JPEG images: every segment is whole, with a frame and a scan, up to the end of the image. More may follow it."""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

from portal.domain.streams import Bytes, Unfit, check_pixels

LABEL = "JPEG image"
HINT = "A whole JPEG image."
OPTIONS = ""

START, END, SCAN = 0xD8, 0xD9, 0xDA
ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def check(stream: BinaryIO, options: str) -> str | None:
    source = Bytes(stream)
    if not source.ahead(3).startswith(b"\xff\xd8\xff"):
        return "it is no JPEG image: it does not begin like one."
    source.skip(2)
    seen: set[int] = set()
    while (marker := _marker(source)) != END:
        if marker not in ALONE:
            _pass_segment(source, marker)
        if marker == SCAN and not seen & FRAMES:
            return f"byte {source.at:,}: the pixels come before the header that describes them."
        if marker == SCAN:
            _pass_pixels(source)
        seen.add(marker)
    return None if SCAN in seen else "it is a JPEG image without pixels."


def _marker(source: Bytes) -> int:
    """What comes next; bytes of FF may stand before it."""
    if source.take(1) != b"\xff":
        raise Unfit(f"byte {source.at:,}: a segment of a JPEG image must begin here.")
    while not (rest := source.ahead().lstrip(b"\xff")):
        source.skip(max(1, len(source.ahead())))
    source.skip(len(source.ahead()) - len(rest))
    marker = source.take(1)[0]
    if marker in (0, START):
        raise Unfit(f"byte {source.at:,}: a segment of a JPEG image must begin here.")
    return marker


def _pass_segment(source: Bytes, marker: int) -> None:
    start = source.at
    length = int.from_bytes(source.take(2), "big") - 2
    if length < 0:
        raise Unfit(f"byte {start + 1:,}: a segment cannot be shorter than its own length.")
    head = source.take(min(length, 6))
    source.skip(length - len(head))
    if marker in FRAMES and (len(head) < 6 or not struct.unpack(">xHHB", head)[1]):
        raise Unfit(f"byte {start + 1:,}: the header describes no possible image.")
    if marker in FRAMES:
        height, width = struct.unpack(">xHH", head[:5])
        check_pixels(width, height)


def _pass_pixels(source: Bytes) -> None:
    """Up to the FF of the next marker, where it is more than a byte of the pixels or a mark between them."""
    while True:
        ahead = source.ahead(2)
        if found := AFTER_SCAN.search(ahead):
            source.skip(found.start())
            return
        source.skip(max(2, len(ahead)) - ahead.endswith(b"\xff"))
