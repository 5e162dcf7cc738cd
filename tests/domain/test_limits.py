"""How far a run may go: what its task asks, what is usual at its backend, and the ceilings."""

from __future__ import annotations

import pytest

from portal.domain.limits import NAMES, TITLES, UNLIMITED, USUAL, Limits, beyond, in_force, words


def test_it_takes_what_the_task_asks_before_what_is_usual() -> None:
    found = in_force(Limits(wall_seconds=60, memory_bytes=5), USUAL, UNLIMITED)

    assert (found.wall_seconds, found.memory_bytes) == (60, 5)
    assert (found.output_bytes, found.files, found.log_bytes) == (2_000_000_000, 10_000, 10_000_000)
    assert found.cpu_seconds is None


@pytest.mark.parametrize(
    ("asked", "usual"),
    [
        (Limits(wall_seconds=100, memory_bytes=100), UNLIMITED),
        (UNLIMITED, Limits(wall_seconds=100, memory_bytes=100)),
        (UNLIMITED, UNLIMITED),
    ],
)
def test_it_never_goes_above_a_ceiling(asked: Limits, usual: Limits) -> None:
    found = in_force(asked, usual, Limits(wall_seconds=30, memory_bytes=20))

    assert (found.wall_seconds, found.memory_bytes) == (30, 20)


def test_it_leaves_what_is_below_a_ceiling() -> None:
    assert in_force(Limits(files=3), Limits(files=4), Limits(files=5)).files == 3


def test_time_and_log_always_end() -> None:
    found = in_force(UNLIMITED, UNLIMITED, UNLIMITED)

    assert found.stated() == {"wall_seconds": 10_000_000, "log_bytes": 1_000_000_000}


def test_it_tells_what_is_asked_beyond_a_ceiling() -> None:
    asked = Limits(wall_seconds=61, files=5, log_bytes=7)

    assert list(beyond(asked, Limits(wall_seconds=60, memory_bytes=1, files=5))) == [("wall_seconds", 60)]


def test_it_comes_back_from_what_was_stated_and_passes_over_what_it_does_not_know() -> None:
    assert Limits.of(USUAL.stated()) == USUAL
    assert Limits.of({"wall_seconds": 3, "moons": 1}) == Limits(wall_seconds=3)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [("wall_seconds", 7200, "2 h"), ("memory_bytes", 500_000_000, "500 MB"), ("files", 10_000, "10,000")],
)
def test_it_words_a_limit_as_people_write_it(name: str, value: int, text: str) -> None:
    assert words(name, value) == text


def test_every_limit_has_a_title() -> None:
    assert list(TITLES) == list(NAMES)
