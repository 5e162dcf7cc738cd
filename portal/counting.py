"""What all processes count together, in the broker's Redis; while it does not answer, each counts for itself.

No request fails for it, nor waits for long: a store that was silent is left alone for a while.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Lock
from typing import Any, Generic, TypeVar

from limits.storage import RedisStorage
from redis import RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

PATIENCE = 0.25

Counting = TypeVar("Counting")
Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


def storage(broker: str) -> RedisStorage:
    """The broker's own store, asked once and not waited for."""
    once: Any = Retry(NoBackoff(), 0)
    url = broker.replace("redis+socket://", "redis+unix://", 1)
    return RedisStorage(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, retry=once)


class Shared(Generic[Counting]):
    """What counts for all, and what counts for this process for `pause` seconds after that did not answer."""

    def __init__(self, shared: Counting, own: Counting, pause: float) -> None:
        self.shared, self.own, self.pause = shared, own, pause
        self.silent_until = 0.0
        self.lock = Lock()

    @property
    def answering(self) -> Counting:
        return self.own if time.monotonic() < self.silent_until else self.shared

    def ask(self, question: Callable[[Counting], Answer]) -> Answer:
        asked = self.answering
        if asked is self.own:
            return question(asked)
        try:
            return question(asked)
        except (OSError, RedisError) as failure:
            self._be_silent(failure)
        return question(self.own)

    def _be_silent(self, failure: Exception) -> None:
        with self.lock:
            if time.monotonic() >= self.silent_until:
                log.warning("the broker counts nothing now, each process does: %s", type(failure).__name__)
                self.silent_until = time.monotonic() + self.pause
