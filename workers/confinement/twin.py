"""A launcher's twin, which forks the launcher's programs.

It was forked when the launcher knew no run yet, and hears of none: what it forks knows nothing of the runs that the
launcher has minded before, which thus can mind one after another. The order of a program goes past it. What a program
leaves behind when it ends becomes the launcher's child, not the twin's; of its own child it tells how that ended.
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress

from workers.confinement.cages import LEVELS
from workers.confinement.kernel import close_all_but, end_with
from workers.confinement.pair import Pair
from workers.warm import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from workers.confinement.program import Program


ENDS = ("order", "complaints", "stdout", "stderr")  # of the program to be


class OfTwin(Pair):
    """In the launcher: a pair whose program the twin forks."""

    def __init__(self, common: dict[str, Any], twin: Twin) -> None:
        super().__init__(common)
        self.twin: Twin = twin

    def fork(self) -> None:
        self.main = self.twin.fork(self.common, self.its_ends())
        self.close_its_ends()

    def is_for(self, common: dict[str, Any]) -> bool:
        return self.common == common and not self.twin.has_told()

    def bury(self) -> None:
        """Without anybody who could order something, it has ended."""
        with suppress(OSError):
            self.twin.told()


class Forked(Pair):
    """The same in the program to be, with the ends that are its own."""

    def __init__(self, common: dict[str, Any], kind: type[Program], ends: Sequence[int]) -> None:
        self.common, self.kind = common, kind
        self.cage = LEVELS[common["level"]](common)
        self.hearing, self.writing, *streams = ends
        self.stdout, self.stderr = ((-1, each) for each in streams)
        self.parent = os.getppid()


class Ended:
    """How a program ended: the kernel's status, what it used with the children that it buried."""

    def __init__(self, status: int, cpu_seconds: float, memory_bytes: int) -> None:
        self.status, self.cpu_seconds, self.memory_bytes = status, cpu_seconds, memory_bytes


class Twin:
    """Both of them: `pid` is 0 in the twin itself."""

    def __init__(self) -> None:
        ways = [each.detach() for each in socket.socketpair(type=socket.SOCK_SEQPACKET)]
        launcher = os.getpid()
        self.pid = os.fork()
        self.way, other = ways if self.pid else reversed(ways)
        os.close(other)
        if self.pid == 0:
            end_with(launcher)

    def fork(self, common: dict[str, Any], ends: Sequence[int]) -> int:
        """Have a program to be forked, with these descriptors. Raises OSError when there is no twin any more."""
        with words.way(self.way) as way:
            socket.send_fds(way, [json.dumps(common).encode()], ends)
        return int(self._heard()["pid"])

    def has_told(self) -> bool:
        """Whether the program has ended."""
        return words.can_be_read(self.way)

    def told(self) -> Ended:
        """How it did, once it has."""
        return Ended(**self._heard())

    def serve(self, kind: type[Program]) -> Callable[[], None]:
        """In the twin, as long as there is a launcher. Only programs to be come back from it."""
        close_all_but(self.way)
        while True:
            common, ends = self._asked()
            program = os.fork()
            if program == 0:
                return Forked(common, kind, ends).become
            for end in ends:
                os.close(end)
            self._say({"pid": program})
            _, status, used = os.wait4(program, 0)
            cpu_seconds, memory_bytes = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
            self._say({"status": status, "cpu_seconds": cpu_seconds, "memory_bytes": memory_bytes})

    def _asked(self) -> tuple[dict[str, Any], list[int]]:
        with words.way(self.way) as way:
            said, ends, _, _ = socket.recv_fds(way, words.LONGEST, len(ENDS))
        if not said:
            os._exit(0)
        for end in ends:
            os.set_inheritable(end, False)
        return json.loads(said), ends

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
