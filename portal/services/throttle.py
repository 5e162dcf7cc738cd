"""How often somebody failed: from a few times on, each failure makes the next try wait twice as long.

All processes count together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256

from limits.storage import MemoryStorage, Storage

from portal import counting
from portal.domain.addresses import home
from portal.domain.errors import TooMany
from portal.settings import settings

DAY = 86_400
PAUSE = 60.0


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
    return Culprit(f"address:{home(address)}", 20, 900)


def check(culprits: Sequence[Culprit]) -> None:
    """Raises TooMany while one of them has to wait."""
    seconds = math.ceil(max(map(wait, culprits), default=0.0))
    if seconds > 0:
        raise TooMany(f"That was tried too often. Wait {_words(seconds)}, then try again.", seconds)


def count(culprits: Sequence[Culprit]) -> None:
    """They have failed once more."""
    for each in culprits:
        _counts().ask(partial(_count, culprit=each))


def forgive(culprit: Culprit) -> None:
    _counts().ask(lambda store: store.clear(f"failed:{culprit.key}"))


def wait(culprit: Culprit) -> float:
    """The seconds until the culprit may try again."""
    key = f"wait:{culprit.key}"
    return _counts().ask(lambda store: store.get_expiry(key) - time.time() if store.get(key) else 0.0)


def _count(store: Storage, culprit: Culprit) -> None:
    over = store.incr(f"failed:{culprit.key}", DAY) - culprit.free
    if over > 0:
        store.incr(f"wait:{culprit.key}", min(2 ** min(over, 20), culprit.longest))


def _counts() -> counting.Shared[Storage]:
    return _counts_of(settings().broker)


@cache
def _counts_of(broker: str) -> counting.Shared[Storage]:
    return counting.Shared(counting.storage(broker), MemoryStorage(), PAUSE)


def _words(seconds: int) -> str:
    if seconds < 90:
        return f"{seconds} s"
    return f"{math.ceil(seconds / 60)} minutes"
