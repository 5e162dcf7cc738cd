"""How a submission looks: its graph, its steps with their tries, the words for its states and for times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from sqlalchemy.orm import Session

from portal.domain import conditions, durations, graph
from portal.domain.states import State
from portal.models import Attempt, Run, Submission
from portal.services import logs, queues, stories
from portal.services.logs import STREAMS, Ending, Tail, Written

WORDS = {
    State.WAITING: "Waiting",
    State.QUEUED: "Queued",
    State.RUNNING: "Running",
    State.COMPLETE: "Complete",
    State.ERROR: "Failed",
    State.CRASH: "Crashed",
    State.STOPPED: "Stopped",
    State.SKIPPED: "Skipped",
}
TAKEN_OVER = "Taken over"
LINES_OF_EARLIER_TRIES = 20


@dataclass(frozen=True)
class Try:
    """One attempt of a run, counted from 1: how it ended, and the last lines of what it wrote."""

    number: int
    attempt: Attempt
    sentence: str
    tails: Mapping[str, Tail]


@dataclass(frozen=True)
class Step:
    """A run as its page shows it. `tries` are told apart only where there is more than one."""

    run: Run
    tails: Mapping[str, Tail]
    tries: tuple[Try, ...] = ()
    wait: str = ""


def state_word(state: State) -> str:
    return WORDS[state]


def steps(session: Session, submission: Submission, present: datetime) -> list[Step]:
    """The runs with their logs, read in few statements however many there are."""
    stories.load(session, [submission])
    endings = logs.endings(session, submission)
    waits = queues.waits(session, submission)
    return [_step(run, endings, until_next_try(run, present) or waits.get(run.uuid, "")) for run in submission.runs]


def _step(run: Run, endings: Mapping[Written, Ending], wait: str) -> Step:
    tails = _tails(run, run.attempt, endings, logs.LINES)
    several = run.attempts if len(run.attempts) > 1 else []
    tries = tuple(
        Try(number, each, _end_of(run, each), _tails(run, each.number, endings, LINES_OF_EARLIER_TRIES))
        for number, each in enumerate(several, 1)
    )
    return Step(run, tails, tries, wait)


def _end_of(run: Run, attempt: Attempt) -> str:
    """How an attempt ended, without saying again of which step."""
    if attempt.ended is None:
        return "Runs now"
    sentence = attempt.sentence.removeprefix(f"Step {run.stage} ({run.task_name}): ") or "Ended"
    if attempt.exit_status is None or "exit status" in sentence.lower():
        return sentence
    return f"{sentence}, exit status {attempt.exit_status}"


def _tails(run: Run, attempt: int, endings: Mapping[Written, Ending], lines: int) -> dict[str, Tail]:
    """By stream; a stream that nothing was written to is left out."""
    found = {stream: endings.get(Written(run.id, attempt, stream)) for stream in STREAMS}
    return {stream: ending.tail(lines) for stream, ending in found.items() if ending}


def drawing(submission: Submission, present: datetime) -> graph.Drawing:
    """One box a step, coloured and worded by its run's state; dashed where the step was taken over."""
    keys = {run.position: run.uuid for run in submission.runs}
    return graph.draw([_node(run, present, keys) for run in submission.runs])


def _node(run: Run, present: datetime, keys: Mapping[int, str]) -> graph.Node:
    return graph.Node(
        key=run.uuid,
        label=run.label,
        word=_word(run, present),
        css=f"state-{run.state.lower()}",
        stage=run.stage,
        borrowed=_taken_over(run),
        after=None if run.needs is None else tuple(keys[place] for place in run.needs),
        note=conditions.all_words(run.condition["all"]) if run.condition else "",
    )


def _taken_over(run: Run) -> bool:
    return run.taken_from is not None and run.state is State.COMPLETE


def _word(run: Run, present: datetime) -> str:
    if _taken_over(run):
        return TAKEN_OVER
    if wait := until_next_try(run, present):
        return wait[:1].upper() + wait[1:]
    word = state_word(run.state)
    if run.state.final and run.started and run.ended:
        return f"{word}, {durations.words((run.ended - run.started).total_seconds())}"
    return word


def until_next_try(run: Run, present: datetime) -> str:
    """'tries again in 20 s', of a run that waits for its next try; else nothing."""
    if run.state is not State.QUEUED or run.due is None or run.due <= present or not run.attempt:
        return ""
    return f"tries again in {_rounded_up(run.due - present)}"


def _rounded_up(span: timedelta) -> str:
    seconds = ceil(span.total_seconds())
    return f"{seconds} s" if seconds < 60 else durations.words(seconds)


def elapsed(start: datetime | None, end: datetime | None, present: datetime) -> str:
    """How long something took, or has taken so far; nothing before it began."""
    return durations.words(((end or present) - start).total_seconds()) if start else ""


def left(until: datetime, present: datetime) -> str:
    """'7 days left', '30 hours left', 'less than an hour left', 'being removed': rounded up."""
    seconds = (until - present).total_seconds()
    if seconds <= 0:
        return "being removed"
    if seconds < 3600:
        return "less than an hour left"
    hours = ceil(seconds / 3600)
    return f"{ceil(hours / 24)} days left" if hours > 48 else f"{hours} hours left"
