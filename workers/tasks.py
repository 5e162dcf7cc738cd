"""The words that workers hear: wake, tell and sweep. A worker process that hears nothing looks for itself.

Each pool process works through what is due under one lock, on a word or on its own slow poll, so that a dead broker
only makes things slower.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable

from celery import signals

from portal import database
from portal.database import reading, transaction
from portal.domain.errors import Unavailable
from portal.models import Backend, Worker
from portal.queue import CHORES
from portal.services import backends, letters, progress
from portal.settings import settings
from workers.celery_app import app
from workers.execution import NO_ANSWER, perform
from workers.languages import language
from workers.runners import runner
from workers.runners.local import HOST
from workers.sweep import sweep as sweep_once

REPORT_SECONDS = 30.0

log = logging.getLogger(__name__)
_at_work = threading.Lock()
_ending = multiprocessing.Event()


@app.task(name="wake")
def wake() -> None:
    """There is work in a queue."""
    work_through()


@app.task(name="tell")
def tell() -> None:
    """A batch has ended: letters are due."""
    letters.send_due()


@app.task(name="sweep")
def sweep() -> None:
    """The clock's word: say again what was lost."""
    sweep_once()


def work_through() -> None:
    """Claim and do what is due, one run after another, until nothing is."""
    if not _at_work.acquire(blocking=False):
        return
    try:
        while not _ending.is_set() and (claim := _claim()):
            perform(claim)
    finally:
        _at_work.release()


def _claim() -> progress.Claim | None:
    with transaction() as session:
        return progress.claim(session, queues(), _name(), HOST)


def queues() -> list[str]:
    """The queues of runs that this worker was started for."""
    return [name for name in app.amqp.queues.consume_from if name != CHORES]


def _name() -> str:
    return f"{HOST}:{os.getpid()}"


def report() -> None:
    """Say which queues this process serves, and what of each backend it cannot run, and why."""
    with reading() as session:
        found = {backend.name: _obstacles(backend) for backend in backends.every(session)}
    with transaction() as session:
        backends.report(session, Worker(name=_name(), queues=queues(), obstacles=found))


def _obstacles(backend: Backend) -> dict[str, str | None]:
    return {name: _obstacle(backend, name) for name in backend.languages}


def _obstacle(backend: Backend, name: str) -> str | None:
    try:
        return runner(backend.runner).unavailable(backend.options) or language(name).unavailable(backend.options)
    except Unavailable as missing:
        return str(missing)


@signals.worker_process_init.connect
def _begin(**_: object) -> None:
    """In each new pool process: no connection of its parent's, and a thread that looks for work by itself."""
    database.forget()
    threading.Thread(target=_look_around, daemon=True, name="look-around").start()


@signals.worker_shutting_down.connect
def _finish_only(**_: object) -> None:
    """In the main process, seen by all of its pool: what runs is seen through, nothing more is begun."""
    _ending.set()


def _look_around() -> None:
    reported = -REPORT_SECONDS
    while not _ending.is_set():
        if time.monotonic() - reported >= REPORT_SECONDS:
            reported = time.monotonic()
            _try(report)
        for chore in (sweep_once, letters.send_due, work_through):
            _try(chore)
        _ending.wait(settings().portal_poll_seconds)


def _try(chore: Callable[[], object]) -> None:
    """One chore's failure keeps no other from being done."""
    try:
        chore()
    except NO_ANSWER as failure:
        log.warning("the database does not answer: %s", type(failure).__name__)
    except Exception:
        log.exception("%s failed", chore.__name__)
