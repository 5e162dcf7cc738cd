"""A dump that the first system's `loaddata` takes, of its models as they are since 2019; and what it cannot say.

What two drafts say in this language is also what tells whether an import finds its task or job there already.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import validators
from portal.domain.drafts import ParameterDraft, TaskDraft
from portal.domain.names import public_name
from portal.domain.parameters import Kind
from portal.models import Backend, Job, JobRevision, Step, Task
from portal.services import tasks
from portal.services.dumps.rows import APP
from portal.services.dumps.vocabulary import (
    BEHAVIOURS,
    CONFIGURATION_TYPES,
    THEN,
    USUAL_ROOT,
    USUAL_STDOUT,
    VALIDATORS,
)
from portal.services.jobs import JobDraft, StepDraft

Fields = dict[str, Any]

NUMBER_OF = {then: number for number, then in THEN.items()}
TYPE_OF = {name: number for number, name in CONFIGURATION_TYPES.items()}
THEIRS = {ours: theirs for theirs, ours in VALIDATORS.items()}
BEHAVIOUR_OF = {(each.runner, each.language): each.number for each in BEHAVIOURS.values()}
OUR_NAMES = re.compile(r"\b(?:inputs|outputs|params)\b")
LONGEST = {"name": 64, "description": 256, "executable": 8192, "flag": 64, "default": 64, "rest_alias": 64}


@dataclass
class Dump:
    """The rows in the order of their models, and sentences on what they do not say."""

    rows: list[Fields] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    numbers: Counter[str] = field(default_factory=Counter)

    def add(self, model: str, fields: Fields, pk: int | None = None) -> int:
        """A row, under the next number of its model unless one is given; gives that number."""
        self.numbers[model] += 1
        number = pk or self.numbers[model]
        self.rows.append({"model": f"{APP}{model}", "pk": number, "fields": fields})
        self.notes += [f"{model} {fields.get('name', number)}: {each}" for each in _too_long(fields)]
        return number

    def text(self) -> str:
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        return str(yaml.dump(self.rows, Dumper=dumper, sort_keys=False, allow_unicode=True, width=100_000))


def _too_long(fields: Fields) -> Iterator[str]:
    for name, most in LONGEST.items():
        if len(str(fields.get(name) or "")) > most:
            yield f"{name} has more than {most} characters, which the first system may refuse."


def dump(session: Session) -> Dump:
    """Every backend, task and job as the first system would keep it."""
    found = Dump()
    homes = dict(_backends(session, found))
    for task in session.scalars(select(Task).order_by(Task.id)):
        _task(found, task, homes)
    types = dict(_validator_types(session, found))
    for job in session.scalars(select(Job).order_by(Job.id)):
        _job(found, job, homes, types)
    return found


def task_fields(draft: TaskDraft) -> Fields:
    statuses = ",".join(map(str, draft.exit_statuses))
    return {
        "name": draft.name,
        "description": draft.description,
        "in_glob": ",".join(draft.inputs),
        "out_glob": ",".join(draft.outputs) or draft.stdout,
        "stdout_glob": draft.stdout or USUAL_STDOUT,
        "executable": draft.code.strip() if draft.language == "command" else draft.code,
        "incomplete_outputs_behaviour": NUMBER_OF[draft.on_missing_output],
        "custom_exit_status": statuses or None,
        "custom_exit_behaviour": NUMBER_OF[draft.on_exit_status] if statuses else None,
    }


def parameter_fields(task: str, draft: ParameterDraft) -> Fields:
    return {
        "flag": draft.flag,
        "default": draft.default,
        "bool_valued": draft.kind is Kind.BOOLEAN,
        "rest_alias": public_name(task, draft.alias),
        "spacing": draft.spacing,
        "switchless": draft.switchless,
    }


def variable_fields(draft: TaskDraft) -> list[Fields]:
    return [{"env": name, "value": value} for name, value in draft.variables]


def configuration_fields(draft: TaskDraft) -> list[Fields]:
    return [
        {"type": TYPE_OF.get(each.kind, 2), "name": each.name, "parameters": each.parameters, "version": each.version}
        for each in draft.configurations
    ]


def same_task(one: TaskDraft, other: TaskDraft) -> bool:
    """Whether the first system could not tell them apart."""
    return _said(one) == _said(other)


def _said(draft: TaskDraft) -> tuple[Any, ...]:
    parameters = [parameter_fields(draft.name, each) for each in draft.parameters]
    return draft.language, task_fields(draft), parameters, variable_fields(draft), configuration_fields(draft)


def same_job(known: JobRevision, draft: JobDraft) -> bool:
    """Whether the first system could not tell them apart; whether a job is enabled is for this portal to say."""
    steps = [(step.order, step.task.name if step.task else "") for step in known.steps]
    planned = [(step.order, step.task) for step in draft.steps]
    same = (steps, list(known.validators)) == (planned, list(draft.validators))
    return same and _conditions_of(known.steps) == _conditions_of(draft.steps)


def _backends(session: Session, found: Dump) -> Iterator[tuple[tuple[int, str], int]]:
    """((our backend, language), number of theirs): theirs stands for one language."""
    planned = [each for one in session.scalars(select(Backend).order_by(Backend.id)) for each in _homes(one, found)]
    queues: dict[tuple[str, int], int] = {}
    for home in planned:
        if (home.queue, home.behaviour) not in queues:
            end = f"_{home.behaviour}" if home.queue in {name for name, _ in queues} else ""
            fields = {"name": home.queue + end, "execution_behaviour": home.behaviour}
            queues[home.queue, home.behaviour] = found.add("queuetype", fields)
    for home in planned:
        number = queues[home.queue, home.behaviour]
        fields = {"name": home.name, "queue_type": number, "root_path": home.root}
        yield (home.backend, home.language), found.add("backend", fields)


@dataclass(frozen=True)
class _Home:
    backend: int
    language: str
    name: str
    queue: str
    behaviour: int
    root: str


def _homes(backend: Backend, found: Dump) -> Iterator[_Home]:
    known = [each for each in backend.languages if (backend.runner, each) in BEHAVIOUR_OF]
    unknown = [each for each in backend.languages if each not in known]
    if unknown:
        found.notes.append(f"backend {backend.name}: {', '.join(unknown)} on {backend.runner} is unknown there.")
    for place, language in enumerate(known):
        end = f"_{language}" if place else ""
        behaviour = BEHAVIOUR_OF[backend.runner, language]
        root = backend.root_directory or USUAL_ROOT
        yield _Home(backend.id, language, backend.name + end, backend.queue + end, behaviour, root)


def _task(found: Dump, task: Task, homes: Mapping[tuple[int, str], int]) -> None:
    draft = tasks.draft_of(task.current)
    home = homes.get((task.current.backend_id, draft.language))
    if home is None:
        found.notes.append(f"task {task.name}: left out, as its language or its backend is unknown there.")
        return
    found.add("task", {"backend": home, **task_fields(draft)}, task.id)
    for each in draft.parameters:
        found.add("parameter", {"task": task.id, **parameter_fields(task.name, each)})
    for kind, rows in (("environment", variable_fields(draft)), ("configuration", configuration_fields(draft))):
        for fields in rows:
            found.add(kind, {"task": task.id, **fields})
    found.notes += [f"task {task.name}: {lost}" for lost in _lost(draft)]


def _lost(draft: TaskDraft) -> Iterator[str]:
    """What of a task means nothing there."""
    for name, secret in draft.secrets:
        yield f"the variable {name} is left out, as its value is the secret {secret}."
    if draft.language == "command" and (">" in draft.code or "\n" in draft.code.strip()):
        yield "the first system runs no command of several lines or with a >."
    if draft.language != "command" and (used := sorted(set(OUR_NAMES.findall(draft.code)))):
        yield f"the first system gives its code no {' and '.join(used)}, but I1, O1 and P1."
    for each in draft.parameters:
        if each.kind is Kind.FILE:
            yield f"its parameter {each.alias} is a file, which the first system takes for a text."


def _validator_types(session: Session, found: Dump) -> Iterator[tuple[str, int]]:
    names = {each.name for job in session.scalars(select(Job)) for each in _of_input(job.current)}
    for name in sorted(names):
        yield name, found.add("validatortypes", {"name": THEIRS.get(name, name)})
        if name not in THEIRS:
            found.notes.append(f"validator {name}: the first system needs a function {name} in its validators.py.")


def _of_input(revision: JobRevision) -> list[validators.Entry]:
    return [each for each in map(validators.entry, revision.validators) if not each.field]


def _job(found: Dump, job: Job, homes: Mapping[tuple[int, str], int], types: Mapping[str, int]) -> None:
    current = job.current
    whole = all(_can_be_said(step, homes) for step in current.steps)
    if not whole:
        found.notes.append(f"job {job.name}: not runnable there, as a step of it cannot be said.")
    elif not job.public:
        found.notes.append(f"job {job.name}: not runnable there, as it is not public and everybody could run it.")
    found.add("job", {"name": job.name, "runnable": job.enabled and job.public and whole}, job.id)
    for each in _of_input(current):
        found.add("validator", {"job": job.id, "validation_type": types[each.name]})
    if others := sorted({each.field for each in map(validators.entry, current.validators)} - {""}):
        found.notes.append(f"job {job.name}: it does not check {', '.join(others)} there, but the input only.")
    for step in current.steps:
        if step.task and _home_of(step.task) in homes:
            found.add("step", {"job": job.id, "task": step.task.id, "ordering": step.order})


def _home_of(task: Task) -> tuple[int, str]:
    return task.current.backend_id, task.current.language


def _can_be_said(step: Step, homes: Mapping[tuple[int, str], int]) -> bool:
    plain = step.condition is None and step.needs is None
    return plain and step.task is not None and _home_of(step.task) in homes


def _conditions_of(steps: Sequence[Step | StepDraft]) -> dict[int, list[int]]:
    """By a step's place, the exit statuses of the step before under which it runs."""
    return {
        place: list(step.condition["is"])
        for place, step in enumerate(steps)
        if step.condition and "exit_status_of" in step.condition
    }
