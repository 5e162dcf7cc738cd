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


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("latin-1", b"gr\xf6\xdfer\n"),
        ("latin-9", b"10 \xa4"),
        ("Windows-1252", b"\x80 10\r\n"),
        ("utf-16", "größer\n".encode("utf-16")),
        ("ascii", b"plain\ttext\f\n"),
    ],
)
def test_it_accepts_the_encoding_that_is_asked_for(encoding: str, data: bytes) -> None:
    assert validators.check(f"text {encoding}", io.BytesIO(data)) is None


@pytest.mark.parametrize(
    ("encoding", "data", "sentence"),
    [
        ("utf-8", b"a\n\x1b[31m", "line 2 holds the control character U+001B."),
        ("latin-1", b"a\n\x80", "line 2 holds the control character U+0080."),
        ("ascii", b"a\nb\nc\xe9", "line 3 is not ASCII text."),
        ("windows-1252", b"\x81", "line 1 is not Windows-1252 text."),
        ("utf-16", "a\nb\n".encode("utf-16") + b"\x00\xd8a", "line 3 is not UTF-16 text."),
    ],
)
def test_it_says_which_line_is_not_of_its_encoding(encoding: str, data: bytes, sentence: str) -> None:
    assert validators.check(f"text {encoding}", io.BytesIO(data)) == sentence


def test_it_says_what_is_wrong_with_its_options() -> None:
    assert str(validators.check_options("text", "punycode")).startswith("“punycode” is none of the encodings utf-8,")
