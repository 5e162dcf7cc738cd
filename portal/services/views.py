"""How a submission looks: its graph, and the words for its states."""

from __future__ import annotations

from datetime import datetime

from portal.domain import durations, graph
from portal.domain.states import State
from portal.models import Run, Submission

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


def state_word(state: State) -> str:
    return WORDS[state]


def drawing(submission: Submission) -> graph.Drawing:
    """One box a step, coloured and worded by its run's state."""
    return graph.draw([_node(run) for run in submission.runs])


def _node(run: Run) -> graph.Node:
    word = state_word(run.state)
    if run.state.final and run.started and run.ended:
        word = f"{word}, {durations.words((run.ended - run.started).total_seconds())}"
    return graph.Node(run.uuid, run.task_name, word, f"state-{run.state.lower()}", run.stage)


def elapsed(start: datetime | None, end: datetime | None, present: datetime) -> str:
    """How long something took, or has taken so far; nothing before it began."""
    return durations.words(((end or present) - start).total_seconds()) if start else ""
