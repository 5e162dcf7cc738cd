"""The validator of sizes."""

from __future__ import annotations

import pytest

from portal import validators
from tests.validators.samples import Endless, refusal


@pytest.mark.parametrize(
    ("options", "size"), [("10 B", 0), ("10 B", 10), ("5 B..10 B", 5), ("1 kB", 1000), ("1 KiB..1 MB", 1024)]
)
def test_it_accepts_a_size_within_its_bounds(options: str, size: int) -> None:
    assert refusal(f"size {options}", b"x" * size) is None


@pytest.mark.parametrize(
    ("options", "size", "sentence"),
    [
        ("10 B", 11, "it has more than 10 B."),
        ("5 B..10 B", 4, "it has 4 B, and 5 B are the least."),
        ("1 kB..10 MB", 999, "it has 999 B, and 1 kB are the least."),
    ],
)
def test_it_says_what_is_too_small_or_too_large(options: str, size: int, sentence: str) -> None:
    assert refusal(f"size {options}", b"x" * size) == sentence


def test_it_reads_no_further_than_it_must() -> None:
    stream = Endless(1_000_000_000, b"x")

    assert validators.check("size 1 MB", stream) == "it has more than 1 MB."
    assert stream.taken < 2_000_000


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("", "“” is not a size: write it like 500 MB"),
        ("big", "“big” is not a size: write it like 500 MB"),
        ("1 MB..", "“” is not a size"),
        ("2 MB..1 MB", "The smallest size is above the largest: exchange them."),
    ],
)
def test_it_says_what_is_wrong_with_its_options(options: str, sentence: str) -> None:
    assert str(validators.check_options("size", options)).startswith(sentence)
