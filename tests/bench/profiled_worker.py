"""python -m tests.bench.profiled_worker ...: `celery ...`, but the phases of a run are timed and noted in BENCH_NOTES.

The phases are those of docs/architecture.md. Each time is a phase's own, without what it called; only the threads that
claim runs count, so that sweeps and beats beside them do not; nor do claims that found nothing.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery.__main__ import main
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.orm import Session

CLAIM = "claim"
PHASES = {
    CLAIM: ("portal.services.progress:claim",),
    "stage-in": ("workers.workspace:Workspace.prepare",),
    "started": ("portal.services.progress:started",),
    "ready": ("workers.runners.local:make_ready",),
    "start": ("workers.runners.local:start",),
    "ahead": ("workers.succession:After.foresee",),
    "wait": ("workers.runners.local:wait",),
    "beat, log": ("portal.services.progress:beat", "workers.workspace:Workspace.written"),
    "collect": ("workers.workspace:Workspace.collect",),
    "finish": ("portal.services.progress:retry", "portal.services.progress:finish"),
    "next": ("workers.succession:After.claim",),
    "tidy": ("workers.workspace:Workspace.tidy",),
    "the rest": ("workers.tasks:perform",),
}
COMMIT = "commit"
STATEMENTS = ("do_execute", "do_executemany")


class Notes:
    """What one process saw, a line for each phase, statement and commit, as soon as it was over."""

    def __init__(self, file: str) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._of = Thread()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A commit belongs to the phase that it comes after."""
        of = self._of
        of.claims = of.claims or name == CLAIM
        of.inside.append([name, 0.0])
        begun = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - begun
            _, inner = of.inside.pop()
            if of.inside:
                of.inside[-1][1] += took
            self._note(name, took - inner)
            of.last = of.last if name == COMMIT else name
            if name != CLAIM:
                self._write()

    def statement(self) -> None:
        self._note("statement", 0.0)

    def found_nothing(self) -> None:
        """Of a claim: it is forgotten, with its commit."""
        self._of.waiting.clear()
        self._of.claims = False

    def _note(self, what: str, took: float) -> None:
        of = self._of
        if of.claims:
            inside = of.inside[-1][0] if of.inside else ""
            of.waiting.append({"what": what, "took": took, "at": time.time(), "after": of.last, "in": inside})

    def _write(self) -> None:
        for line in self._of.waiting:
            os.write(self._file, (json.dumps(line) + "\n").encode())
        self._of.waiting.clear()


class Thread(threading.local):
    """What one thread is at: the phases it is in, each with the seconds of those within, and what is not noted yet."""

    def __init__(self) -> None:
        self.claims = False
        self.last = ""
        self.inside: list[list[Any]] = []
        self.waiting: list[dict[str, Any]] = []


def install(notes: Notes) -> None:
    """Time every phase. Raises AttributeError when the portal has a function of it no more."""
    for name, places in PHASES.items():
        for place in places:
            owner, attribute = place_of(place)
            setattr(owner, attribute, _timed(notes, name, getattr(owner, attribute)))
    progress = importlib.import_module("portal.services.progress")
    progress.claim = _claimed(notes, progress.claim)
    setattr(Session, COMMIT, _timed(notes, COMMIT, Session.commit))
    dialect: Any = DefaultDialect
    for each in STATEMENTS:
        setattr(dialect, each, _counted(notes, getattr(dialect, each)))


def place_of(place: str) -> tuple[Any, str]:
    module, _, path = place.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, attribute = path.split(".")
    for each in outer:
        owner = getattr(owner, each)
    return owner, attribute


def _timed(notes: Notes, name: str, do: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(do)
    def timed(*given: Any, **options: Any) -> Any:
        with notes.phase(name):
            return do(*given, **options)

    return timed


def _claimed(notes: Notes, claim: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(claim)
    def claimed(*given: Any, **options: Any) -> Any:
        if (found := claim(*given, **options)) is None:
            notes.found_nothing()
        return found

    return claimed


def _counted(notes: Notes, do: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(do)
    def counted(*given: Any, **options: Any) -> Any:
        notes.statement()
        return do(*given, **options)

    return counted


if __name__ == "__main__":
    install(Notes(os.environ["BENCH_NOTES"]))
    main()
