"""How long this process waits for PostgreSQL's answers, and what it does meanwhile.

The web's threads are few, and none may hang for ever. No time limit of the server's helps against a server that is
frozen; so the waiting itself is bounded.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2 import extensions

CONNECT_SECONDS = 5
EVENTS = {extensions.POLL_READ: select.POLLIN, extensions.POLL_WRITE: select.POLLOUT}


class Errand:
    """What is done once: as soon as an answer has to be waited for, or when it is asked to `run`. After it comes the
    one `around` it."""

    failure: Exception | None = None

    def __init__(self, do: Callable[[], object], around: Errand | None) -> None:
        self.do: Callable[[], object] | None = do
        self.around = around

    def run(self) -> None:
        do, self.do = self.do, None
        try:
            if do:
                do()
        except Exception as failure:  # noqa: BLE001 - the driver takes it for one of its own
            self.failure = failure
        if self.around:
            self.around.run()


class Mine(threading.local):
    """This thread's."""

    errand: Errand | None = None


_mine = Mine()


@contextmanager
def meanwhile(do: Callable[[], object]) -> Iterator[Errand]:
    """While PostgreSQL works on the answer to what is asked first in here, if anything is. It may ask nothing itself.

    Raises what it does, when the end of this is reached.
    """
    around = _mine.errand
    errand = _mine.errand = Errand(do, around)
    try:
        yield errand
    finally:
        _mine.errand = around
    if errand.failure:
        raise errand.failure


def wait_at_most(seconds: Callable[[], float | None]) -> None:
    """From now on an answer that takes longer breaks its connection. `seconds` is asked for each; None is for ever."""

    def wait(connection: extensions.connection) -> None:
        connecting = connection.status == extensions.STATUS_SETUP
        _wait(connection, CONNECT_SECONDS if connecting else seconds())

    extensions.set_wait_callback(wait)


def _wait(connection: extensions.connection, seconds: float | None) -> None:
    deadline = None if seconds is None else time.monotonic() + seconds
    while (state := connection.poll()) != extensions.POLL_OK:
        if state == extensions.POLL_READ and _mine.errand:
            _mine.errand.run()
        answer = select.poll()
        answer.register(connection.fileno(), EVENTS[state])
        if not answer.poll(_milliseconds_until(deadline)):
            raise psycopg2.OperationalError("timeout expired")


def _milliseconds_until(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
