"""The validator of comma-separated tables."""

from __future__ import annotations

import io

import pytest

from portal import validators


def refusal(data: bytes) -> str | None:
    return validators.check("csv", io.BytesIO(data))


@pytest.mark.parametrize(
    "data",
    [
        b"a,b\n1,2\n",
        b"a,b",
        b"a,b\r\n1,2\r\n",
        b"\xef\xbb\xbfa,b\n1,2\n",
        "größe,😀\n1,2\n".encode(),
        b'a,b\n"x, ""y""\nz",2\n',
        b"a\n1\n\n2\n",
    ],
)
def test_it_accepts_a_table(data: bytes) -> None:
    assert refusal(data) is None


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "the first line must name the columns."),
        (b"\n1,2\n", "the first line must name the columns."),
        (b" , \n1,2\n", "the first line must name the columns."),
        (b"a,b\n1,2\n1,2,3\n", "line 3 has 3 fields where the header has 2."),
        (b'a,b\n"x\ny",2\n1\n', "line 4 has 1 fields where the header has 2."),
        (b"a,b\n1,2\n\xff,3\n", "line 3 is not UTF-8 text."),
        (b"a,b\n" + b"1,2\n" * 9000 + b"\xe9,3\n", "line 9002 is not UTF-8 text."),
        (b'a,b\n1,"2"x\n', "line 2: "),
        (b'a,b\n1,"2\n', "line 2: "),
        (b"\x89PNG\r\n\x1a\n", "line 1 is not UTF-8 text."),
    ],
)
def test_it_says_which_line_is_wrong_and_why(data: bytes, sentence: str) -> None:
    assert str(refusal(data)).startswith(sentence)


def test_it_says_that_a_validator_is_not_installed() -> None:
    assert validators.check("fasta_of_old", io.BytesIO(b"")) == "the validator fasta_of_old is not installed."
