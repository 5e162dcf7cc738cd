"""Spans of time and sizes, in words."""

from __future__ import annotations

import pytest

from portal.domain import durations, values


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0.0 s"),
        (0.44, "0.4 s"),
        (9.9, "9.9 s"),
        (12.4, "12 s"),
        (59.7, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3600, "1 h 00 min"),
        (7800, "2 h 10 min"),
        (86400 * 3 + 3600 * 4, "3 d 4 h"),
    ],
)
def test_it_tells_how_long_something_took(seconds: float, words: str) -> None:
    assert durations.words(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(None, ""), (0, "0 B"), (812, "812 B"), (15_230, "15.2 kB"), (3_400_000, "3.4 MB"), (2 * 10**13, "20.0 TB")],
)
def test_it_tells_how_large_something_is(count: int | None, words: str) -> None:
    assert values.size(count) == words
