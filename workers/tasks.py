"""The words that workers hear: wake, tell and sweep. A worker process that hears nothing looks for itself.

A word only calls the chore that it is about. A dead broker only makes things slower, for each chore is done every
few seconds anyway. Told to end, a process begins nothing more and leaves what runs in order before it is gone.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import threading

from celery import signals
from sqlalchemy.orm import Session

from portal import database, patience
from portal.database import reading, transaction
from portal.domain.errors import Unavailable
from portal.domain.sizes import SIZE
from portal.models import Backend, Worker
from portal.queue import CHORES
from portal.services import backends, letters, progress
from portal.settings import settings
from workers.celery_app import app
from workers.chores import Chore, Seldom
from workers.cleaner import clean
from workers.confinement import probes
from workers.execution import perform
from workers.languages import language
from workers.runners import runner
from workers.runners.local import HOST
from workers.succession import Beginning, Next
from workers.sweep import sweep as sweep_once
from workers.warm import lines, proofs
from workers.workspace import short_of_disk

REPORT_SECONDS = 30.0
LEAVING_SECONDS = 20.0
ANSWER_SECONDS = 10.0

log = logging.getLogger(__name__)
_ending = multiprocessing.RawValue("b", 0)  # without a lock, which a killed process would hold for ever
_leaving = threading.Event()  # this process alone
_short = threading.Event()  # of disk, when it last looked


@app.task(name="wake")
def wake() -> None:
    """There is work in a queue. Busy until it is done, so that the next word goes to another process."""
    _work.call()
    _work.until_idle()


@app.task(name="tell")
def tell() -> None:
    """A batch has ended: letters are due."""
    _letters.call()


@app.task(name="sweep")
def sweep() -> None:
    """The clock's word: say again what was lost, remove what is over."""
    _sweep.call()
    _clean.call()


def work_through() -> None:
    """Claim and do what is due, one run after another, until nothing is."""
    run: Next | None = _first()
    while run:
        run = perform(run, _is_ending, _next) or _first()


def _first() -> Next | None:
    """What is due, where nothing was claimed with the end of a run. There may be work for another process, too."""
    if _is_ending() or not _has_room():
        return None
    with Beginning() as first, transaction() as session:
        if claim := progress.claim(session, queues(), _name(), HOST, probes.level()):
            progress.call_for_more(session, queues(), probes.level())
            first.begin(session, claim)
    return first.run


def _next(session: Session, expected: progress.Expected | None) -> progress.Claim | None:
    """What is due when a run ends. What lost its worker comes first, and is looked for once a second at most."""
    if _is_ending() or _shortage():
        return None
    orphan = progress.claim_orphan(session, _name(), HOST) if _orphans.is_time() else None
    return orphan or progress.claim_due(session, queues(), _name(), probes.level(), expected)


def _is_ending() -> bool:
    return _leaving.is_set() or bool(_ending.value)


def _has_room() -> bool:
    """Nothing is begun on a disk that is nearly full. A change is told at once."""
    shortage = _shortage()
    if bool(shortage) != _short.is_set():
        log.warning("no run is begun: %s", shortage) if shortage else log.info("there is free disk again")
        _short.set() if shortage else _short.clear()
        _report.call()
    return not shortage


def _shortage() -> str | None:
    """Why nothing may be begun on this machine's disk, or None."""
    if not any(short_of_disk(each) for each in (settings().runs_directory, settings().files_directory)):
        return None
    floor = SIZE.words(settings().portal_disk_floor_bytes)
    return f"the worker's machine {HOST.partition('/')[0]} has less than {floor} of free disk."


def queues() -> list[str]:
    """The queues of runs that this worker was started for."""
    return [name for name in app.amqp.queues.consume_from if name != CHORES]


def _name() -> str:
    return f"{HOST}:{os.getpid()}"


def report() -> None:
    """Say which queues this process serves, and what of each backend it cannot run, and why."""
    shortage = _shortage()
    with reading() as session:
        found = {backend.name: _obstacles(backend, shortage) for backend in backends.every(session)}
    with transaction() as session:
        confined = probes.found()
        told = Worker(name=_name(), queues=queues(), obstacles=found, level=confined.level, probes=confined.told())
        backends.report(session, told)


def _obstacles(backend: Backend, shortage: str | None) -> dict[str, str | None]:
    return {name: shortage or _obstacle(backend, name) for name in backend.languages}


def _obstacle(backend: Backend, name: str) -> str | None:
    try:
        return runner(backend.runner).unavailable(backend.options) or language(name).unavailable(backend.options)
    except Unavailable as missing:
        return str(missing)


def _poll_seconds() -> float:
    return settings().portal_poll_seconds


_work, _letters, _sweep, _clean = (
    Chore(do, _poll_seconds, _is_ending) for do in (work_through, letters.send_due, sweep_once, clean)
)
_orphans = Seldom(1)
_report = Chore(report, lambda: REPORT_SECONDS, _is_ending)


@signals.worker_init.connect
def _probe(**_: object) -> None:
    """In the main process, so that its pool knows it from the beginning."""
    level = probes.level()
    if level < settings().portal_min_level:
        log.warning("no run is begun: this worker confines them at level %s only; flask doctor tells why", level)
    if settings().portal_warm:
        lines.open_nursery()
        proofs.prepare()


@signals.worker_process_init.connect
def _begin(**_: object) -> None:
    """In each new pool process: no connection of its parent's; chores that are done by themselves."""
    gc.freeze()  # what is loaded by now stays, and need not be looked through again and again
    database.forget()
    patience.wait_at_most(lambda: ANSWER_SECONDS)
    for chore in (_work, _report, _sweep, _clean, _letters):
        chore.start()


@signals.worker_shutting_down.connect
def _finish_only(**_: object) -> None:
    """In the main process, seen by all of its pool: nothing more is begun."""
    _ending.value = 1


@signals.worker_process_shutdown.connect
def _leave_in_order(**_: object) -> None:
    """In each pool process, before it is gone: what it minds is handed over, or ended."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the pool's main process says it again, to be sure
    _leaving.set()
    _work.until_ended(LEAVING_SECONDS)
