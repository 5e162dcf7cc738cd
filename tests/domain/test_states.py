"""The moves between states, and the state of a whole."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from portal.domain.errors import Conflict
from portal.domain.states import FINAL, State, batch_summary, check_move, summary

W, Q, R = State.WAITING, State.QUEUED, State.RUNNING
COMPLETE, ERROR, CRASH, STOPPED, SKIPPED = (
    State.COMPLETE,
    State.ERROR,
    State.CRASH,
    State.STOPPED,
    State.SKIPPED,
)
LEGAL = {
    (W, Q), (W, SKIPPED), (W, STOPPED),
    (Q, R), (Q, SKIPPED), (Q, STOPPED), (Q, CRASH),
    (R, COMPLETE), (R, ERROR), (R, CRASH), (R, STOPPED), (R, Q),
}  # fmt: skip


@pytest.mark.parametrize("old", State)
@pytest.mark.parametrize("new", State)
def test_it_allows_the_legal_moves_and_no_other(old: State, new: State) -> None:
    if (old, new) in LEGAL:
        check_move(old, new)
        return
    with pytest.raises(Conflict, match=f"A run that is {old.lower()} cannot become {new.lower()}."):
        check_move(old, new)


def test_it_never_leaves_a_final_state() -> None:
    assert {COMPLETE, ERROR, CRASH, STOPPED, SKIPPED} == FINAL
    assert not [move for move in LEGAL if move[0].final]


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        ([Q, W], Q),
        ([R, W], R),
        ([COMPLETE, Q], R),
        ([ERROR, R, SKIPPED], R),
        ([COMPLETE, COMPLETE], COMPLETE),
        ([COMPLETE, SKIPPED], COMPLETE),
        ([COMPLETE, ERROR, SKIPPED], ERROR),
        ([ERROR, CRASH], CRASH),
        ([STOPPED, ERROR], ERROR),
        ([COMPLETE, STOPPED], STOPPED),
    ],
)
def test_it_sums_the_runs_of_a_submission_up(states: Iterable[State], whole: State) -> None:
    assert summary(states) is whole


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        ([Q, Q], Q),
        ([Q, R], R),
        ([COMPLETE, R], R),
        ([COMPLETE, COMPLETE], COMPLETE),
        ([ERROR, R], ERROR),
        ([CRASH, ERROR, Q], CRASH),
        ([STOPPED, COMPLETE], STOPPED),
    ],
)
def test_it_calls_a_batch_failed_as_soon_as_one_submission_has_failed(states: Iterable[State], whole: State) -> None:
    assert batch_summary(states) is whole
