"""What goes between workers, the nursery and parents: JSON in one piece, with one end of a line for the answer."""

from __future__ import annotations

import json
import os
import select
import socket
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

LONGEST = 65_536  # bytes
MINDED, DECLINED = b"m", b"d"  # what the line of an order is told first
STOP = "stop"  # the file in a run's directory by which its launcher knows whom a signal to stop is for


def say(way: socket.socket, words: Any, *descriptors: int) -> None:
    socket.send_fds(way, [json.dumps(words).encode()], descriptors)


def hear(way: socket.socket, most: int = 1) -> tuple[Any, list[int]]:
    """What is said, and so many descriptors at most. Raises EOFError when nobody can say anything any more."""
    words, descriptors, _, _ = socket.recv_fds(way, LONGEST, most)
    if not descriptors:
        raise EOFError("there is nobody at the other end")
    for each in descriptors:
        os.set_inheritable(each, False)
    return json.loads(words), descriptors


def wanted(way: socket.socket) -> tuple[Any, int]:
    """The next words whose answer somebody still waits for. Raises EOFError, TimeoutError if none come for as long as
    the way is patient."""
    while True:
        try:
            words, (line,) = hear(way)
        except BlockingIOError:
            raise TimeoutError from None
        if is_held(line):
            return words, line
        os.close(line)


@contextmanager
def way(descriptor: int) -> Iterator[socket.socket]:
    """To talk by, and no longer."""
    found = socket.socket(fileno=descriptor)
    try:
        yield found
    finally:
        found.detach()


def rest(line: int) -> bytes:
    """All that is said on a line, up to its end."""
    with open(line, "rb", closefd=False) as said:
        return said.read()


def is_held(line: int) -> bool:
    poll = select.poll()
    poll.register(line, 0)  # the other end's closing is told unasked
    return not poll.poll(0)


def await_any(*descriptors: int) -> None:
    """Until something is said on one of these, or it ends."""
    poll = select.poll()
    for each in descriptors:
        poll.register(each, select.POLLIN)
    poll.poll()


def can_be_read(descriptor: int, seconds: float = 0) -> bool:
    """Whether something is said there within so many seconds, or it ends."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
