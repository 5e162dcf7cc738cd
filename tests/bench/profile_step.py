"""Where each millisecond of one step goes: the phases of a worker, for a chain of commands and one of Python steps."""

from __future__ import annotations

import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench import portal
from tests.bench.portal import Portal
from tests.bench.profiled_worker import COMMIT, PHASES
from tests.bench.rows import ROWS, Book
from tests.bench.run import Stage

WORKER = ("-m", "tests.bench.profiled_worker")
PROFILED = ("c", "a")
WALL = """
SELECT (run.usage->>'wall_seconds')::float FROM run JOIN submission ON submission.id = run.submission_id
JOIN batch ON batch.id = submission.batch_id WHERE batch.uuid = %s
"""
SHOWN = {
    "claim": "claim",
    "stage-in": "stage-in",
    "started": "its handle is kept",
    "ready": "its launcher gets ready",
    "start": "start",
    "ahead": "what follows is made ready, while it runs",
    "tidy": "the run before is tidied up, while it runs",
    "wait": "its end is waited for",
    "beat, log": "log",
    "collect": "collect",
    "finish": "end: state, results, what is due",
    "next": "the next step is claimed",
    COMMIT: "commits",
    "the rest": "the rest of the worker",
    "between": "broker, and until the first claim",
}


@dataclass
class Profile:
    """A row's milliseconds of one step by phase, and how many statements and commits it takes."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    statements: Counter[str] = field(default_factory=Counter)
    commits: Counter[str] = field(default_factory=Counter)
    steps: int = 1
    whole: float = 0.0
    work: float = 0.0  # by the launchers' clocks

    def line(self, phase: str) -> list[str]:
        sums = self.commits if phase == COMMIT else None
        commits = sum(sums.values()) if sums else self.commits[phase]
        return [
            f"{1000 * self.seconds[phase] / self.steps:.1f}",
            _rate(self.statements[phase], self.steps),
            _rate(commits, self.steps),
        ]

    def sums(self) -> list[str]:
        return [
            f"{1000 * self.whole / self.steps:.1f}",
            _rate(sum(self.statements.values()), self.steps),
            _rate(sum(self.commits.values()), self.steps),
        ]


def _rate(number: int, steps: int) -> str:
    return f"{number / steps:.1f}" if number else ""


def measured(level: int) -> list[list[str]]:
    """The table, head first."""
    with ExitStack() as stack:
        stage = Stage(stack, Book())
        notes = stage.directory / "profile"
        os.environ["BENCH_NOTES"] = str(notes)
        stack.callback(os.environ.pop, "BENCH_NOTES")
        asked = stage.portal(level, stage.workers, WORKER)
        counts = {row.key: row.count for row in ROWS if row.key in PROFILED}
        portal.ready(asked, counts)
        asked.run("c", counts["c"])
        return _table([_profile(asked, row, counts[row], notes) for row in PROFILED])


def _profile(asked: Portal, row: str, count: int, notes: Path) -> Profile:
    begun = time.time()
    done = asked.run(row, count)
    found = Profile(steps=count, whole=done.seconds)
    for line in _lines(notes, begun, begun + done.seconds + 0.01):
        if line["what"] == "statement":
            found.statements[line["in"]] += 1
        else:
            found.seconds[line["what"]] += line["took"]
            found.commits[line["after"]] += line["what"] == COMMIT
    found.seconds["between"] = max(0.0, done.seconds - sum(found.seconds.values()))
    found.work = sum(wall for (wall,) in asked.rows(WALL, [asked.last]))
    return found


def _lines(notes: Path, begun: float, ended: float) -> Iterator[dict[str, Any]]:
    for text in notes.read_text().splitlines():
        line: dict[str, Any] = json.loads(text)
        if begun <= line["at"] <= ended:
            yield line


def _table(profiles: Sequence[Profile]) -> list[list[str]]:
    """One block of columns a row; every phase that was found, in the order that they happen."""
    unknown = PHASES.keys() - SHOWN.keys()
    assert not unknown, unknown
    head = ["one step", *(f"({row}) {what}" for row in PROFILED for what in ("ms", "statements", "commits"))]
    phases = [[title, *(cell for each in profiles for cell in each.line(name))] for name, title in SHOWN.items()]
    work = [cell for each in profiles for cell in (f"{1000 * each.work / each.steps:.1f}", "", "")]
    sums = [cell for each in profiles for cell in each.sums()]
    return [head, *phases, ["whole", *sums], ["of that the run itself, by its launcher", *work]]
