"""What a task's rules make of an outcome: that a program failed is an outcome, what follows is the rules' word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Then(StrEnum):
    """What the job does after a run."""

    CONTINUE = "continue"
    FINISH = "finish"
    FAIL = "fail"


@dataclass(frozen=True)
class Rules:
    """Exit statuses beside 0 that are expected, what follows them, and what follows a missing output."""

    exit_statuses: tuple[int, ...] = ()
    on_exit_status: Then = Then.CONTINUE
    on_missing_output: Then = Then.FAIL


@dataclass(frozen=True)
class Outcome:
    """What came of a run: how it ended, a sentence when a limit or a stop ended it, and what it used."""

    reason: str
    exit_status: int | None = None
    signal: int | None = None
    detail: str = ""
    usage: dict[str, float] = field(default_factory=dict)

    @property
    def exited(self) -> bool:
        return self.reason == "exited"


@dataclass(frozen=True)
class Verdict:
    then: Then
    sentence: str


def judge(rules: Rules, outcome: Outcome, missing: Sequence[str]) -> Verdict:
    """The verdict on an outcome whose output endings `missing` matched no file."""
    if not outcome.exited:
        return Verdict(Then.FAIL, outcome.detail or _ended(outcome))
    if outcome.exit_status == 0:
        return _of_outputs(rules, missing)
    return _of_exit_status(rules, outcome.exit_status, missing)


def _ended(outcome: Outcome) -> str:
    return f"Ended by signal {outcome.signal}" if outcome.signal else f"Ended: {outcome.reason}"


def _of_exit_status(rules: Rules, status: int | None, missing: Sequence[str]) -> Verdict:
    if status not in rules.exit_statuses:
        return Verdict(Then.FAIL, f"Failed with exit status {status}")
    if missing and rules.on_exit_status is Then.CONTINUE:
        sentence = f"Exit status {status} is expected, but no file with the ending {', '.join(missing)} was written"
        return Verdict(rules.on_missing_output, sentence)
    words = {Then.CONTINUE: "goes on", Then.FINISH: "ends the job", Then.FAIL: "fails the job"}
    return Verdict(rules.on_exit_status, f"Exit status {status} {words[rules.on_exit_status]}, as the task's rules say")


def _of_outputs(rules: Rules, missing: Sequence[str]) -> Verdict:
    if not missing:
        return Verdict(Then.CONTINUE, "")
    return Verdict(rules.on_missing_output, f"No file with the ending {', '.join(missing)} was written")
