"""The validator of lines that match a regular expression."""

from __future__ import annotations

import pytest

from portal import validators
from tests.validators.samples import refusal


@pytest.mark.parametrize(
    ("rule", "data"),
    [
        ("[A-Z]{2}[0-9]+", b"AB1\nCD22\r\nEF333"),
        (".+", "größer\n😀".encode()),
        ("a  b", b"a  b\n"),
        ("|a", b"a\n\na\n"),
        ("x", b""),
    ],
)
def test_it_accepts_lines_that_match_as_a_whole(rule: str, data: bytes) -> None:
    assert refusal(f"regex {rule}", data) is None


@pytest.mark.parametrize(
    ("rule", "data", "sentence"),
    [
        ("[A-Z]{2}[0-9]+", b"AB1\nAB1x\n", "line 2 does not match [A-Z]{2}[0-9]+."),
        ("a+", b"a\n\na", "line 2 does not match a+."),
        ("a|ab", b"ab\nb\n", "line 2 does not match a|ab."),
        ("a.b", b"a\xffb", "line 1 is not UTF-8 text."),
        ("a*", b"a" * 1_048_577, "line 1 has more than 1,048,576 characters."),
        ("(a+)+b", b"a" * 1_000_000, "line 1 does not match (a+)+b."),
        ("(a|a)*(a|a)*(a|a)*b", b"a" * 1_000_000, "line 1 does not match (a|a)*(a|a)*(a|a)*b."),
    ],
)
def test_it_says_which_line_does_not_match(rule: str, data: bytes, sentence: str) -> None:
    assert refusal(f"regex {rule}", data) == sentence


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("", "Give the regular expression that every line must match."),
        ("(", "This is not a regular expression that is known here: missing ): (."),
        ("(?=a)b", "This is not a regular expression that is known here: invalid perl operator"),
        (r"(a)\1", "This is not a regular expression that is known here: invalid escape sequence"),
        ("((a{1000}){1000}){1000}", "This is not a regular expression that is known here: "),
    ],
)
def test_it_says_what_is_wrong_with_its_options(rule: str, sentence: str) -> None:
    assert str(validators.check_options("regex", rule)).startswith(sentence)
