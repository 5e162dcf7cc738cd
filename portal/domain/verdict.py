"""What a task's rules make of an outcome: that a program failed is an outcome, what follows is the rules' word."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

OF_SIGNALS = 128  # a shell adds it to the signal that ended the program it ran
HARMLESS = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
PAUSING = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
DEADLY = {each for each in signal.Signals if each < signal.SIGRTMIN} - HARMLESS - PAUSING


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
    """What came of a run: how it ended, a sentence when a limit or a stop ended it, and what it used.

    An exit status with a signal is that of a shell whose program was ended by the signal.
    """

    reason: str
    exit_status: int | None = None
    signal: int | None = None
    detail: str = ""
    usage: dict[str, float] = field(default_factory=dict)

    @property
    def exited(self) -> bool:
        return self.reason == "exited"

    def of_shell(self, expected: Sequence[int]) -> Outcome:
        """The same as a shell tells it: an exit status nobody expects may stand for a signal."""
        number = (self.exit_status or 0) - OF_SIGNALS
        told = self.exited and number in DEADLY and self.exit_status not in expected
        return replace(self, signal=number) if told else self


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
    return _of_exit_status(rules, outcome, missing)


def _ended(outcome: Outcome) -> str:
    return f"Ended by signal {outcome.signal}" if outcome.signal else f"Ended: {outcome.reason}"


def _of_exit_status(rules: Rules, outcome: Outcome, missing: Sequence[str]) -> Verdict:
    status = outcome.exit_status
    if status not in rules.exit_statuses:
        return Verdict(Then.FAIL, f"Failed with exit status {status}{_by(outcome.signal)}")
    if missing and rules.on_exit_status is Then.CONTINUE:
        sentence = f"Exit status {status} is expected, but no file with the ending {', '.join(missing)} was written"
        return Verdict(rules.on_missing_output, sentence)
    words = {Then.CONTINUE: "goes on", Then.FINISH: "ends the job", Then.FAIL: "fails the job"}
    return Verdict(rules.on_exit_status, f"Exit status {status} {words[rules.on_exit_status]}, as the task's rules say")


def _by(number: int | None) -> str:
    return f" (signal {signal.Signals(number).name.removeprefix('SIG')})" if number else ""


def _of_outputs(rules: Rules, missing: Sequence[str]) -> Verdict:
    if not missing:
        return Verdict(Then.CONTINUE, "")
    return Verdict(rules.on_missing_output, f"No file with the ending {', '.join(missing)} was written")
