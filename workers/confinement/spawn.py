"""A program that is started by a confined thread of its launcher, which forks nothing.

A fork copies what its parent writes to, page by page; a program that is started anew needs none of it. What confines
at levels 1 and 2 is each thread's own (credentials, Landlock, the filter of system calls) and handed down by an exec.
So a thread that is confined starts the program (by vfork, within the C library), and ends. Limits alone are a whole
process's: the program, a shell script, sets them itself before all else. Before that it waits for its launcher's word,
without which it ends: what a shell needs to begin is done by then.
"""

from __future__ import annotations

import os
import resource
import signal
import threading
from contextlib import suppress

from workers.confinement.cages import LEVELS, be_first_to_go
from workers.confinement.kernel import SIGNALS, own_directory
from workers.confinement.program import LIMITS, Program, bounds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

GATE = 3  # where the program waits
WAITING = f"read -r {LIMITS} <&{GATE}||exit;exec {GATE}<&-;"
ULIMIT = {resource.RLIMIT_CPU: ("t", 1), resource.RLIMIT_FSIZE: ("f", 512), resource.RLIMIT_AS: ("v", 1024)}


class Spawn:
    """The thread, which waits for its order as confined as it can be without it, and the pipes of the program.

    It stands where a `Pair` may: `main` is the program's process, once that is born.
    """

    telling = twin = None

    def __init__(self, common: dict[str, Any]) -> None:
        self.common = common
        self.cage = LEVELS[common["level"]](common)
        self.cage.open()
        self.stdout, self.stderr = os.pipe(), os.pipe()
        self.waiting, self.gate = os.pipe()
        self.main = 0
        self.program: Program | None = None
        self.problem, self.turn = "", b""
        self.ordered, self.begun = threading.Semaphore(0), threading.Semaphore(0)
        threading.Thread(target=self._begin, daemon=True).start()

    def fork(self) -> None:
        """There is no child before the program itself."""

    def is_for(self, common: dict[str, Any]) -> bool:
        return self.common == common

    def give(self, order: dict[str, Any], handed: list[int]) -> None:
        """For a moment the launcher's turn to go is the program's, which is born with it."""
        self.program = Program(order["program"])
        self.turn = be_first_to_go()
        self.ordered.release()

    def let_begin(self) -> str:
        """What kept the program from being started, or nothing."""
        self.is_born()
        with suppress(BrokenPipeError):  # of one that is gone it is heard that it is
            os.write(self.gate, b"\n")
        os.close(self.gate)
        return self.problem

    def is_born(self) -> None:
        """Waits for that, or for what keeps it from that."""
        self.begun.acquire()
        if self.turn:
            be_first_to_go(self.turn)
        os.close(self.waiting)

    def dismiss(self) -> None:
        """Nothing of it is left, and it never begins."""
        if self.program is None:
            self.ordered.release()
        self.is_born()
        if self.main:
            os.kill(self.main, signal.SIGKILL)
            os.waitpid(self.main, 0)
        for end in (self.gate, *self.stdout, *self.stderr):
            os.close(end)

    def _begin(self) -> None:
        """In the thread."""
        try:
            own_directory()
            self.cage.settle()
            self.cage.confine()
            self.ordered.acquire()
            if self.program:
                self._start(self.program)
        except BaseException as problem:  # noqa: BLE001 - the launcher waits for it
            self.problem = self.program.why_not(problem) if self.program else f"It cannot be confined: {problem}."
        finally:
            self.begun.release()

    def _start(self, program: Program) -> None:
        program.enter()
        self.cage.shut()
        ends = ((self.stdout[1], 1), (self.stderr[1], 2), (self.waiting, GATE))
        self.main = os.posix_spawn(
            program.argv[0],
            program.argv,
            {**program.environment, LIMITS.encode(): (WAITING + limiting(program.limits)).encode()},
            file_actions=[(os.POSIX_SPAWN_DUP2, end, number) for end, number in ends],
            setsid=True,
            setsigmask=(),
            setsigdef=SIGNALS,
        )


def limiting(limits: list[tuple[int, int, int]]) -> str:
    """The commands of sh that set these limits: which, soft, and how much more at the very most."""
    return ";".join(_bound(which, *bounds(which, soft, margin)) for which, soft, margin in limits)


def _bound(which: int, soft: int, hard: int) -> str:
    letter, unit = ULIMIT[which]
    return f"ulimit -S{letter} {soft // unit};ulimit -H{letter} {hard // unit}"
