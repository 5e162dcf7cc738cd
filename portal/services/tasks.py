"""Tasks: saving adds a revision, after everything in it has been checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from portal.domain import command, limits
from portal.domain.drafts import (
    ConfigurationDraft,
    Fault,
    ParameterDraft,
    TaskDraft,
    faults,
    faults_of_numbers,
    normal_endings,
)
from portal.domain.errors import Conflict, Invalid, NotFound
from portal.domain.limits import Limits
from portal.domain.names import namesakes, normal_ending, normal_name
from portal.domain.parameters import Argument, Kind, file_part
from portal.domain.plugins import plugins
from portal.domain.policy import Action
from portal.domain.retries import Retries
from portal.domain.texts import storable
from portal.domain.work import Placement, Work, bindings
from portal.models import (
    Account,
    Backend,
    Configuration,
    Job,
    JobRevision,
    Parameter,
    Step,
    Task,
    TaskRevision,
    Variable,
)
from portal.services import access, audit, backends, nesting, secrets, sharing, twins

NO_BACKEND = "Choose a backend."


def every(session: Session) -> Sequence[Task]:
    return session.scalars(select(Task).order_by(Task.name)).all()


def seen_by(session: Session, account: Account | None, after: str = "", limit: int | None = None) -> Sequence[Task]:
    """The tasks that somebody may see, by name: those after this name, so many of them."""
    seen = select(Task).where(Task.name > after, access.where(account, Action.USE_TASK))
    return session.scalars(seen.order_by(Task.name).limit(limit).options(joinedload(Task.owner))).all()


def seen(session: Session, name: str, account: Account | None) -> Task:
    """The task of this name. Raises NotFound, the same for one that somebody may not see."""
    return access.shown(account, named(session, name), f"There is no task {name}.")


def to_change(session: Session, name: str, account: Account | None) -> Task:
    """The same, for who changes it. Raises NotFound or NotAllowed."""
    task = seen(session, name, account)
    access.check(account, Action.CHANGE_TASK, task)
    return task


def get(session: Session, name: str) -> Task:
    task = named(session, name)
    if task is None:
        raise NotFound(f"There is no task {name}.")
    return task


def named(session: Session, name: str) -> Task | None:
    """The task of this name, if it could be one and is."""
    return session.scalar(select(Task).where(Task.name == normal_name(name))) if storable(name) else None


def save(session: Session, draft: TaskDraft, author: Account | None, task: Task | None = None) -> TaskRevision:
    """Add a revision to a task, or make one. Raises Invalid naming every field that is wrong."""
    draft = replace(draft, name=normal_name(draft.name))
    wrong = dict(faults_of_numbers(draft)) or dict(
        [*_faults(session, draft, task), *secrets.faults(session, draft, author)]
    )
    if wrong:
        raise Invalid(**wrong)
    before = sharing.told(session, task) if task else {}
    task = task or Task(owner=author)
    task.name, task.public = draft.name, draft.public
    session.add(task)
    revision = _revision(draft, backends.named(session, draft.backend), author)
    revision.number = task.revisions[-1].number + 1 if task.revisions else 1
    task.revisions.append(revision)
    audit.record(session, "saved", "task", task.name, revision=revision.number)
    session.flush()
    sharing.with_groups(session, task, draft.groups)
    sharing.record(session, task, before, author)
    return revision


def delete(session: Session, task: Task, account: Account | None = None) -> None:
    """Raises Conflict while a job's current revision has a step of it; what the account may not see is not named."""
    if using := _jobs_using(session, task):
        raise Conflict(f"The task {task.name} is a step of {access.names(account, using)}: take it out there first.")
    audit.record(session, "deleted", "task", task.name)
    session.delete(task)


def _jobs_using(session: Session, task: Task) -> list[Job]:
    steps = select(JobRevision.job_id).join(JobRevision.steps).where(Step.task_id == task.id)
    candidates = session.scalars(select(Job).where(Job.id.in_(steps)).order_by(Job.name))
    return [job for job in candidates if task in [step.task for step in job.current.steps]]


def draft_of(revision: TaskRevision) -> TaskDraft:
    """A revision as a draft, to edit or to export."""
    return TaskDraft(
        name=revision.task.name,
        language=revision.language,
        backend=revision.backend.name,
        code=revision.code,
        description=revision.description,
        inputs=tuple(revision.inputs),
        outputs=tuple(revision.outputs),
        stdout=revision.stdout,
        exit_statuses=tuple(revision.exit_statuses),
        on_exit_status=revision.on_exit_status,
        on_missing_output=revision.on_missing_output,
        limits=Limits.of(revision.limits),
        retries=Retries.of(revision.retries),
        parameters=tuple(_parameter_draft(each) for each in revision.parameters),
        variables=tuple((each.name, each.value) for each in revision.variables if not each.secret),
        secrets=tuple((each.name, each.secret) for each in revision.variables if each.secret),
        configurations=tuple(
            ConfigurationDraft(each.kind, each.name, each.parameters, each.version) for each in revision.configurations
        ),
        public=revision.task.public,
    )


def shown_command(draft: TaskDraft) -> str:
    """A command's exact line with example values; nothing for other languages."""
    if draft.language != "command":
        return ""
    work = Work(
        identity="0d9f3a52",
        task=draft.name,
        language=draft.language,
        code=draft.code,
        placement=Placement(draft.backend, ""),
        inputs=normal_endings(draft.inputs),
        outputs=normal_endings(draft.outputs),
        arguments=tuple(_example(each) for each in draft.parameters),
    )
    return command.shown(draft.code, bindings(work, "/run"))


def _parameter_draft(parameter: Parameter) -> ParameterDraft:
    return ParameterDraft(
        parameter.alias, parameter.label, parameter.help, parameter.flag, parameter.kind, parameter.default,
        parameter.required, parameter.minimum, parameter.maximum, tuple(parameter.choices), parameter.spacing,
        parameter.switchless, parameter.pattern,
    )  # fmt: skip


def _example(draft: ParameterDraft) -> Argument:
    text = draft.default if draft.default is not None else f"<{draft.alias}>"
    if draft.kind is Kind.FILE:
        text = file_part(draft.alias, next(iter(normal_endings(draft.choices)), ""))
    on = draft.kind is Kind.BOOLEAN and text.lower() != "false"
    value = on if draft.kind is Kind.BOOLEAN else text
    return Argument(draft.alias, draft.flag, draft.kind, text, value, draft.spacing, draft.switchless)


def _revision(draft: TaskDraft, backend: Backend | None, author: Account | None) -> TaskRevision:
    return TaskRevision(
        backend=backend,
        author=author,
        description=draft.description,
        language=draft.language,
        code=draft.code.replace("\r\n", "\n"),
        inputs=list(normal_endings(draft.inputs)),
        outputs=list(normal_endings(draft.outputs)),
        stdout=normal_ending(draft.stdout) if draft.stdout else "",
        exit_statuses=list(draft.exit_statuses),
        on_exit_status=draft.on_exit_status,
        on_missing_output=draft.on_missing_output,
        limits=draft.limits.stated(),
        retries=draft.retries.to_json(),
        parameters=[_parameter(position, each) for position, each in enumerate(draft.parameters, 1)],
        variables=[
            *(Variable(name=name, value=value) for name, value in draft.variables),
            *(Variable(name=name, secret=secret) for name, secret in draft.secrets),
        ],
        configurations=[
            Configuration(kind=each.kind, name=each.name, parameters=each.parameters, version=each.version)
            for each in draft.configurations
        ],
    )


def _parameter(position: int, draft: ParameterDraft) -> Parameter:
    return Parameter(
        position=position, alias=draft.alias, label=draft.label, help=draft.help, flag=draft.flag, kind=draft.kind,
        default=draft.default, required=draft.required, minimum=draft.minimum, maximum=draft.maximum,
        choices=list(normal_endings(draft.choices) if draft.kind is Kind.FILE else draft.choices),
        spacing=draft.spacing, switchless=draft.switchless, pattern=draft.pattern,
    )  # fmt: skip


def _faults(session: Session, draft: TaskDraft, task: Task | None) -> Iterator[Fault]:
    """(field, sentence) for everything that is wrong with a draft, by itself or beside what is there."""
    yield from faults(draft)
    if reason := sharing.fault(session, draft.groups):
        yield "groups", reason
    if reason := twins.refusal(session, Task, draft.name, task):
        yield "name", reason
    if task:
        using = _jobs_using(session, task)
        yield from _namesakes([*using, *nesting.containing(session, using)], draft, task)
    backend = backends.named(session, draft.backend)
    if backend is None:
        yield "backend", f"There is no backend {draft.backend[:40]}: choose another." if draft.backend else NO_BACKEND
    elif draft.language in plugins("languages") and draft.language not in backend.languages:
        yield "backend", f"The backend {backend.name} does not run this language: choose another."
    if backend:
        yield from _beyond(draft.limits, backend)


def _beyond(asked: Limits, backend: Backend) -> Iterator[Fault]:
    for name, ceiling in limits.beyond(asked, Limits.of(backend.ceilings)):
        most, title = limits.words(name, ceiling), limits.TITLES[name].lower()
        yield name, f"The backend {backend.name} allows at most {most}. Lower the {title}, or leave it empty."


def _namesakes(using: Sequence[Job], draft: TaskDraft, task: Task) -> Iterator[Fault]:
    """What the draft's parameters would be called in a job as another task's are."""
    for job in using:
        others = [each.task for each in nesting.revisions(job) if each.task is not task]
        aliases = {other.name: aliases_of(other) for other in others}
        for index, each in enumerate(draft.parameters):
            if sentence := namesakes({draft.name: [each.alias], **aliases}):
                yield f"parameters-{index}-alias", f"In the job {job.name}, {sentence}"


def aliases_of(task: Task) -> list[str]:
    return [each.alias for each in task.current.parameters]
