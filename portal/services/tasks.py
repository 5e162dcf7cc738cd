"""Tasks: saving adds a revision, after everything in it has been checked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.domain import command
from portal.domain.errors import Conflict, Invalid, NotFound
from portal.domain.names import ENDING, check_name, normal_ending
from portal.domain.parameters import Argument, Kind, Rule, check_default
from portal.domain.plugins import plugins
from portal.domain.verdict import Then
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
from portal.services import backends

ALIAS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ .-]{0,79}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,119}")
OWN_VARIABLES = re.compile(
    r"PATH|HOME|TMPDIR|IFS|ENV|BASH_ENV|SHELLOPTS|PYTHON(STARTUP|PATH|HOME|INSPECT)|R_(PROFILE|ENVIRON|HOME)\w*|LD_\w+"
)
LONGEST_CODE = 1_000_000
NEEDS_A_VALUE = (Kind.INTEGER, Kind.DECIMAL, Kind.CHOICE)


@dataclass(frozen=True)
class ParameterDraft:
    """What a parameter is to be."""

    alias: str
    label: str = ""
    help: str = ""
    flag: str = ""
    kind: Kind = Kind.TEXT
    default: str | None = None
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    spacing: bool = True
    switchless: bool = False

    @property
    def rule(self) -> Rule:
        return Rule(self.kind, self.required, self.default, self.minimum, self.maximum, self.choices)


@dataclass(frozen=True)
class ConfigurationDraft:
    """Software or a data set that a task rests on."""

    kind: str
    name: str
    parameters: str = ""
    version: str = ""


@dataclass(frozen=True)
class TaskDraft:
    """What a task is to be."""

    name: str
    language: str
    backend: str
    code: str
    description: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    stdout: str = ""
    exit_statuses: tuple[int, ...] = ()
    on_exit_status: Then = Then.CONTINUE
    on_missing_output: Then = Then.FAIL
    wall_seconds: int | None = None
    parameters: tuple[ParameterDraft, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    configurations: tuple[ConfigurationDraft, ...] = field(default=())


def every(session: Session) -> Sequence[Task]:
    return session.scalars(select(Task).order_by(Task.name)).all()


def get(session: Session, name: str) -> Task:
    task = named(session, name)
    if task is None:
        raise NotFound(f"There is no task {name}.")
    return task


def named(session: Session, name: str) -> Task | None:
    return session.scalar(select(Task).where(Task.name == name))


def save(session: Session, draft: TaskDraft, author: Account | None, task: Task | None = None) -> TaskRevision:
    """Add a revision to a task, or make one. Raises Invalid naming every field that is wrong."""
    wrong = dict(_faults(session, draft, task))
    if wrong:
        raise Invalid(**wrong)
    task = task or Task(owner=author)
    task.name = draft.name
    session.add(task)
    revision = _revision(draft, backends.named(session, draft.backend), author)
    revision.number = task.revisions[-1].number + 1 if task.revisions else 1
    task.revisions.append(revision)
    session.flush()
    return revision


def delete(session: Session, task: Task) -> None:
    """Raises Conflict while a job's current revision has a step of it."""
    if using := _jobs_using(session, task):
        raise Conflict(f"The task {task.name} is a step of {', '.join(using)}: take it out there first.")
    session.delete(task)


def _jobs_using(session: Session, task: Task) -> list[str]:
    steps = select(JobRevision.job_id).join(JobRevision.steps).where(Step.task_id == task.id)
    candidates = session.scalars(select(Job).where(Job.id.in_(steps)).order_by(Job.name))
    return [job.name for job in candidates if task in [step.task for step in job.current.steps]]


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
        wall_seconds=revision.wall_seconds,
        parameters=tuple(_parameter_draft(each) for each in revision.parameters),
        variables=tuple((each.name, each.value) for each in revision.variables),
        configurations=tuple(
            ConfigurationDraft(each.kind, each.name, each.parameters, each.version) for each in revision.configurations
        ),
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
        inputs=_endings(draft.inputs),
        outputs=_endings(draft.outputs),
        arguments=tuple(_example(each) for each in draft.parameters),
    )
    return command.shown(draft.code, bindings(work, "/run"))


def _parameter_draft(parameter: Parameter) -> ParameterDraft:
    return ParameterDraft(
        parameter.alias, parameter.label, parameter.help, parameter.flag, parameter.kind, parameter.default,
        parameter.required, parameter.minimum, parameter.maximum, tuple(parameter.choices), parameter.spacing,
        parameter.switchless,
    )  # fmt: skip


def _example(draft: ParameterDraft) -> Argument:
    text = draft.default if draft.default is not None else f"<{draft.alias}>"
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
        inputs=list(_endings(draft.inputs)),
        outputs=list(_endings(draft.outputs)),
        stdout=normal_ending(draft.stdout) if draft.stdout else "",
        exit_statuses=list(draft.exit_statuses),
        on_exit_status=draft.on_exit_status,
        on_missing_output=draft.on_missing_output,
        wall_seconds=draft.wall_seconds,
        parameters=[_parameter(position, each) for position, each in enumerate(draft.parameters, 1)],
        variables=[Variable(name=name, value=value) for name, value in draft.variables],
        configurations=[
            Configuration(kind=each.kind, name=each.name, parameters=each.parameters, version=each.version)
            for each in draft.configurations
        ],
    )


def _parameter(position: int, draft: ParameterDraft) -> Parameter:
    return Parameter(
        position=position, alias=draft.alias, label=draft.label, help=draft.help, flag=draft.flag, kind=draft.kind,
        default=draft.default, required=draft.required, minimum=draft.minimum, maximum=draft.maximum,
        choices=list(draft.choices), spacing=draft.spacing, switchless=draft.switchless,
    )  # fmt: skip


def _endings(endings: Sequence[str]) -> tuple[str, ...]:
    return tuple(normal_ending(each) for each in endings)


Fault = tuple[str, str]


def _faults(session: Session, draft: TaskDraft, task: Task | None) -> Iterator[Fault]:
    """(field, sentence) for everything that is wrong with a draft."""
    if reason := check_name(draft.name):
        yield "name", reason
    elif (other := named(session, draft.name)) and other is not task:
        yield "name", "A task of this name exists: choose another."
    yield from _placement_faults(session, draft)
    yield from _code_faults(draft)
    yield from _ending_faults(draft)
    yield from _parameter_faults(draft.parameters)
    yield from _variable_faults(draft.variables)
    if draft.wall_seconds is not None and not 1 <= draft.wall_seconds <= 10_000_000:
        yield "wall_seconds", "Give a time limit of at least 1 second, or none."


def _placement_faults(session: Session, draft: TaskDraft) -> Iterator[Fault]:
    if draft.language not in plugins("languages"):
        yield "language", "Choose one of the installed languages."
        return
    backend = backends.named(session, draft.backend)
    if backend is None:
        yield "backend", "Choose a backend."
    elif draft.language not in backend.languages:
        yield "backend", f"The backend {backend.name} does not run this language: choose another."


def _code_faults(draft: TaskDraft) -> Iterator[Fault]:
    if not draft.code.strip():
        yield "code", "Write the code, or the command."
    elif len(draft.code) > LONGEST_CODE or "\0" in draft.code:
        yield "code", f"The code must be text of at most {LONGEST_CODE} characters."
    elif draft.language == "command":
        try:
            command.check(draft.code, set(_known_places(draft)))
        except Invalid as wrong:
            yield "code", wrong.fields["code"]


def _known_places(draft: TaskDraft) -> Iterator[str]:
    valued = [each for each in draft.parameters if "VALUE" in each.flag]
    yield from ("ID", "TMP")
    yield from (f"I{number}" for number in range(1, len(draft.inputs) + 1))
    yield from (f"O{number}" for number in range(1, len(draft.outputs) + 1))
    yield from (f"P{number}" for number in range(1, len(draft.parameters) - len(valued) + 1))
    if any(each.kind is not Kind.BOOLEAN for each in valued):
        yield "VALUE"


def _ending_faults(draft: TaskDraft) -> Iterator[Fault]:
    for name, endings in (("inputs", draft.inputs), ("outputs", draft.outputs), ("stdout", (draft.stdout or ".x",))):
        bad = next((each for each in endings if not ENDING.fullmatch(each)), None)
        if bad is not None:
            yield name, f"“{bad[:40]}” is not an ending such as .csv or a file name such as graph.out."
        elif len(set(_endings(endings))) < len(endings):
            yield name, "Each ending is named once."


def _parameter_faults(parameters: Sequence[ParameterDraft]) -> Iterator[Fault]:
    aliases = [each.alias for each in parameters]
    for index, each in enumerate(parameters):
        if not ALIAS.fullmatch(each.alias):
            yield f"parameters-{index}-alias", "Name the parameter with letters, digits, _ - . or blanks."
        elif aliases.index(each.alias) != index:
            yield f"parameters-{index}-alias", "Another parameter has this name: choose a different one."
        if each.kind is Kind.CHOICE and not each.choices:
            yield f"parameters-{index}-choices", "List the values to choose from."
        elif each.default is None and not each.required and each.kind in NEEDS_A_VALUE:
            yield f"parameters-{index}-default", "Give a default, or make the parameter required."
        elif reason := check_default(each.rule):
            yield f"parameters-{index}-default", f"The default is not a valid value: {reason.removeprefix('default: ')}"
        if each.minimum is not None and each.maximum is not None and each.minimum > each.maximum:
            yield f"parameters-{index}-minimum", "The smallest value is larger than the largest."


def _variable_faults(variables: Sequence[tuple[str, str]]) -> Iterator[Fault]:
    names = [name for name, _ in variables]
    for index, (name, value) in enumerate(variables):
        if not VARIABLE.fullmatch(name):
            yield f"variables-{index}-name", "Use letters, digits and _ for the variable's name."
        elif OWN_VARIABLES.fullmatch(name):
            yield f"variables-{index}-name", f"{name} is set by the portal and cannot be changed."
        elif names.index(name) != index:
            yield f"variables-{index}-name", "Each variable is named once."
        if "\0" in value:
            yield f"variables-{index}-value", "The value cannot hold a NUL character."
