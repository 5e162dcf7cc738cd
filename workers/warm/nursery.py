"""The nursery: `nursery.py <requests>` keeps the warm parents of a worker's machine, and dies with it.

A request names a parent; who asks gets the way to give it orders, or hears at once that it is not ready yet. It is
made ready then. Of more parents than there is room for, the one that was asked for longest ago ends.
"""

# ruff: noqa: E402
from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress

OWN = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.dirname(os.path.dirname(OWN)))

from workers.confinement.kernel import end_with
from workers.warm import environ, words

PARENT = os.path.join(OWN, "parent.py")
MOST = 8
AGAIN_SECONDS = 30.0
ENVIRONMENT = environ.USUAL | environ.ROOM

Key = tuple[str, ...]


class Parent:
    """One parent process; `orders` leads to its children, `ready` can be read when it has loaded, or died over it."""

    def __init__(self, key: Key) -> None:
        interpreter, *rest = key
        self.orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ready, telling = os.pipe()
        self.born = self.asked = time.monotonic()
        handed = (theirs.fileno(), telling)
        self.process = subprocess.Popen(
            [interpreter, "-s", "-u", PARENT, *map(str, handed), *rest],
            env=ENVIRONMENT, cwd="/", stdin=subprocess.DEVNULL, pass_fds=handed, start_new_session=True,
        )  # fmt: skip
        theirs.close()
        os.close(telling)
        self.was_ready = False

    def hear(self) -> bool:
        """Whether it is ready to take orders."""
        if not self.was_ready and words.can_be_read(self.ready):
            self.was_ready = bool(os.read(self.ready, words.LONGEST))
        return self.was_ready and self.lives()

    def lives(self) -> bool:
        return self.process.poll() is None

    def may_be_made_anew(self) -> bool:
        """What cannot load its modules is not tried all the time."""
        return not self.lives() and (self.was_ready or time.monotonic() - self.born > AGAIN_SECONDS)

    def close(self) -> None:
        self.orders.close()
        os.close(self.ready)
        self.process.kill()
        self.process.wait()


class Nursery:
    def __init__(self, requests: socket.socket) -> None:
        self.requests = requests
        self.parents: dict[Key, Parent] = {}

    def serve(self) -> None:
        """Until nobody can ask any more. Raises EOFError."""
        while True:
            key, (line,) = words.hear(self.requests)
            with socket.socket(fileno=line) as answering:
                self.answer(tuple(key), answering)

    def answer(self, key: Key, line: socket.socket) -> None:
        parent = self.parent(key)
        parent.asked = time.monotonic()
        if parent.hear():
            words.say(line, "ready", parent.orders.fileno())

    def parent(self, key: Key) -> Parent:
        known = self.parents.get(key)
        if known and not known.may_be_made_anew():
            return known
        if known:
            known.close()
        elif len(self.parents) == MOST:
            self.parents.pop(min(self.parents, key=lambda each: self.parents[each].asked)).close()
        self.parents[key] = Parent(key)
        return self.parents[key]


if __name__ == "__main__":
    end_with(os.getppid())
    with suppress(EOFError):
        Nursery(socket.socket(fileno=int(sys.argv[1]))).serve()
