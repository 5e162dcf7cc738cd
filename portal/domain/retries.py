"""Retries: how often a task that failed is tried again, after which failures, and how long it waits before."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from portal.domain.sizes import TIME as SPAN
from portal.domain.verdict import Outcome

MOST_RETRIES = 20
LONGEST_WAIT = 86_400
SPREAD = 0.25
TIME = ("wall_time", "cpu_time")
CRASH = ("signalled",)


@dataclass(frozen=True)
class Retries:
    """`most` tries after the first. A crash is an end by a signal, also of the program that a shell ran; a time is the
    wall or processor time limit."""

    most: int = 0
    on_crash: bool = False
    on_time: bool = False
    exit_statuses: tuple[int, ...] = ()
    wait_seconds: int = 10

    def wanted(self, outcome: Outcome, done: int) -> bool:
        """Whether a run that failed so, after so many retries, is tried once more."""
        return done < self.most and self._covers(outcome)

    def _covers(self, outcome: Outcome) -> bool:
        by_status = outcome.exited and outcome.exit_status in self.exit_statuses
        crashed = outcome.reason in CRASH or (outcome.exited and outcome.signal is not None)
        return by_status or (self.on_crash and crashed) or (self.on_time and outcome.reason in TIME)

    def wait(self, done: int) -> float:
        """Seconds until the next try: doubled each time, and spread, so that what failed together comes back apart."""
        steady = min(self.wait_seconds * 2.0**done, LONGEST_WAIT)
        return steady * random.uniform(1 - SPREAD, 1 + SPREAD)

    @property
    def causes(self) -> list[str]:
        """After which failures, in words."""
        said = [(self.on_crash, "a crash"), (self.on_time, "its time limit"), (self.exit_statuses, self._statuses())]
        return [words for chosen, words in said if chosen]

    def _statuses(self) -> str:
        kind = "exit status" if len(self.exit_statuses) == 1 else "exit statuses"
        return f"{kind} {', '.join(map(str, self.exit_statuses))}"

    def words(self) -> str:
        """'at most 2 times, after a crash or exit status 75; the first after 5 s, each next after twice as long'."""
        if not self.most or not self.causes:
            return "none"
        times = "once" if self.most == 1 else f"at most {self.most} times"
        return f"{times}, after {_either(self.causes)}; {self._pauses()}"

    def _pauses(self) -> str:
        if not self.wait_seconds:
            return "at once"
        first = f"after {SPAN.words(self.wait_seconds)}"
        return first if self.most == 1 else f"the first {first}, each next after twice as long"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Retries:
        """From what was frozen; names that this version does not know are left out."""
        known = {name: value for name, value in data.items() if name in NAMES}
        return cls(**{**known, "exit_statuses": tuple(data.get("exit_statuses", ()))})


NAMES = tuple(field.name for field in fields(Retries))
NO_RETRIES = Retries()


def faults(retries: Retries, expected: Sequence[int]) -> Iterator[tuple[str, str]]:
    """(field, sentence) for all that is wrong, beside the exit statuses that a task expects."""
    if not 0 <= retries.most <= MOST_RETRIES:
        yield "retries", f"Give a number of retries from 0 to {MOST_RETRIES}."
    elif retries.most and not retries.causes:
        yield "retries", "Choose after which failures to try again: a crash, the time limit, or exit statuses."
    if reason := _status_fault(retries.exit_statuses, expected):
        yield "retry_exit_statuses", reason
    if not 0 <= retries.wait_seconds <= LONGEST_WAIT:
        yield "retry_wait", f"Give a first waiting time from 0 s to {SPAN.words(LONGEST_WAIT)}."


def _status_fault(statuses: Sequence[int], expected: Sequence[int]) -> str | None:
    for status in statuses:
        if not 1 <= status <= 255:
            return f"{status} is not the exit status of a failure: give numbers from 1 to 255."
        if status in expected:
            return f"Exit status {status} is expected, so it is no failure: take it out here or there."
    return None


def _either(words: Sequence[str]) -> str:
    return " or ".join(each for each in (", ".join(words[:-1]), *words[-1:]) if each)
