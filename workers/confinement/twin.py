"""A launcher's twin, which forks the launcher's programs.

It was forked when the launcher knew no run yet, and hears of none: what it forks knows nothing of the runs that the
launcher has minded before, which thus can mind one after another. The order of a program goes past it. What a program
leaves behind when it ends becomes the launcher's child, not the twin's; of its own child it tells how that ended.

For levels with walls it goes behind them itself, for good, before its first program: what is the same for all is made
once. What a program leaves behind there falls to the first process inside, with which all of it ends.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from contextlib import suppress

from workers.confinement.cages import LEVELS, enclosed
from workers.confinement.first import WORD
from workers.confinement.kernel import close_all_but, end_with, reset_signals
from workers.confinement.pair import Pair
from workers.warm import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from workers.confinement.program import Program
    from workers.confinement.walls import Yard


ENDS = ("order", "complaints", "stdout", "stderr")  # of the program to be


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
    all there was. `ground`: what these walls were made for. `is_spent`: that first one was ended, with all others.
    """

    first: int | None = None
    is_spent = False

    def __init__(self) -> None:
        ways = [each.detach() for each in socket.socketpair(type=socket.SOCK_SEQPACKET)]
        self.alone, self.telling = os.pipe()
        self.launcher = os.getpid()
        self.ground: dict[str, Any] | None = None
        self.pid = os.fork()
        self.way, other = ways if self.pid else reversed(ways)
        os.close(other)
        if self.pid == 0:
            end_with(self.launcher)
        else:
            os.close(self.telling)
            os.set_blocking(self.alone, False)

    def suits(self, common: dict[str, Any]) -> bool:
        return self.ground in (None, ground(common))

    def fork(self, common: dict[str, Any], user: int | None, ends: Sequence[int]) -> int:
        """Have a program to be forked, with these descriptors. Raises OSError when that cannot be."""
        with words.way(self.way) as way:
            words.say(way, {"common": common, "user": user}, *ends)
        self.hear_first()
        told = self._heard()
        if problem := told.get("problem"):
            raise OSError(problem)
        self.ground, self.first = ground(common), told["first"]
        return int(told["pid"])

    def hear_first(self) -> bool:
        """What the first process inside has told so far; whether it lives."""
        with suppress(BlockingIOError):
            return bool(os.read(self.alone, words.LONGEST))
        return True

    def has_told(self) -> bool:
        """Whether the program has ended."""
        return words.can_be_read(self.way)

    def told(self) -> Ended:
        """How it did, once it has."""
        return Ended(**self._heard())

    def serve(self, kind: type[Program]) -> Callable[[], None]:
        """In the twin, as long as there is a launcher. Only programs to be come back from it."""
        close_all_but(self.way, self.telling)
        reset_signals()
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        yard: Yard | None = None
        while True:
            asked, ends = self._asked()
            common = asked["common"]
            if ground(common) and yard is None:
                yard = self._enclosed(common, asked["user"])
            program = os.fork()
            if program == 0:
                return Forked(common, kind, ends, yard).become
            for end in ends:
                os.close(end)
            self._say({"pid": program, "first": yard.first if yard else None})
            self._tell_first(yard)
            _, status, used = os.wait4(program, 0)
            cpu_seconds, memory_bytes = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
            self._say({"status": status, "cpu_seconds": cpu_seconds, "memory_bytes": memory_bytes})
            self._tell_first(yard)

    def _enclosed(self, common: dict[str, Any], user: int | None) -> Yard:
        """It changes its user, after which it is to be told again whose end is its own."""
        try:
            yard = enclosed(common, user, self.telling)
            end_with(self.launcher)
        except OSError as problem:
            self._say({"problem": str(problem)})
            os._exit(127)
        return yard

    def _tell_first(self, yard: Yard | None) -> None:
        """That a program has begun, or ended. Without it there can be no other."""
        if yard is None:
            return
        try:
            os.write(yard.way, WORD)
        except BrokenPipeError:
            os._exit(0)

    def _asked(self) -> tuple[dict[str, Any], list[int]]:
        try:
            with words.way(self.way) as way:
                return words.hear(way, len(ENDS))
        except EOFError:
            os._exit(0)

    def _say(self, told: dict[str, Any]) -> None:
        try:
            os.write(self.way, json.dumps(told).encode())
        except (BrokenPipeError, ConnectionResetError):
            os._exit(0)

    def _heard(self) -> dict[str, Any]:
        said = os.read(self.way, words.LONGEST)
        if not said:
            raise OSError("the launcher's twin is gone")
        found: dict[str, Any] = json.loads(said)
        return found


def ground(common: dict[str, Any]) -> dict[str, Any] | None:
    """What a twin's walls depend on; nothing, where it has none."""
    if not LEVELS[common["level"]].walled:
        return None
    return {name: common[name] for name in ("level", "hidden")}
