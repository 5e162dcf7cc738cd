"""Times, sizes and numbers as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from portal.domain.sizes import NUMBER, SIZE, TIME, Measure


@pytest.mark.parametrize(
    ("measure", "text", "value"),
    [
        (TIME, "90", 90),
        (TIME, "90 s", 90),
        (TIME, " 10min ", 600),
        (TIME, "2 h", 7200),
        (TIME, "1.5 hours", 5400),
        (TIME, "1 h 30 min", 5400),
        (TIME, "1d", 86_400),
        (TIME, "0", 0),
        (SIZE, "500 MB", 500_000_000),
        (SIZE, "2 gb", 2_000_000_000),
        (SIZE, "1.5G", 1_500_000_000),
        (SIZE, "2 GiB", 2 * 1024**3),
        (SIZE, "64kib", 65_536),
        (SIZE, "1048576", 1_048_576),
        (SIZE, "1,000,000 bytes", 1_000_000),
        (NUMBER, "10000", 10_000),
        (NUMBER, "10,000", 10_000),
        (NUMBER, "10 000", 10_000),
    ],
)
def test_it_reads_what_people_write(measure: Measure, text: str, value: int) -> None:
    assert measure.read(text) == value


@pytest.mark.parametrize(
    ("measure", "text"),
    [
        *((TIME, text) for text in ("", "soon", "1 week", "-1 s", "1e3", "1 2", "1 h 30", "0.5 s", "1..5 s", "२ h")),
        *((SIZE, text) for text in ("big", "1,5 GB", "2 h", "0.5 B", "1 XB", "GB", "5 MB!", "\0")),
        *((NUMBER, text) for text in ("many", "1.5", "1 MB", "1,00", "1" * 61, "9" * 21)),
    ],
)
def test_it_refuses_what_it_cannot_be_sure_of_and_says_how_to_write_it(measure: Measure, text: str) -> None:
    with pytest.raises(ValueError, match=r"^“.*” is not a (time|size|number): write it like "):
        measure.read(text)


@pytest.mark.parametrize(
    ("measure", "value", "words"),
    [
        (TIME, 0, "0 s"),
        (TIME, 90, "1 min 30 s"),
        (TIME, 7200, "2 h"),
        (TIME, 90_000, "1 d 1 h"),
        (SIZE, 0, "0 B"),
        (SIZE, 500_000_000, "500 MB"),
        (SIZE, 1_500_000_000, "1.5 GB"),
        (SIZE, 2 * 1024**3, "2 GiB"),
        (SIZE, 1_234_567, "1234567 B"),
        (NUMBER, 10_000, "10,000"),
    ],
)
def test_it_says_it_in_words(measure: Measure, value: int, words: str) -> None:
    assert measure.words(value) == words


@given(some.sampled_from([TIME, SIZE, NUMBER]), some.integers(0, 2**60) | some.integers(0, 10**6))
def test_it_reads_its_own_words_exactly(measure: Measure, value: int) -> None:
    assert measure.read(measure.words(value)) == value


@given(some.sampled_from([TIME, SIZE, NUMBER]), some.text())
def test_it_bears_with_any_text(measure: Measure, text: str) -> None:
    try:
        assert measure.read(text) >= 0
    except ValueError as refusal:
        assert "write it like" in str(refusal)
