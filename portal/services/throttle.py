"""How often somebody failed: from a few times on, each failure makes the next try wait twice as long.

Counted in the broker's store, which all processes share; where that is away, each process counts for itself.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from limits.storage import MemoryStorage, RedisStorage, Storage
from redis import RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from portal.domain.errors import TooMany
from portal.settings import settings

DAY = 86_400
PAUSE = 60.0
SECONDS = 0.25
IPV6_HOME = 64

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Culprit:
    """Who is counted: so many failures are free, and no wait is longer than that."""

    key: str
    free: int
    longest: int


def of_name(name: str) -> Culprit:
    """An account that is guessed at, whether there is one of this name or not."""
    return Culprit("name:" + sha256(name.casefold().encode("utf-8", "replace")).hexdigest(), 5, 300)


def of_address(address: str) -> Culprit:
    """Where guesses come from; of IPv6, the network that one client can have to itself."""
    return Culprit(f"address:{_home(address)}", 20, 900)


def check(culprits: Sequence[Culprit]) -> None:
    """Raises TooMany while one of them has to wait."""
    wait = max((_store().wait(each) for each in culprits), default=0.0)
    if wait > 0:
        seconds = math.ceil(wait)
        raise TooMany(f"That was tried too often. Wait {_words(seconds)}, then try again.", seconds)


def count(culprits: Sequence[Culprit]) -> None:
    """They have failed once more."""
    for each in culprits:
        _store().count(each)


def forgive(culprit: Culprit) -> None:
    _store().forgive(culprit)


class Counts:
    """The counts of one store; of this process's own while that one is silent."""

    def __init__(self, shared: Storage) -> None:
        self.shared, self.own = shared, MemoryStorage()
        self.silent_until = 0.0

    def wait(self, culprit: Culprit) -> float:
        """The seconds until the culprit may try again."""
        store = self._answering()
        key = f"wait:{culprit.key}"
        try:
            return store.get_expiry(key) - time.time() if store.get(key) else 0.0
        except (RedisError, OSError) as failure:
            self._be_silent(failure)
            return self.wait(culprit)

    def count(self, culprit: Culprit) -> None:
        store = self._answering()
        try:
            over = store.incr(f"failed:{culprit.key}", DAY) - culprit.free
            if over > 0:
                store.incr(f"wait:{culprit.key}", min(2 ** min(over, 20), culprit.longest))
        except (RedisError, OSError) as failure:
            self._be_silent(failure)
            self.count(culprit)

    def forgive(self, culprit: Culprit) -> None:
        store = self._answering()
        try:
            store.clear(f"failed:{culprit.key}")
        except (RedisError, OSError) as failure:
            self._be_silent(failure)
            self.forgive(culprit)

    def _answering(self) -> Storage:
        return self.own if time.monotonic() < self.silent_until else self.shared

    def _be_silent(self, failure: Exception) -> None:
        log.warning("the broker does not answer, so this process counts for itself: %s", type(failure).__name__)
        self.silent_until = time.monotonic() + PAUSE


def _store() -> Counts:
    return _counts(settings().broker)


@cache
def _counts(broker: str) -> Counts:
    url = broker.replace("redis+socket://", "redis+unix://")
    once: Any = Retry(NoBackoff(), 0)
    return Counts(RedisStorage(url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS, retry=once))


def _home(address: str) -> str:
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or ip_network((found, IPV6_HOME), strict=False))
    return str(found)


def _words(seconds: int) -> str:
    if seconds < 90:
        return f"{seconds} s"
    return f"{math.ceil(seconds / 60)} minutes"
