"""A short run of a warm parent's own, from which it learns what memory each run writes to.

What waits for an order copies that memory meanwhile. The run is looked at when it has done everything but end. It is
forked, as all runs are, by a process that has settled what is the same in all of them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from contextlib import suppress

from workers.confinement import cages, landlock
from workers.confinement.kernel import LIBC, end_with, new_directory
from workers.confinement.pair import Pair
from workers.confinement.program import GO
from workers.warm import environ, pages, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any, NoReturn

    from workers.launcher import Become

SEIZE, LET_GO, STOP_AT_EXIT = 0x4206, 17, 0x40
AT_EXIT = signal.SIGTRAP | 6 << 8  # what the kernel tells of it
LIBC.ptrace.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
MOST_SECONDS, NAP_SECONDS = 5.0, 0.001
CONFINED = {"level": 2 if landlock.version() >= landlock.LEAST else 1}


def learn(language: ModuleType) -> Become | None:
    """Only in the run's program it comes back with something, which turns it into one."""
    pair = Rehearsed(cages.common(CONFINED), language.Program)
    if become := pair.fork():
        return become
    with suppress(OSError):
        if space := new_directory(os.environb.get(b"TMPDIR", b"/tmp") + b"/rehearsal-"):
            pages.expect(written(pair, order(language.sample, space.decode())))
    pair.dismiss()
    return None


class Rehearsed(Pair):
    """A pair whose program is forked as by a launcher's twin, when all is settled that is the same in all programs."""

    def fork(self) -> Callable[[], None] | None:
        hearing, telling = os.pipe()
        self.forking = os.fork()
        if self.forking == 0:
            return self.fork_settled(telling)
        os.close(telling)
        self.main = int(os.read(hearing, words.LONGEST) or 0)
        os.close(hearing)
        self.close_its_ends()
        return None

    def fork_settled(self, telling: int) -> Callable[[], None] | None:
        end_with(self.parent)
        self.settle()
        self.parent = os.getpid()
        third()
        become = super().fork()
        if not become:
            os.write(telling, str(self.main).encode())
            stay()
        return become

    def bury(self) -> None:
        """With whoever forked it, it ends, too."""
        os.kill(self.forking, signal.SIGKILL)
        os.waitpid(self.forking, 0)


def third() -> None:
    """Who has what the run does not write to, even if its parent does: else that were the run's own then, too."""
    parent = os.getpid()
    if os.fork() == 0:
        end_with(parent)
        stay()


def stay() -> NoReturn:
    while True:
        signal.pause()


def order(sample: Callable[[str], list[str]], space: str) -> dict[str, Any]:
    told = sample(space)
    environment = {**environ.USUAL, "HOME": space, "TMPDIR": space}
    program = {"argv": told, "environment": environment, "work": space, "resources": []}
    own = cages.own({**CONFINED, "files": told}, space, None)
    return {"program": program, "own": own, "inside": True, "space": space}


def written(pair: Pair, order: dict[str, Any]) -> pages.Ranges:
    """Nothing is learnt where a process may not look at another, or from a run that does not end by itself."""
    pair.give(order, [])
    try:
        if LIBC.ptrace(SEIZE, pair.main, None, STOP_AT_EXIT):
            return []
        pair.say(GO)
        stopped = await_stop(pair.main)
        try:
            return pages.written(pair.main) if stopped == AT_EXIT else []
        finally:
            LIBC.ptrace(LET_GO, pair.main, None, None)
    finally:
        remove(order["space"])


def await_stop(process: int) -> int:
    """At what it stopped, if it did so in time; it stops when it is killed, too."""
    deadline = time.monotonic() + MOST_SECONDS
    while time.monotonic() < deadline:
        stopped, status = os.waitpid(process, os.WNOHANG)
        if stopped:
            return status >> 8
        time.sleep(NAP_SECONDS)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return 0


def remove(space: str) -> None:
    for each in os.listdir(space):
        os.unlink(os.path.join(space, each))
    os.rmdir(space)
