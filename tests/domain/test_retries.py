"""How often a task that failed is tried again, after what, and how long it waits."""

from __future__ import annotations

import json

import pytest

from portal.domain.retries import LONGEST_WAIT, NO_RETRIES, Retries
from portal.domain.verdict import Outcome

SHELLS = Outcome("exited", 139, signal=11)
CRASH, TIME, CPU = Outcome("signalled", signal=11), Outcome("wall_time", signal=9), Outcome("cpu_time", signal=9)
BUSY, BROKEN, MEMORY = Outcome("exited", 75), Outcome("exited", 1), Outcome("memory", signal=9)
EVERY = (CRASH, SHELLS, TIME, CPU, BUSY, BROKEN, MEMORY, Outcome("exited", 0))


@pytest.mark.parametrize(
    ("retries", "covered"),
    [
        (Retries(1, on_crash=True), [CRASH, SHELLS]),
        (Retries(1, on_time=True), [TIME, CPU]),
        (Retries(1, exit_statuses=(75, 1)), [BUSY, BROKEN]),
        (Retries(1), []),
        (Retries(0, True, True, (1, 75)), []),
    ],
)
def test_it_tries_again_after_the_chosen_failures_only(retries: Retries, covered: list[Outcome]) -> None:
    assert [each for each in EVERY if retries.wanted(each, 0)] == covered


def test_it_tries_again_as_often_as_it_may() -> None:
    assert [Retries(2, on_crash=True).wanted(CRASH, done) for done in range(4)] == [True, True, False, False]


def test_it_waits_twice_as_long_each_time_up_to_a_day_and_never_quite_the_same() -> None:
    retries = Retries(20, on_crash=True, wait_seconds=10)

    for done, steady in ((0, 10), (1, 20), (5, 320), (20, LONGEST_WAIT)):
        waits = [retries.wait(done) for _ in range(50)]
        assert all(0.75 * steady <= each <= 1.25 * steady for each in waits)
        assert len(set(waits)) > 1
    assert Retries(3, True, wait_seconds=0).wait(2) == 0


def test_it_comes_back_from_json_as_it_was() -> None:
    retries = Retries(2, True, True, (75, 76), 5)

    assert Retries.of(json.loads(json.dumps(retries.to_json()))) == retries
    assert Retries.of({}) == NO_RETRIES


@pytest.mark.parametrize(
    ("retries", "words"),
    [
        (NO_RETRIES, "none"),
        (Retries(3), "none"),
        (Retries(1, on_crash=True, wait_seconds=90), "once, after a crash; after 1 min 30 s"),
        (Retries(2, on_time=True, wait_seconds=0), "at most 2 times, after its time limit; at once"),
        (
            Retries(2, True, True, (75, 76), 5),
            "at most 2 times, after a crash, its time limit or exit statuses 75, 76; "
            "the first after 5 s, each next after twice as long",
        ),
    ],
)
def test_it_says_it_in_words(retries: Retries, words: str) -> None:
    assert retries.words() == words
