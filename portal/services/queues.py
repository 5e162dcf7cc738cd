"""Queues as people see them: what waits in each form of one, and which workers serve it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from portal.domain.names import queue_forms
from portal.domain.states import State
from portal.models import Run, Submission, Worker
from portal.queue import EVERY
from portal.services import backends, stories
from portal.settings import settings


@dataclass(frozen=True)
class Host:
    """A machine whose workers serve a queue: how many processes, and when one of them last reported."""

    name: str
    processes: int
    seen: datetime


@dataclass(frozen=True)
class Form:
    """One form of a queue: low_x, x or high_x; how many runs wait in it, and who serves it."""

    queue: str
    name: str
    waiting: int
    hosts: tuple[Host, ...]

    @property
    def seen(self) -> datetime | None:
        """When a worker of it last reported."""
        return max((each.seen for each in self.hosts), default=None)


def every(session: Session) -> list[Form]:
    """All forms of every queue that a backend has, then those that only runs of earlier days wait in."""
    waiting = _waiting(session)
    forms = {form: each.queue for each in backends.every(session) for form in queue_forms(each.queue)}
    forms |= {form: form for form in sorted(waiting) if form not in forms}
    heard = backends.heard(session)
    return [Form(queue, form, waiting.get(form, 0), _hosts(form, heard)) for form, queue in forms.items()]


def waits(session: Session, submission: Submission) -> dict[str, str]:
    """What to say of those of its runs that no worker can begin now, by their UUIDs."""
    queued = [run for run in submission.runs if run.state is State.QUEUED]
    if not queued:
        return {}
    heard = backends.heard(session)
    mine = and_(Run.submission_id == submission.id, Run.state == State.QUEUED)
    frozen = stories.frozen(session, mine, Run.work["placement"]["backend"], Run.work["language"])
    found = {run.uuid: _held_up(run, frozen[run.id], _workers(run.queue, heard)) for run in queued if run.id in frozen}
    return {uuid: sentence for uuid, sentence in found.items() if sentence}


def _waiting(session: Session) -> dict[str, int]:
    counted = select(Run.queue, func.count(Run.id)).where(Run.state == State.QUEUED).group_by(Run.queue)
    return dict(session.execute(counted).all())


def _workers(form: str, heard: Sequence[Worker]) -> list[Worker]:
    return [each for each in heard if {form, EVERY} & set(each.queues)]


def _hosts(form: str, heard: Sequence[Worker]) -> tuple[Host, ...]:
    """A worker's name is its machine's, which tells more after a stroke, then a colon and a process's number."""
    found: dict[str, list[Worker]] = {}
    for worker in _workers(form, heard):
        found.setdefault(worker.name.rpartition(":")[0] or worker.name, []).append(worker)
    return tuple(
        Host(name.partition("/")[0], len(each), max(one.seen for one in each)) for name, each in sorted(found.items())
    )


def _held_up(run: Run, frozen: tuple[str, str], workers: Sequence[Worker]) -> str:
    """What keeps it, frozen for a backend and a language, from being begun, if something does."""
    if not workers:
        return _without_workers(run.queue)
    reason = backends.against(*frozen, workers)
    reason = reason or backends.below(max(run.minimum_level, settings().portal_min_level), workers)
    return f"Waits: {reason}" if reason else ""


def _without_workers(form: str) -> str:
    minutes = int(backends.SILENT_AFTER.total_seconds() // 60)
    return f"Waits for a worker of the queue {form}: none has reported for {minutes} minutes."
