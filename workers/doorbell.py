"""The broker's end of a worker: what is not one of our words is dropped here; Celery's own would end for it."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis
from kombu.transport.virtual import Message

WORDS = ("wake", "tell", "sweep")
EVENTS = "celeryev"  # what workers say of themselves to each other: nobody here needs it
ACCEPTED = {"application/json"}
UNREADABLE = (ValueError, RecursionError, TypeError, LookupError, AttributeError)  # what comes of JSON that means harm

log = logging.getLogger(__name__)


class Channel(redis.Channel):
    def _brpop_read(self, **options: Any) -> bool:
        try:
            return bool(super()._brpop_read(**options))  # type: ignore[no-untyped-call]
        except UNREADABLE:
            log.warning("a word that is no JSON was dropped")
            return True


class Transport(redis.Transport):
    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        if self._is_ours(message):
            super()._deliver(message, queue)  # type: ignore[no-untyped-call]
        elif not queue.startswith(EVENTS):
            log.warning("a word in %s that is not ours was dropped", queue)

    def _is_ours(self, message: Any) -> bool:
        try:
            _check(Message(message, channel=self.channels[0], accept=ACCEPTED))  # type: ignore[no-untyped-call]
        except Exception:  # noqa: BLE001 - whoever may write to the broker may write anything
            return False
        return True


def _check(word: Any) -> None:
    """A word carries nothing but itself. Raises whatever comes of one that is another thing."""
    values, names, _ = word.payload
    headers = word.headers
    if headers["task"] not in WORDS or values or names or headers["eta"] is not None:
        raise ValueError("not a word of ours")
    if headers["expires"] is not None:
        datetime.fromisoformat(headers["expires"])
    headers["id"].encode()


def install() -> None:
    """Use it for every address of a Redis."""
    TRANSPORT_ALIASES["redis"] = TRANSPORT_ALIASES["rediss"] = f"{__name__}:Transport"
