"""Every backend, task and job as YAML of our own format: what is as usual is left out, and all of it loads again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, fields
from enum import Enum
from typing import Any

import yaml
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.domain.drafts import ParameterDraft, TaskDraft
from portal.domain.limits import Limits
from portal.models import Backend, Job, Task
from portal.services import jobs, tasks
from portal.services.backends import BackendDraft

OWN_WORDS = {"alias": "name", "kind": "type"}


class _Writer(yaml.SafeDumper):
    """Code of several lines stays readable."""


def _text(writer: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Writer.add_representer(str, _text)


def text(session: Session) -> str:
    """The file's text."""
    document = {
        "backends": [_backend(each) for each in session.scalars(select(Backend).order_by(Backend.id))],
        "tasks": [_task(tasks.draft_of(each.current)) for each in session.scalars(select(Task).order_by(Task.id))],
        "jobs": [_job(jobs.draft_of(each)) for each in session.scalars(select(Job).order_by(Job.id))],
    }
    return str(yaml.dump(document, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=120))


def _backend(backend: Backend) -> dict[str, Any]:
    limits, ceilings = asdict(Limits.of(backend.limits)), Limits.of(backend.ceilings).stated()
    draft = BackendDraft(
        backend.name, backend.runner, backend.queue, tuple(backend.languages), backend.root_directory,
        options=backend.options, enabled=backend.enabled, network=backend.network, minimum_level=backend.minimum_level,
    )  # fmt: skip
    return _said(draft) | {"limits": limits} | ({"ceilings": ceilings} if ceilings else {})


def _task(draft: TaskDraft) -> dict[str, Any]:
    said = _said(draft)
    parameters = [_parameter(each) for each in draft.parameters]
    own = {
        "limits": draft.limits.stated(),
        "retries": _plain(asdict(draft.retries)) if draft.retries.most else {},
        "parameters": parameters,
        "variables": dict(draft.variables),
        "secrets": dict(draft.secrets),
    }
    return {name: value for name, value in (said | own).items() if value != [] and value != {}}


def _parameter(draft: ParameterDraft) -> dict[str, Any]:
    return {OWN_WORDS.get(name, name): value for name, value in _said(draft).items()}


def _job(draft: jobs.JobDraft) -> dict[str, Any]:
    return _said(draft) | {"steps": [_said(each) for each in draft.steps]}


def _said(draft: Any) -> dict[str, Any]:
    """The fields of a draft that are not as usual."""
    found = {each.name: (getattr(draft, each.name), _usual(each)) for each in fields(draft)}
    return {name: _plain(value) for name, (value, usual) in found.items() if value != usual}


def _usual(field: Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _plain(value: Any) -> Any:
    """A value as YAML has it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value
