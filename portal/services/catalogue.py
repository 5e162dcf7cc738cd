"""Jobs and tasks as they are now, with all that they rest on, in a few statements however many they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session, joinedload, selectinload
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.interfaces import LoaderOption
from sqlalchemy.sql import func

from portal.models import Job, JobRevision, Step, Task, TaskRevision

Revision = TypeVar("Revision", JobRevision, TaskRevision)


def jobs_at_hand(session: Session, jobs: Sequence[Job], *more: LoaderOption) -> Sequence[Job]:
    """Put what these jobs run at hand, that of jobs in them included; `more` of their tasks' revisions than usual."""
    known: dict[int, Job] = {}
    beyond = list(jobs)
    while beyond := [job for job in beyond if job.id not in known]:
        known |= {job.id: job for job in beyond}
        beyond = _one_level(session, beyond)
    tasks_at_hand(session, [step.task for job in known.values() for step in _steps(job) if step.task], *more)
    return jobs


def tasks_at_hand(session: Session, tasks: Iterable[Task], *more: LoaderOption) -> None:
    """Put what these tasks are at hand."""
    known = {task.id: task for task in tasks}
    loading = joinedload(TaskRevision.backend), selectinload(TaskRevision.parameters), *more
    for revision in _newest(session, TaskRevision, TaskRevision.task_id, known, *loading):
        set_committed_value(revision, "task", known[revision.task_id])
        known[revision.task_id].put_at_hand(revision)


def _one_level(session: Session, jobs: Sequence[Job]) -> list[Job]:
    """What these jobs run, without what is in that; the jobs among their steps."""
    mine = {job.id: job for job in jobs}
    for revision in _newest(session, JobRevision, JobRevision.job_id, mine, selectinload(JobRevision.steps)):
        set_committed_value(revision, "job", mine[revision.job_id])
        mine[revision.job_id].put_at_hand(revision)
    steps = [step for job in jobs for step in _steps(job)]
    _hang(session, steps, Step.task, Task)
    _hang(session, steps, Step.subjob, Job)
    return [step.subjob for step in steps if step.subjob]


def _steps(job: Job) -> list[Step]:
    return job.current.steps


def _hang(
    session: Session,
    steps: Sequence[Step],
    relation: InstrumentedAttribute[Task | None] | InstrumentedAttribute[Job | None],
    model: Any,
) -> None:
    ids = [getattr(step, f"{relation.key}_id") for step in steps]
    wanted = {number for number in ids if number is not None}
    found = {each.id: each for each in session.scalars(select(model).where(model.id.in_(wanted)))} if wanted else {}
    for step, number in zip(steps, ids, strict=True):
        set_committed_value(step, relation.key, found.get(number))


def _newest(
    session: Session,
    model: type[Revision],
    owner: InstrumentedAttribute[int],
    owners: Iterable[int],
    *options: LoaderOption,
) -> Sequence[Revision]:
    """The newest revision of each."""
    last = select(func.max(model.id)).where(owner.in_(list(owners))).group_by(owner)
    return session.scalars(select(model).where(model.id.in_(last)).options(*options)).all()
