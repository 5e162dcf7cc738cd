"""The words said to workers, sent on commit only. A lost word costs time, never work: the sweep says it again.

Nobody waits for the broker: a thread of its own talks to it, so that a dead or frozen one slows no request.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from functools import cache

from celery import Celery
from kombu.exceptions import KombuError
from redis import RedisError
from sqlalchemy import event
from sqlalchemy.orm import Session

from portal.settings import settings

CHORES = "chores"
EVERY = "every"
PAUSE = 5.0
ENOUGH = 100
UNSAID = "words"

log = logging.getLogger(__name__)


def say(session: Session, word: str, queue: str = CHORES, about: int = 0) -> None:
    """Say a word to whoever listens on a queue, once this session has committed; once, about however many runs."""
    session.info.setdefault(UNSAID, {}).setdefault((word, queue), set()).add(about)


def unsay(session: Session, word: str, queue: str, about: int) -> None:
    """Nobody needs to hear about this one any more. A word that is about nothing else is not said."""
    unsaid = session.info.get(UNSAID, {})
    unsaid.get((word, queue), set()).discard(about)
    if not unsaid.get((word, queue)):
        unsaid.pop((word, queue), None)


@event.listens_for(Session, "after_commit")
def _send_all(session: Session) -> None:
    for word, queue in session.info.pop(UNSAID, {}):
        _line().send(word, queue)


@event.listens_for(Session, "after_rollback")
def _unsay_all(session: Session) -> None:
    session.info.pop(UNSAID, None)


class Line:
    """The line to the broker, and the words that wait for it. After a failure it stays silent for a while."""

    def __init__(self, broker: str) -> None:
        self.app = Celery("portal", broker=broker, set_as_current=False)
        self.app.conf.update(
            task_ignore_result=True,
            broker_connection_timeout=1,
            broker_transport_options={
                "socket_timeout": 1,
                "socket_connect_timeout": 1,
                "max_retries": 1,
                "interval_start": 0,
                "interval_step": 0,
            },
        )
        self.lock = threading.Lock()
        self.unsent: dict[tuple[str, str], None] = {}
        self.talking = False
        self.silent_until = 0.0

    def send(self, word: str, queue: str) -> None:
        with self.lock:
            if time.monotonic() < self.silent_until:
                return
            self.unsent[(word, queue)] = None
            if self.talking:
                return
            self.talking = True
        try:
            threading.Thread(target=self._talk, name="words").start()
        except (RuntimeError, MemoryError):
            log.warning("no thread is left to talk to the broker")
            self._be_silent()
            self.talking = False

    def _talk(self) -> None:
        """Send what waits, until nothing does."""
        while next_one := self._next():
            try:
                self._tell(*next_one)
            except (OSError, KombuError, RedisError) as failure:
                log.warning("the broker does not answer: %s", type(failure).__name__)
                self._be_silent()
            except Exception:
                log.exception("a word did not leave")
                self._be_silent()

    def _next(self) -> tuple[str, str] | None:
        with self.lock:
            first = next(iter(self.unsent), None)
            self.talking = first is not None
            if first:
                del self.unsent[first]
            return first

    def _be_silent(self) -> None:
        with self.lock:
            self.silent_until = time.monotonic() + PAUSE
            self.unsent.clear()

    def _tell(self, word: str, queue: str) -> None:
        """A queue that nobody serves must not grow without end: enough words are as good as more."""
        with self.app.producer_pool.acquire(block=True) as producer:
            if producer.channel.queue_declare(queue=queue).message_count < ENOUGH:
                self.app.send_task(word, queue=queue, retry=False, producer=producer)


@cache
def _line() -> Line:
    return Line(settings().broker)


os.register_at_fork(after_in_child=_line.cache_clear)
