"""The validators of images: a whole one passes, anything else is refused with the place."""

from __future__ import annotations

import pytest

from tests.validators import samples
from tests.validators.samples import GIF, JPEG, PNG, chunk, refusal

IMAGES = {"png": PNG, "gif": GIF, "jpeg": JPEG}
LONG_PNG = samples.PNG_SIGNATURE + samples.png_header() + chunk(b"IDAT", b"x" * 200_000) + chunk(b"IEND")
LONG_JPEG = samples.JPEG_START + samples.JPEG_FRAME + samples.JPEG_SCAN[:-2] + b"\xff\0" * 100_001 + b"\xff\xd9"
LONG_GIF = samples.GIF_SCREEN + samples.GIF_IMAGE[:11] + b"\x01x" * 100_001 + b"\0\x3b"
PROGRESSIVE = samples.JPEG_START + samples.JPEG_FRAME + samples.JPEG_SCAN[:-1] + samples.JPEG_SCAN + b"\xd9"


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        *IMAGES.items(),
        ("png", LONG_PNG),
        ("jpeg", LONG_JPEG),
        ("gif", LONG_GIF),
        ("jpeg", PROGRESSIVE),
        ("jpeg", samples.JPEG_START + b"\xff" * 200_000 + JPEG[len(samples.JPEG_START) :]),
        ("jpeg", JPEG + b"what a telephone adds"),
        ("gif", GIF[:-1] + samples.GIF_IMAGE + b"\x3b"),
    ],
)
def test_it_accepts_a_whole_image(kind: str, data: bytes) -> None:
    assert refusal(kind, data) is None


@pytest.mark.parametrize("kind", IMAGES)
def test_it_refuses_an_image_that_is_cut_off_anywhere(kind: str) -> None:
    whole = IMAGES[kind]
    for length in range(len(whole)):
        assert refusal(kind, whole[:length]), length
    assert "a part of it is missing" in str(refusal(kind, whole[:-1]))


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("other", ["text", "png", "gif", "jpeg"])
def test_it_refuses_what_is_something_else(kind: str, other: str) -> None:
    data = IMAGES.get(other, "a text, größer".encode())
    if kind != other:
        assert refusal(kind, data) == f"it is no {kind.upper()} image: it does not begin like one."


@pytest.mark.parametrize(
    ("kind", "data", "sentence"),
    [
        ("png", PNG.replace(b"Author\0Ann", b"Author\0Bob"), "byte 34: the chunk tEXt that begins here is damaged."),
        ("png", PNG[:8] + PNG[33:], "byte 9: the header of a PNG image must come first."),
        ("png", samples.PNG_SIGNATURE + samples.png_header(width=0), "byte 17: the header names no possible image."),
        ("png", samples.PNG_SIGNATURE + samples.png_header(depth=3), "byte 17: the header names no possible image."),
        ("png", samples.PNG_SIGNATURE + samples.png_header() + chunk(b"IEND"), "it is a PNG image without pixels."),
        ("png", PNG + b"more", f"it goes on after the end of the image, at byte {len(PNG) + 1}."),
        ("png", PNG[:33] + b"\xff" * 40, "byte 34: a chunk of a PNG image must begin here."),
        ("gif", samples.GIF_SCREEN + b"\x3b", "it is a GIF without an image."),
        ("gif", samples.GIF_SCREEN + b"hello", "byte 20: a block of a GIF image must begin here."),
        ("gif", GIF.replace(b"\x01\0\x01\0\0\x02", b"\0\0\x01\0\0\x02"), "byte 37: an image of no size."),
        ("gif", GIF.replace(b"\0\x02\x02D", b"\0\x0c\x02D"), "byte 38: no possible size of the codes that follow."),
        ("jpeg", samples.JPEG_START + samples.JPEG_FRAME + b"\xff\xd9", "it is a JPEG image without pixels."),
        ("jpeg", samples.JPEG_START + b"hello", "byte 90: a segment of a JPEG image must begin here."),
        ("jpeg", b"\xff\xd8\xff\xe0\0\x01", "byte 5: a segment cannot be shorter than its own length."),
        ("jpeg", samples.JPEG_START + samples.JPEG_SCAN, "byte 99: the pixels come before the header"),
        ("jpeg", samples.JPEG_START + samples.segment(0xC0, b"\x08\0\0"), "byte 92: the header describes no possible"),
    ],
)
def test_it_says_at_which_byte_an_image_is_wrong_and_why(kind: str, data: bytes, sentence: str) -> None:
    assert str(refusal(kind, data)).startswith(sentence)
