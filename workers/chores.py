"""What a pool process does again and again, each chore in a thread of its own, which no signal interrupts."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable

from workers.succession import NO_ANSWER

NAP_SECONDS = 0.2

log = logging.getLogger(__name__)


class Chore:
    """Done every so many seconds, and at once when it is called, until `ending`.

    A thread that was made before a fork is dead after it: so a chore that is started makes its own.
    """

    def __init__(self, do: Callable[[], object], seconds: Callable[[], float], ending: Callable[[], bool]) -> None:
        self._do, self._seconds, self._ending = do, seconds, ending
        self._called, self._idle = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._repeat, daemon=True, name=self._do.__name__)
        self._thread.start()

    def call(self) -> None:
        """Have it done as soon as it can be."""
        self._idle.clear()
        self._called.set()

    def until_idle(self) -> None:
        """Wait until nothing is left of it to do, or it has ended."""
        while self._lives() and not self._idle.wait(NAP_SECONDS):
            pass

    def until_ended(self, seconds: float) -> None:
        if self._thread:
            self._thread.join(seconds)

    def _lives(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _repeat(self) -> None:
        while _would_die_at_once():
            time.sleep(NAP_SECONDS)
        while not self._ending():
            self._called.clear()
            self._try()
            if not self._called.is_set():
                self._idle.set()
            self._pause()

    def _pause(self) -> None:
        until = time.monotonic() + self._seconds()
        while not self._ending() and (left := until - time.monotonic()) > 0:
            if self._called.wait(min(left, NAP_SECONDS)):
                return

    def _try(self) -> None:
        """Its failure keeps neither it nor another from being done."""
        try:
            self._do()
        except NO_ANSWER as failure:
            log.warning("the database does not answer: %s", type(failure).__name__)
        except Exception:
            log.exception("%s failed", self._do.__name__)


class Seldom:
    """What need not be done more often than every so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._next = seconds, 0.0

    def is_time(self) -> bool:
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + self._seconds
        return True


def _would_die_at_once() -> bool:
    """Whether SIGTERM would still end this process in disorder, as it does until its pool has made it ready."""
    return signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
