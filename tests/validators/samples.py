"""Small files of every kind, made here byte by byte, and streams that are long without being kept anywhere."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from portal import validators

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def refusal(entry: str, data: bytes) -> str | None:
    return validators.check(entry, io.BytesIO(data))


def chunk(name: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_header(width: int = 2, height: int = 2, depth: int = 8, colour: int = 2) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


PIXELS = chunk(b"IDAT", zlib.compress(b"\0\xff\0\0\0\xff\0" * 2))
PNG = PNG_SIGNATURE + png_header() + chunk(b"tEXt", b"Author\0Ann") + PIXELS + chunk(b"IEND")

GIF_SCREEN = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
GIF_IMAGE = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02D\x01\0"
GIF = GIF_SCREEN + b"\x21\xf9\x04\x01\0\0\0\0" + GIF_IMAGE + b"\x3b"


def segment(marker: int, data: bytes = b"") -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


JPEG_START = b"\xff\xd8" + segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0") + segment(0xDB, b"\0" + b"\x01" * 64)
JPEG_FRAME = segment(0xC0, b"\x08" + struct.pack(">HH", 8, 8) + b"\x01\x01\x11\0")
JPEG_SCAN = segment(0xDA, b"\x01\x01\0\0\x3f\0") + b"\x12\xff\x00\x34\xff\xd0\x56\xff\xff"
JPEG = JPEG_START + JPEG_FRAME + JPEG_SCAN + b"\xd9"

ATOM = "ATOM      1  N   MET A   1      27.340  24.430   2.614  1.00  9.67           N  "
PDB = f"HEADER    HYDROLASE\n{ATOM}\nHETATM    2  O   HOH A 101     -27.340  -4.430 -12.614\nEND\n".encode()

PROTEIN = b"MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQFEVV"
DNA = b"ACGTTGCAAGCTTGCATGCCTGCAGGTCGACTCTAGAGGATCCCCGGGTACC"


class Endless(io.RawIOBase):
    """A stream of so many bytes: a beginning, then one piece again and again, then an end."""

    def __init__(self, size: int, piece: bytes, begin: bytes = b"", end: bytes = b"") -> None:
        self.taken = 0
        self._blocks = self._all(size, piece * (1 + (1 << 16) // len(piece)), begin, end)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._rest = self._rest or next(self._blocks, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self.taken += count
        return count

    def _all(self, size: int, block: bytes, begin: bytes, end: bytes) -> Iterator[bytes]:
        if begin:
            yield begin
        for _ in range(size // len(block)):
            yield block
        if end:
            yield end
