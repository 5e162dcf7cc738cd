"""The validator of plain text."""

from __future__ import annotations

import io

import pytest

from portal import validators


def refusal(data: bytes) -> str | None:
    return validators.check("text", io.BytesIO(data))


@pytest.mark.parametrize("data", [b"", b"a\nb", "é😀\r\n".encode(), b"x" * 65535 + "é".encode()])
def test_it_accepts_text(data: bytes) -> None:
    assert refusal(data) is None


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"a\nb\n\xff\n", "line 3 is not UTF-8 text."),
        (b"a\nb\0\n", "line 2 holds a NUL character."),
        (b"a\n" * 40000 + b"\xe9!\n", "line 40001 is not UTF-8 text."),
        (b"a\n" * 40000 + b"\0", "line 40001 holds a NUL character."),
        (b"a\nb\xc3", "line 2 is not UTF-8 text."),
        (b"\x80", "line 1 is not UTF-8 text."),
    ],
)
def test_it_says_which_line_is_wrong_and_why(data: bytes, sentence: str) -> None:
    assert refusal(data) == sentence
