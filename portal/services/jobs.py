"""Jobs: composing tasks into steps, and what a person must know to run one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import validators
from portal.domain import graph, plan
from portal.domain.drafts import Fault
from portal.domain.errors import Invalid, NotFound
from portal.domain.names import check_name, fits, namesakes, normal_name
from portal.domain.parameters import Rule
from portal.domain.plugins import plugins
from portal.domain.policy import Action
from portal.domain.texts import check_text, storable
from portal.models import Account, Job, JobRevision, Step, TaskRevision
from portal.services import backends, tasks

MOST_STEPS = 200
LONGEST_KEPT_DAYS = 36_500


@dataclass(frozen=True)
class StepDraft:
    order: int
    task: str


@dataclass(frozen=True)
class JobDraft:
    """What a job is to be."""

    name: str
    description: str = ""
    public: bool = False
    enabled: bool = True
    validators: tuple[str, ...] = ()
    steps: tuple[StepDraft, ...] = ()
    keep_days: int | None = None


@dataclass(frozen=True)
class Field:
    """One field of a job's form: a parameter of one of its tasks under its public name."""

    name: str
    label: str
    help: str
    rule: Rule
    task: str


def every(session: Session) -> Sequence[Job]:
    return session.scalars(select(Job).order_by(Job.name)).all()


def page(session: Session, account: Account | None, after: str, limit: int) -> Sequence[Job]:
    """The first jobs by name, of those after this one, that somebody may see."""
    seen = select(Job).where(Job.name > after)
    if account is None or not account.may(Action.RUN_PRIVATE_JOBS):
        seen = seen.where(Job.public)
    return session.scalars(seen.order_by(Job.name).limit(limit)).all()


def get(session: Session, name: str) -> Job:
    job = named(session, name)
    if job is None:
        raise NotFound(f"There is no job {name}.")
    return job


def named(session: Session, name: str) -> Job | None:
    """The job of this name, if it could be one and is."""
    return session.scalar(select(Job).where(Job.name == normal_name(name))) if storable(name) else None


def may_run(account: Account | None, job: Job) -> bool:
    """Whether somebody may see and submit the job: a public one anybody, others who have an account."""
    return job.public or (account is not None and account.may(Action.RUN_PRIVATE_JOBS))


def runnable_by(session: Session, account: Account | None) -> list[Job]:
    return [job for job in every(session) if job.enabled and job.current.steps and may_run(account, job)]


def save(session: Session, draft: JobDraft, author: Account | None, job: Job | None = None) -> JobRevision:
    """Add a revision to a job, or make one. Raises Invalid naming every field that is wrong."""
    draft = replace(draft, name=normal_name(draft.name))
    wrong = dict(_faults(session, draft, job))
    if wrong:
        raise Invalid(**wrong)
    job = job or Job(owner=author)
    job.name, job.public, job.enabled = draft.name, draft.public, draft.enabled
    job.keep_days = draft.keep_days
    session.add(job)
    revision = JobRevision(
        number=job.revisions[-1].number + 1 if job.revisions else 1,
        author=author,
        description=draft.description,
        validators=list(draft.validators),
        steps=[Step(order=each.order, task=tasks.named(session, each.task)) for each in draft.steps],
    )
    job.revisions.append(revision)
    session.flush()
    return revision


def delete(session: Session, job: Job) -> None:
    """Its submissions stay, with the name it had."""
    session.delete(job)


def draft_of(job: Job) -> JobDraft:
    current = job.current
    return JobDraft(
        name=job.name,
        description=current.description,
        public=job.public,
        enabled=job.enabled,
        keep_days=job.keep_days,
        validators=tuple(current.validators),
        steps=tuple(StepDraft(each.order, each.task.name if each.task else "") for each in current.steps),
    )


def fields(job: Job) -> list[Field]:
    """The job's parameters in step order. A task that stands in several steps is asked for once."""
    revisions = dict.fromkeys(step.task.current for step in job.current.steps if step.task)
    return [field for revision in revisions for field in _fields_of(revision)]


def _fields_of(revision: TaskRevision) -> list[Field]:
    task = revision.task.name
    return [
        Field(each.public_name(task), each.label or each.alias, each.help, each.rule, task)
        for each in revision.parameters
    ]


def obstacles(session: Session, job: Job) -> list[str]:
    """Why the job cannot run now: a sentence for each reason, none if it can."""
    if not job.current.steps:
        return [f"The job {job.name} has no steps yet."]
    found = [_obstacle(session, step) for step in job.current.steps]
    return list(dict.fromkeys(each for each in found if each))


def _obstacle(session: Session, step: Step) -> str | None:
    if step.task is None:
        return "The task of a step is deleted: take the step out of the job."
    revision = step.task.current
    reason = backends.obstacle(session, revision.backend, revision.language)
    return f"Step {step.task.name}: {reason}" if reason else None


def warnings(session: Session, draft: JobDraft) -> list[str]:
    """What its author should look at: an input that nothing before gives."""
    return list(_unfed_inputs(session, draft))


def _unfed_inputs(session: Session, draft: JobDraft) -> Iterator[str]:
    given: list[str] = []
    for stage in _by_stage(session, draft):
        for task in stage:
            for ending in task.inputs if given else ():
                if not any(fits(f"x{each}", ending) for each in given):
                    yield f"{task.task.name} takes {ending}, which no earlier step gives."
        given += [ending for task in stage for ending in (*task.inputs, *task.outputs, task.stdout) if ending]


def _by_stage(session: Session, draft: JobDraft) -> list[list[TaskRevision]]:
    steps = draft.steps[:MOST_STEPS]
    stages = plan.stages(step.order for step in steps)
    found = [(stages[step.order], tasks.named(session, step.task)) for step in steps]
    return [[task.current for at, task in found if at == stage and task] for stage in stages.values()]


def drawing(session: Session, draft: JobDraft) -> graph.Drawing:
    """The picture of a job as it would run, of no more steps than a job may have."""
    steps = draft.steps[:MOST_STEPS]
    stages = plan.stages(step.order for step in steps)
    nodes = [
        graph.Node(str(index), step.task, _language_label(session, step.task), "plain", stages[step.order])
        for index, step in enumerate(steps)
    ]
    return graph.draw(nodes)


def _language_label(session: Session, task_name: str) -> str:
    task = tasks.named(session, task_name)
    known = plugins("languages").get(task.current.language) if task else None
    return known.label if known else ""


def _faults(session: Session, draft: JobDraft, job: Job | None) -> Iterator[Fault]:
    if reason := check_name(draft.name):
        yield "name", reason
    elif (other := named(session, draft.name)) and other is not job:
        yield "name", "A job of this name exists: choose another."
    if reason := check_text("description", draft.description):
        yield "description", reason
    if draft.keep_days is not None and not 1 <= draft.keep_days <= LONGEST_KEPT_DAYS:
        yield "keep_days", f"Keep results for 1 to {LONGEST_KEPT_DAYS:,} days, or leave it empty."
    yield from _validator_faults(draft.validators)
    if len(draft.steps) > MOST_STEPS:
        yield "steps", f"A job has at most {MOST_STEPS} steps, this has {len(draft.steps)}: make two jobs of it."
    else:
        yield from _step_faults(session, draft.steps)


def _validator_faults(entries: Sequence[str]) -> Iterator[Fault]:
    for index, entry in enumerate(entries):
        name, options = validators.parts(entry)
        if name not in plugins("validators"):
            yield f"validators-{index}-name", f"The validator {name[:40]} is not installed: choose another."
        elif reason := check_text("option", options) or validators.check_options(name, options):
            yield f"validators-{index}-options", reason


def _step_faults(session: Session, steps: Sequence[StepDraft]) -> Iterator[Fault]:
    found = [tasks.named(session, step.task) for step in steps]
    for index, (step, task) in enumerate(zip(steps, found, strict=True)):
        if task is None:
            yield f"steps-{index}-task", "Choose one of the tasks."
        if not 0 <= step.order <= 100_000:
            yield f"steps-{index}-order", "Give an order number from 0 on."
    if sentence := namesakes({task.name: tasks.aliases_of(task) for task in found if task}):
        yield "steps", sentence
