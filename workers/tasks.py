"""The words that workers hear: wake, tell and sweep. A worker process that hears nothing looks for itself.

Each pool process works through what is due under one lock, on a word or on its own slow poll, so that a dead broker
only makes things slower. Told to end, it begins nothing more and leaves what runs in order before it is gone.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable

from celery import signals

from portal import database, patience
from portal.database import reading, transaction
from portal.domain.errors import Unavailable
from portal.models import Backend, Worker
from portal.queue import CHORES
from portal.services import backends, letters, progress
from portal.settings import settings
from workers.celery_app import app
from workers.cleaner import clean
from workers.execution import NO_ANSWER, perform
from workers.languages import language
from workers.runners import runner
from workers.runners.local import HOST
from workers.sweep import sweep as sweep_once
from workers.workspace import short_of_disk

REPORT_SECONDS = 30.0
LEAVING_SECONDS = 20.0
ANSWER_SECONDS = 10.0
NAP_SECONDS = 0.2

log = logging.getLogger(__name__)
_at_work = threading.Lock()
_ending = multiprocessing.RawValue("b", 0)  # without a lock, which a killed process would hold for ever


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
    """The clock's word: say again what was lost, remove what is over."""
    sweep_once()
    clean()


def work_through() -> None:
    """Claim and do what is due, one run after another, until nothing is."""
    if not _at_work.acquire(blocking=False):
        return
    try:
        while not _is_ending() and _has_room() and (claim := _claim()):
            perform(claim, _is_ending)
    finally:
        _at_work.release()


def _claim() -> progress.Claim | None:
    with transaction() as session:
        return progress.claim(session, queues(), _name(), HOST)


def _is_ending() -> bool:
    return bool(_ending.value)


def _has_room() -> bool:
    """Nothing is begun on a disk that is nearly full."""
    short = [each for each in (settings().runs_directory, settings().files_directory) if short_of_disk(each)]
    for each in short:
        log.warning("less than %s bytes are free for %s: no run is begun", settings().portal_disk_floor_bytes, each)
    return not short


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
    """In each new pool process: no connection of its parent's; threads that look for work and letters by themselves."""
    database.forget()
    patience.wait_at_most(lambda: ANSWER_SECONDS)
    for thread in (_looking, *map(_thread, (report, sweep_once, clean, letters.send_due))):
        thread.start()


@signals.worker_shutting_down.connect
def _finish_only(**_: object) -> None:
    """In the main process, seen by all of its pool: nothing more is begun."""
    _ending.value = 1


@signals.worker_process_shutdown.connect
def _leave_in_order(**_: object) -> None:
    """In each pool process, before it is gone: what its thread minds is handed over, or ended."""
    _ending.value = 1
    if _looking.is_alive():
        _looking.join(LEAVING_SECONDS)


def _thread(chore: Callable[[], object]) -> threading.Thread:
    """Does a chore again and again: each has a thread of its own, so that none waits for another."""
    return threading.Thread(target=_repeat, args=(chore,), daemon=True, name=chore.__name__)


def _repeat(chore: Callable[[], object]) -> None:
    while not _is_ending():
        _try(chore)
        _pause(REPORT_SECONDS if chore is report else settings().portal_poll_seconds)


def _pause(seconds: float) -> None:
    until = time.monotonic() + seconds
    while not _is_ending() and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, NAP_SECONDS))


_looking = _thread(work_through)


def _try(chore: Callable[[], object]) -> None:
    """One chore's failure keeps no other from being done."""
    try:
        chore()
    except NO_ANSWER as failure:
        log.warning("the database does not answer: %s", type(failure).__name__)
    except Exception:
        log.exception("%s failed", chore.__name__)
