"""The words said to workers, sent on commit only. A lost word costs time, never work: the sweep says it again.

Nobody waits for the broker: a thread of its own talks to it, so that a dead or frozen one slows no request.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from functools import cache, cached_property
from typing import Any
from uuid import uuid4

from celery import Celery
from kombu.exceptions import KombuError
from redis import RedisError
from sqlalchemy import event
from sqlalchemy.orm import Session

from portal.settings import settings

CHORES = "chores"
EVERY = "every"
PAUSE = 5.0
LINGER = 0.2
ENOUGH = 100
KNOCK = "if redis.call('llen', KEYS[1]) < tonumber(ARGV[1]) then redis.call('lpush', KEYS[1], ARGV[2]) end"
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
        self.lock = threading.Condition()
        self.unsent: dict[tuple[str, str], None] = {}
        self.talking = False
        self.silent_until = 0.0

    def send(self, word: str, queue: str) -> None:
        with self.lock:
            if time.monotonic() < self.silent_until:
                return
            self.unsent[(word, queue)] = None
            if self.talking:
                self.lock.notify()
                return
            self.talking = True
        try:
            threading.Thread(target=self._talk, name="words").start()
        except (RuntimeError, MemoryError):
            log.warning("no thread is left to talk to the broker")
            self._be_silent()
            self.talking = False

    def _talk(self) -> None:
        """Send what waits, until nothing has come for a moment: to start a thread costs more than to say a word."""
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
            if not self.unsent:
                self.lock.wait(LINGER)
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
        self._knock(keys=[queue], args=[ENOUGH, _message(word, queue)])

    @cached_property
    def _knock(self) -> Any:
        return self.app.connection_for_write().default_channel.client.register_script(KNOCK)


def _message(word: str, queue: str) -> str:
    text, *marks = _written(word, queue)
    own = str(uuid4())
    for mark in marks:
        text = text.replace(mark, own)
    return text


@cache
def _written(word: str, queue: str) -> tuple[str, str, str]:
    """What Celery makes of a word, and what of it no other word may have: it is made once, as that takes so long."""
    with Celery(set_as_current=False, broker="memory://") as celery, celery.connection_for_write() as connection:
        channel = connection.default_channel
        celery.send_task(word, queue=queue, connection=connection)
        message = channel._get(queue)
    return json.dumps(message), message["headers"]["id"], message["properties"]["delivery_tag"]


@cache
def _line() -> Line:
    return Line(settings().broker)


os.register_at_fork(after_in_child=_line.cache_clear)
