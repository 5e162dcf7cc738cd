"""The words said to workers, sent on commit only. A lost word costs time, never work: the sweep says it again."""

from __future__ import annotations

import logging
import time
from functools import cache

from celery import Celery
from kombu.exceptions import OperationalError
from sqlalchemy import event
from sqlalchemy.orm import Session

from portal.settings import settings

CHORES = "chores"
EVERY = "every"
PAUSE = 5.0
UNSAID = "words"

log = logging.getLogger(__name__)


def say(session: Session, word: str, queue: str = CHORES) -> None:
    """Say a word to whoever listens on a queue, once this session has committed."""
    session.info.setdefault(UNSAID, {})[(word, queue)] = None


@event.listens_for(Session, "after_commit")
def _send_all(session: Session) -> None:
    for word, queue in session.info.pop(UNSAID, {}):
        _line().send(word, queue)


@event.listens_for(Session, "after_rollback")
def _unsay_all(session: Session) -> None:
    session.info.pop(UNSAID, None)


class Line:
    """The line to the broker. After a failure it stays silent for a while: a dead broker costs one request a second."""

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
        self.silent_until = 0.0

    def send(self, word: str, queue: str) -> None:
        if time.monotonic() < self.silent_until:
            return
        try:
            self.app.send_task(word, queue=queue, retry=False)
        except (OSError, OperationalError) as failure:
            log.warning("the broker does not answer: %s", type(failure).__name__)
            self.silent_until = time.monotonic() + PAUSE


@cache
def _line() -> Line:
    return Line(settings().broker)
