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

from workers.confinement.cages import LEVELS
from workers.confinement.kernel import close_all_but, reset_signals
from workers.confinement.program import GO, Program, framed, ordered, set_usual_limits
from workers.warm import environ, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from workers.confinement.twin import Twin

HANDED = b"d"
REHEARSED = '{"argv": ["sh"], "environment": {"PATH": "/bin"}, "work": "/", "resources": [[7, 1, 0]]}'  # page by page


class Pair:
    """The two of them and the pipes between them; `kind` is what the program is if it runs in the fork itself.

    `twin`: who has forked it instead of the launcher, and tells how it ended.
    """

    twin: Twin | None = None

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
        for end in (*self.its_ends(), *self.cage.kept()):
            os.close(end)

    def become(self) -> None:
        """In the program to be. Only one that is no fresh program comes back from it, as itself."""
        try:
            way = self.prepare()
            order = ordered(way)
            environ.show(f"SPACE={order['space']}/")
            self.cage.take(order["own"], self.handed(way, order["handed"]))
            program = (self.kind if order["inside"] else Program)(order["program"], self.hearing)
        except BaseException as problem:  # noqa: BLE001 - nothing may run on as a second launcher
            os.write(self.complaints(), f"The program cannot be started: {problem}.\n".encode())
            os._exit(127)
        self.cage.become(program, self.parent, self.writing, order)

    def prepare(self) -> int:
        """All that needs no order; where that comes from."""
        os.dup2(self.stdout[1], 1)
        os.dup2(self.stderr[1], 2)
        sys.stderr = sys.__stderr__  # which is the launcher's log in that
        close_all_but(self.hearing, self.writing, *self.cage.kept())
        os.setsid()
        reset_signals()
        set_usual_limits()
        way = self.cage.prepare(self.parent, self.hearing)
        Program(json.loads(REHEARSED), self.hearing)
        return way

    def handed(self, hearing: int, count: int) -> list[int]:
        if not count:
            return []
        with words.way(hearing) as way:
            return [descriptor for _ in range(count) for descriptor in socket.recv_fds(way, len(HANDED), 1)[1]]

    def complaints(self) -> int:
        """Where the launcher looks for what kept its program from being started."""
        return 2 if self.cage.walled else self.writing

    def is_for(self, common: dict[str, Any]) -> bool:
        """Whether the program lives, and was made for runs of this kind."""
        over = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return self.common == common and os.waitid(os.P_PID, self.main, over) is None

    def give(self, order: dict[str, Any], handed: list[int]) -> None:
        """With these descriptors. Why one that is gone is gone is told in another way."""
        self.say(framed({**order, "handed": len(handed)}))
        for each in handed:
            self.hand(each)

    def hand(self, descriptor: int) -> None:
        try:
            with words.way(self.ordering) as way:
                socket.send_fds(way, [HANDED], [descriptor])
        except (BrokenPipeError, ConnectionResetError):
            return
        finally:
            os.close(descriptor)

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
        for end in (self.telling, self.stdout[0], self.stderr[0]):
            os.close(end)
        if self.cage.reading is not None:
            os.close(self.cage.reading)
        self.cage.close()
