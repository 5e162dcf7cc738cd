"""A launcher's program to be: forked before the order comes, it has done by then what is the same in every run.

It waits, as confined as it can be without knowing its run, for its one order, and begins the program at its launcher's
word; without these, or without its launcher, it ends. What it has to know beforehand is `common`: a launcher whose run
is not like that makes another pair.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from contextlib import suppress

from workers.confinement.cages import LEVELS
from workers.confinement.kernel import close_all_but, reset_signals
from workers.confinement.program import GO, Program, framed, ordered, set_usual_limits
from workers.warm import environ, pages, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from workers.confinement.twin import Twin

HANDED, AT_ONCE = b"d", 250  # descriptors, of which the kernel takes 253
REHEARSED = '{"argv": ["sh"], "environment": {"PATH": "/bin"}, "work": "/", "resources": [[7, 1, 0]]}'  # page by page


class Pair:
    """The two of them and the pipes between them; `kind` is what the program is if it runs in the fork itself.

    `twin`: who has forked it instead of the launcher, and tells how it ended.
    """

    twin: Twin | None = None
    is_settled = False

    def __init__(self, common: dict[str, Any], kind: type[Program] = Program) -> None:
        self.common, self.kind = common, kind
        self.cage = LEVELS[common["level"]](common)
        self.cage.open()
        self.hearing, self.ordering = (each.detach() for each in socket.socketpair())
        self.telling, self.writing = os.pipe()
        self.stdout, self.stderr = os.pipe(), os.pipe()
        self.parent = os.getpid()
        self.main = 0
        environ.bounds()  # while it can be seen

    def fork(self) -> Callable[[], None] | None:
        """Make the program to be; in it, what is to be called for it to become the program."""
        self.main = os.fork()
        if self.main == 0:
            return self.become
        self.close_its_ends()
        return None

    def its_ends(self) -> tuple[int, ...]:
        return (self.hearing, self.writing, self.stdout[1], self.stderr[1])

    def close_its_ends(self) -> None:
        """But for its streams: their ends would wake the launcher, which hears of the program's end by itself."""
        for end in (self.hearing, self.writing, *self.cage.kept()):
            os.close(end)

    def become(self) -> None:
        """In the program to be. Only one that is no fresh program comes back from it, as itself."""
        try:
            self.prepare()
            order = ordered(self.hearing)
            environ.show(f"SPACE={order['space']}/")
            self.cage.take(order["own"], self.handed(order["handed"]))
            program = (self.kind if order["inside"] else Program)(order["program"], self.hearing)
            if type(program) is not self.kind:
                reset_signals()  # which were made ready for the interpreter
            self.cage.finish()
        except BaseException as problem:  # noqa: BLE001 - nothing may run on as a second launcher
            self.cage.complain(problem, self.writing)
            os._exit(127)
        self.cage.become(program, self.parent, self.writing)

    def prepare(self) -> None:
        """All that needs no order."""
        pages.copy()
        os.dup2(self.stdout[1], 1)
        os.dup2(self.stderr[1], 2)
        sys.stderr = sys.__stderr__  # which is the launcher's log in that
        os.setsid()
        self.settle()
        self.cage.prepare(self.parent)
        close_all_but(self.hearing, self.writing, *self.cage.kept())
        Program(json.loads(REHEARSED), self.hearing)
        self.kind.prepare()

    def settle(self) -> None:
        """What is the same in all programs, unless whoever forks them has done so for all."""
        if not self.is_settled:
            settle(self.kind)
            self.cage.settle()
            self.is_settled = True

    def handed(self, count: int) -> list[int]:
        if not count:
            return []
        with words.way(self.hearing) as way:
            handed: list[int] = []
            while len(handed) < count:
                handed += socket.recv_fds(way, len(HANDED), AT_ONCE)[1]
            return handed

    def is_for(self, common: dict[str, Any]) -> bool:
        """Whether the program lives, and was made for runs of this kind."""
        over = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return self.common == common and os.waitid(os.P_PID, self.main, over) is None

    def give(self, order: dict[str, Any], handed: list[int]) -> None:
        """With these descriptors. Why one that is gone is gone is told in another way."""
        self.say(framed({**order, "handed": len(handed)}))
        if handed:
            self.hand(handed)

    def hand(self, descriptors: list[int]) -> None:
        with words.way(self.ordering) as way, suppress(BrokenPipeError, ConnectionResetError):
            for first in range(0, len(descriptors), AT_ONCE):
                socket.send_fds(way, [HANDED], descriptors[first : first + AT_ONCE])
        for each in descriptors:
            os.close(each)

    def bury(self) -> None:
        os.kill(self.main, signal.SIGKILL)
        os.waitpid(self.main, 0)

    def let_begin(self) -> str:
        """What keeps it from that is told in another way."""
        self.say(GO)
        os.close(self.ordering)
        return ""

    def say(self, told: bytes) -> None:
        try:
            while told:
                told = told[os.write(self.ordering, told) :]
        except (BrokenPipeError, ConnectionResetError):
            return

    def dismiss(self) -> None:
        """Nothing of it is left."""
        os.close(self.ordering)
        self.bury()
        for end in (self.telling, *self.stdout, *self.stderr):
            os.close(end)
        if self.cage.reading is not None:
            os.close(self.cage.reading)
        self.cage.close()


def settle(kind: type[Program]) -> None:
    """What is the same in all programs of a kind, at all levels."""
    reset_signals()
    set_usual_limits()
    kind.settle()
