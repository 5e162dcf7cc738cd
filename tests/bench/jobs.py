"""The rows as jobs of the portal, in the format of `flask load`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tests.bench.peers.works import PYTHON, R

Entry = dict[str, Any]


def document(counts: dict[str, int]) -> str:
    """Tasks and jobs for rows of so many steps; JSON is YAML, too."""
    tasks: list[Entry] = []
    jobs: list[Entry] = []
    for row, count in counts.items():
        made = list(_tasks(row, count))
        steps = _chain(made, count)
        tasks += made
        jobs.append({"name": f"bench_{row}", "public": True, "steps": steps})
    return json.dumps({"tasks": tasks, "jobs": jobs})


def growth(steps: int) -> str:
    """So many steps side by side, and so many one after another."""
    wide, chain = list(_tasks("wide", 1)), list(_tasks("c", steps))
    side_by_side = [{"order": 1, "task": wide[0]["name"], "name": f"s{number}"} for number in range(steps)]
    jobs = [{"name": "bench_wide", "public": True, "steps": side_by_side},
            {"name": "bench_chain", "public": True, "steps": _chain(chain, steps)}]  # fmt: skip
    return json.dumps({"tasks": [*wide, *chain], "jobs": jobs})


def _chain(tasks: Sequence[Entry], count: int) -> list[Entry]:
    return [{"order": at + 1, "task": tasks[at % len(tasks)]["name"], "name": f"s{at}"} for at in range(count)]


def _tasks(row: str, count: int) -> Iterator[Entry]:
    """A chain of files needs a task for each step; all other steps of a row are the same task."""
    if row in PYTHON:
        yield _task(row, "python", PYTHON[row])
    elif row == "f":
        yield _task(row, "r", R) | {"backend": "R"}
    elif row == "wide":
        yield _task(row, "command", "cat $I1") | {"inputs": [".b0"]}
    else:
        for at in range(count):
            yield _task(f"{row}{at}", "command", "cat $I1 > $O1") | {"inputs": [f".b{at}"], "outputs": [f".b{at + 1}"]}


def _task(name: str, language: str, code: str) -> Entry:
    return {"name": f"bench_{name}", "language": language, "backend": "localhost", "code": code}
