"""Processes that live and die with this one, and are started again when they end by themselves.

This process adopts the orphans of its children, so that what a worker had started ends with it too.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LIBC = ctypes.CDLL(None, use_errno=True)
TICK = 0.2
GRACE_SECONDS = 12.0
ORPHAN_SECONDS = 8.0
QUICK_SECONDS = 5.0
MOST_QUICK_ENDS = 5
REST_SECONDS = 5.0


class GaveUp(Exception):
    """A child that ends again and again at once."""


@dataclass
class Child:
    """One program with its arguments, in this process's environment; `process` while it runs.

    `may_fail`: the others can do without it, so it is never given up, and started at most every few seconds.
    """

    name: str
    command: Sequence[str]
    may_fail: bool = False
    process: subprocess.Popen[bytes] | None = None
    begun: float = 0.0
    quick_ends: int = 0

    def start(self) -> None:
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def again(self) -> None:
        """Start it anew after it ended. Raises GaveUp when it never stays."""
        if self.may_fail:
            self._again_after_a_rest()
            return
        quick = time.monotonic() - self.begun < QUICK_SECONDS
        self.quick_ends = self.quick_ends + 1 if quick else 0
        if self.quick_ends >= MOST_QUICK_ENDS:
            raise GaveUp(f"The {self.name} does not stay up; what it says is above.")
        time.sleep(TICK)
        self.start()

    def _again_after_a_rest(self) -> None:
        if time.monotonic() - self.begun >= REST_SECONDS:
            self.start()

    def ask_end(self) -> None:
        """Only the program itself is asked: it ends its own children in order."""
        if self.alive() and self.process is not None:
            self.process.terminate()

    def end(self) -> None:
        """End what is left of it and of its group."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def has_group(self) -> bool:
        if self.process is None:
            return False
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True


class Children:
    """The children in the order in which they are started; the broker is ended last, their orphans only on demand."""

    def __init__(self, children: Sequence[Child], ends_orphans: bool) -> None:
        self.children = children
        self.ends_orphans = ends_orphans
        self.asked_to_end = False

    def run(self, when_idle: Callable[[], None]) -> None:
        """Start them all and mind them until this process is told to end. `when_idle` is called again and again."""
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask_end)
        try:
            for child in self.children:
                child.start()
            self._mind(when_idle)
        finally:
            self._end_all()

    def _ask_end(self, *_: object) -> None:
        self.asked_to_end = True

    def _mind(self, when_idle: Callable[[], None]) -> None:
        while not self.asked_to_end:
            for child in self.children:
                if not child.alive() and not self.asked_to_end:
                    child.again()
            self._bury_orphans()
            when_idle()
            time.sleep(TICK)

    def _end_all(self) -> None:
        """The broker last: others still talk to it while they end."""
        brokers = [child for child in self.children if child.name == "broker"]
        self._end([child for child in self.children if child not in brokers])
        if self.ends_orphans:
            self._end_orphans()
        self._end(brokers)

    def _end_orphans(self) -> None:
        """End what the workers had started: launchers, which end their runs' processes."""
        self._signal_orphans(signal.SIGTERM)
        _wait(lambda: not _orphans(self._known()), ORPHAN_SECONDS)
        self._signal_orphans(signal.SIGKILL)
        self._bury_orphans()

    def _signal_orphans(self, number: int) -> None:
        for pid in _orphans(self._known()):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _bury_orphans(self) -> None:
        """Adopted processes that ended; our own children are buried by their `Popen`."""
        with suppress(ChildProcessError):
            while (dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                if dead.si_pid in self._known():
                    return
                os.waitpid(dead.si_pid, 0)

    def _known(self) -> set[int]:
        return {child.process.pid for child in self.children if child.process is not None}

    def _end(self, children: Sequence[Child]) -> None:
        for child in children:
            child.ask_end()
        _wait(lambda: not any(child.alive() for child in children), GRACE_SECONDS)
        for child in children:
            child.end()
        _wait(lambda: self._gone(children), GRACE_SECONDS)

    def _gone(self, children: Sequence[Child]) -> bool:
        """Whether nothing of their groups is left; only then have we adopted all that they had started."""
        self._bury_orphans()
        return not any(child.has_group() for child in children)


def _die_with_parent() -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def _orphans(known: Container[int]) -> list[int]:
    """The processes that were adopted and live."""
    mine = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _is_mine(entry))
    return [pid for pid in mine if pid not in known]


def _is_mine(entry: Path) -> bool:
    try:
        state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return int(parent) == os.getpid() and state != "Z"
