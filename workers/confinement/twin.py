"""A launcher's twin, which forks the launcher's programs.

It was forked when the launcher knew no run yet, and hears of none: what it forks knows nothing of the runs that the
launcher has minded before, which thus can mind one after another. The order of a program goes past it. What a program
leaves behind when it ends becomes the launcher's child, not the twin's; of its own child it tells how that ended.

Before its first program it confines itself, for good, as far as that is the same for all: they have that from it. At
levels with walls it goes behind them. What a program leaves there falls to the first process inside, with which all of
it ends.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress

from workers.confinement.cages import LEVELS, enclosed
from workers.confinement.first import WORD
from workers.confinement.kernel import close_all_but, end_with
from workers.confinement.pair import Pair, settle
from workers.warm import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from workers.confinement.program import Program
    from workers.confinement.walls import Yard


ENDS = ("order", "complaints", "stdout", "stderr")  # of the program to be
FORKED = struct.Struct("=ii")  # the program to be, and the first process inside; without one, what kept it from that
ENDED = struct.Struct("=idq")  # the kernel's status, seconds, bytes


class OfTwin(Pair):
    """In the launcher: a pair whose program the twin forks; without a twin, one that is made for this run."""

    def __init__(self, common: dict[str, Any], kind: type[Program], twin: Twin | None = None) -> None:
        super().__init__(common, kind)
        self.twin: Twin | None = twin

    def fork(self) -> Callable[[], None] | None:
        if self.twin is None:
            self.twin = Twin()
            if self.twin.pid == 0:
                return self.twin.serve(self.kind)
        self.main = self.twin.fork(self.common, self.cage.user, self.its_ends())
        self.close_its_ends()
        self.cage.admit(self.main)
        return None

    def is_for(self, common: dict[str, Any]) -> bool:
        return self.common == common and self.twin is not None and not self.twin.has_told()

    def bury(self) -> None:
        """Without anybody who could order something, it has ended."""
        with suppress(OSError):
            if self.twin:
                self.twin.told()


class Forked(Pair):
    """The same in the program to be, with the ends that are its own."""

    is_settled = True

    def __init__(self, common: dict[str, Any], kind: type[Program], ends: Sequence[int], yard: Yard | None) -> None:
        self.common, self.kind = common, kind
        self.cage = LEVELS[common["level"]](common)
        self.cage.yard = yard
        self.hearing, self.writing, *streams = ends
        self.stdout, self.stderr = ((-1, each) for each in streams)
        self.parent = os.getppid()


class Ended:
    """How a program ended: the kernel's status, what it used with the children that it buried."""

    def __init__(self, status: int, cpu_seconds: float, memory_bytes: int) -> None:
        self.status, self.cpu_seconds, self.memory_bytes = status, cpu_seconds, memory_bytes


class Twin:
    """Both of them: `pid` is 0 in the twin itself.

    `first`: the first process behind its walls, once it has some; `alone` is where that one tells that it has buried
    all there was. `ground`: what it was confined for. `is_spent`: that first one was ended, with all others.
    """

    first: int | None = None
    is_spent = False

    def __init__(self) -> None:
        ways = socket.socketpair(type=socket.SOCK_SEQPACKET)
        self.alone, self.telling = os.pipe()
        self.launcher = os.getpid()
        self.ground: dict[str, Any] | None = None
        self.pid = os.fork()
        self.way, other = ways if self.pid else reversed(ways)
        other.close()
        if self.pid == 0:
            end_with(self.launcher)
        else:
            os.close(self.telling)
            os.set_blocking(self.alone, False)

    def suits(self, common: dict[str, Any]) -> bool:
        return self.ground in (None, ground(common))

    def fork(self, common: dict[str, Any], user: int | None, ends: Sequence[int]) -> int:
        """Have a program to be forked, with these descriptors. Raises OSError when that cannot be."""
        words.say(self.way, {"common": common, "user": user}, *ends)
        self.hear_first()
        told = self._heard()
        program, first = FORKED.unpack_from(told)
        if not program:
            raise OSError(told[FORKED.size :].decode())
        self.ground, self.first = ground(common), first or None
        return int(program)

    def hear_first(self) -> bool:
        """What the first process inside has told so far; whether it lives."""
        with suppress(BlockingIOError):
            return bool(os.read(self.alone, words.LONGEST))
        return True

    def has_told(self) -> bool:
        """Whether the program has ended."""
        return words.can_be_read(self.way.fileno())

    def told(self) -> Ended:
        """How it did, once it has."""
        return Ended(*ENDED.unpack(self._heard()))

    def serve(self, kind: type[Program]) -> Callable[[], None]:
        """In the twin, as long as there is a launcher. Only programs to be come back from it."""
        close_all_but(self.way.fileno(), self.telling)
        settle(kind)
        asked, ends = self._asked()
        yard = self._settled(asked["common"], asked["user"])
        while True:
            common = asked["common"]
            program = os.fork()
            if program == 0:
                self.way.detach()
                return Forked(common, kind, ends, yard).become
            for end in ends:
                os.close(end)
            self._say(FORKED.pack(program, yard.first if yard else 0))
            self._tell_first(yard)
            _, status, used = os.wait4(program, 0)
            self._say(ENDED.pack(status, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024))
            self._tell_first(yard)
            asked, ends = self._asked()

    def _settled(self, common: dict[str, Any], user: int | None) -> Yard | None:
        """As confined as all that it forks. Behind walls it changes its user, after which it is to be told again whose
        end is its own."""
        cage = LEVELS[common["level"]]
        try:
            if not cage.walled:
                cage(common).settle()
                return None
            yard = enclosed(common, user, self.telling)
            end_with(self.launcher)
        except OSError as problem:
            self._say(FORKED.pack(0, 0) + str(problem).encode())
            os._exit(127)
        return yard

    def _tell_first(self, yard: Yard | None) -> None:
        """That a program has begun, or ended. Without it there can be no other: its end is this one's."""
        if yard:
            os.write(yard.way, WORD)

    def _asked(self) -> tuple[dict[str, Any], list[int]]:
        try:
            return words.hear(self.way, len(ENDS))
        except EOFError:
            os._exit(0)

    def _say(self, told: bytes) -> None:
        """Without its launcher it ends by a signal, if it has not yet."""
        os.write(self.way.fileno(), told)

    def _heard(self) -> bytes:
        if said := os.read(self.way.fileno(), words.LONGEST):
            return said
        raise OSError("the launcher's twin is gone")


def ground(common: dict[str, Any]) -> dict[str, Any]:
    """What a twin does for all its programs depends on that alone."""
    names = ("level", "hidden") if LEVELS[common["level"]].walled else ("level", "hidden", "network")
    return {name: common[name] for name in names}
