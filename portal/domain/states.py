"""The states of a run and the moves between them; a submission's state is a summary of its runs."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from portal.domain.errors import Conflict


class State(StrEnum):
    WAITING = "WAITING"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    ERROR = "ERROR"
    CRASH = "CRASH"
    STOPPED = "STOPPED"
    SKIPPED = "SKIPPED"

    @property
    def final(self) -> bool:
        return self in FINAL


FINAL = frozenset({State.COMPLETE, State.ERROR, State.CRASH, State.STOPPED, State.SKIPPED})
ACTIVE = frozenset(State) - FINAL

MOVES: dict[State, frozenset[State]] = {
    State.WAITING: frozenset({State.QUEUED, State.SKIPPED, State.STOPPED}),
    State.QUEUED: frozenset({State.RUNNING, State.SKIPPED, State.STOPPED, State.CRASH}),
    State.RUNNING: frozenset({State.COMPLETE, State.ERROR, State.CRASH, State.STOPPED, State.QUEUED}),
}

WORST_FIRST = (State.CRASH, State.ERROR, State.STOPPED)


def check_move(old: State, new: State) -> None:
    """Raise Conflict unless a run may go from `old` to `new`."""
    if new not in MOVES.get(old, frozenset()):
        raise Conflict(f"A run that is {old.lower()} cannot become {new.lower()}.")


def summary(states: Iterable[State]) -> State:
    """The state of the whole: of a submission by its runs, of a batch by its submissions."""
    seen = set(states)
    if seen <= {State.WAITING, State.QUEUED}:
        return State.QUEUED
    if seen & ACTIVE:
        return State.RUNNING
    return next((state for state in WORST_FIRST if state in seen), State.COMPLETE)


def batch_summary(submissions: Iterable[State]) -> State:
    """The state of a batch: failed as soon as one submission has, complete when all are."""
    seen = set(submissions)
    return next((state for state in WORST_FIRST if state in seen), summary(seen))
