"""Jobs in jobs: what a job runs, those of its steps included that are jobs themselves, each as it is now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.domain import steps
from portal.domain.errors import Conflict
from portal.domain.steps import Part
from portal.models import Job, JobRevision, Step, TaskRevision


def parts(job: Job, around: Sequence[Job] = ()) -> tuple[Part, ...]:
    """The job's steps for the rules. Raises Conflict when it is a step of itself."""
    if job in around:
        way = " → ".join(each.name for each in (*around[around.index(job) :], job))
        raise Conflict(f"The job {job.name} is a step of itself, {way}: take it out of one of these jobs.")
    current = job.current.steps
    names = steps.names([(step.name, thing(step)) for step in current])
    return tuple(_part(step, name, (*around, job)) for step, name in zip(current, names, strict=True))


def _part(step: Step, name: str, around: Sequence[Job]) -> Part:
    return Part(
        name,
        step.order,
        step.task.current if step.task else None,
        parts(step.subjob, around) if step.subjob else None,
        tuple(step.needs) if step.needs else None,
        step.condition,
    )


def thing(step: Step) -> str:
    """The name of the task or the job that a step is."""
    return step.task.name if step.task else step.subjob.name if step.subjob else ""


def revisions(job: Job) -> list[TaskRevision]:
    """The tasks that the job runs, as they are now, each once, in the order of its steps."""
    return list(dict.fromkeys(_revisions(job, ())))


def _revisions(job: Job, around: Sequence[Job]) -> Iterator[TaskRevision]:
    for step in job.current.steps:
        if step.task:
            yield step.task.current
        elif step.subjob and step.subjob not in (*around, job):
            yield from _revisions(step.subjob, (*around, job))


def size(job: Job, sizes: Mapping[Job, int]) -> int:
    """How many tasks the job runs, if these jobs run so many."""
    if job in sizes:
        return sizes[job]
    return sum(size(step.subjob, sizes) if step.subjob else 1 for step in job.current.steps)


def containing(session: Session, jobs: Sequence[Job]) -> list[Job]:
    """The jobs that have one of these as a step, or as a step of a step, in the order of their names."""
    found: dict[Job, None] = {}
    beyond = list(jobs)
    while beyond := [job for job in having(session, beyond) if job not in found]:
        found.update(dict.fromkeys(beyond))
    return sorted(found, key=lambda job: job.name)


def having(session: Session, jobs: Sequence[Job]) -> list[Job]:
    """The jobs that have one of these as a step."""
    steps_of = select(JobRevision.job_id).join(JobRevision.steps).where(Step.subjob_id.in_([job.id for job in jobs]))
    candidates = session.scalars(select(Job).where(Job.id.in_(steps_of)).order_by(Job.name))
    return [job for job in candidates if any(step.subjob in jobs for step in job.current.steps if step.subjob)]
