"""Backends, tasks and jobs from a file of our own format: what the bundled examples are written in.

What exists by name is left as it is, so that loading twice changes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy.orm import Session

from portal.domain.drafts import ParameterDraft, TaskDraft
from portal.domain.errors import Invalid
from portal.domain.parameters import Kind
from portal.models import Account
from portal.services import backends, jobs, tasks

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
EXAMPLE_JOB = "penguins"
EXAMPLE_DATA = EXAMPLES / "penguins.csv"


@dataclass(frozen=True)
class Loaded:
    """The names of what was made."""

    backends: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()


def load_examples(session: Session, author: Account | None) -> Loaded:
    return load(session, EXAMPLES / "examples.yaml", author)


def load(session: Session, file: Path, author: Account | None) -> Loaded:
    """Make what the file describes and is not there yet. Raises Invalid naming the entry that is wrong."""
    document = _read(file)
    return Loaded(
        backends=tuple(_load_each(session, document, "backends", _load_backend)),
        tasks=tuple(
            _load_each(session, document, "tasks", lambda at, entry: _load_task(at, entry, file.parent, author))
        ),
        jobs=tuple(_load_each(session, document, "jobs", lambda at, entry: _load_job(at, entry, author))),
    )


def _read(file: Path) -> dict[str, Any]:
    """The file's lists by kind. Raises Invalid for anything of another shape."""
    try:
        document = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as wrong:
        raise Invalid(file=f"{file.name} cannot be read as YAML: {wrong}") from None
    if not isinstance(document, dict) or not set(document) <= set(_KNOWN):
        raise Invalid(file=f"{file.name} must hold {', '.join(_KNOWN)}, each a list, and nothing else.")
    for kind, entries in document.items():
        if not isinstance(entries, list) or not all(isinstance(each, dict) and "name" in each for each in entries):
            raise Invalid(file=f"{file.name}: {kind} must be a list of entries, each with a name.")
    return document


def _load_each(session: Session, document: dict[str, Any], kind: str, make: Any) -> list[str]:
    made = []
    for entry in document.get(kind, []):
        if _KNOWN[kind](session, entry["name"]) is not None:
            continue
        try:
            make(session, entry)
        except (Invalid, TypeError, KeyError, ValueError, OSError) as wrong:
            raise Invalid(file=f"{kind}, {entry['name']}: {_plain(wrong)}") from None
        made.append(entry["name"])
    return made


def _plain(wrong: Exception) -> str:
    """What is wrong with an entry, in its author's words."""
    if isinstance(wrong, KeyError):
        return f"{wrong.args[0]} is missing."
    return re.sub(r"^\w+\.__init__\(\) got an unexpected keyword argument", "there is no field", str(wrong))


_KNOWN: dict[str, Any] = {"backends": backends.named, "tasks": tasks.named, "jobs": jobs.named}


def _load_backend(session: Session, entry: dict[str, Any]) -> None:
    backends.save(session, backends.BackendDraft(**{**entry, "languages": tuple(entry["languages"])}))


def _load_task(session: Session, entry: dict[str, Any], folder: Path, author: Account | None) -> None:
    entry = dict(entry)
    if code_file := entry.pop("code_file", None):
        entry["code"] = (folder / code_file).read_text("utf-8")
    entry["parameters"] = tuple(_parameter(each) for each in entry.get("parameters", []))
    entry["variables"] = tuple((entry.get("variables") or {}).items())
    for name in ("inputs", "outputs"):
        entry[name] = tuple(entry.get(name, []))
    tasks.save(session, TaskDraft(**entry), author)


def _parameter(entry: dict[str, Any]) -> ParameterDraft:
    entry = dict(entry)
    return ParameterDraft(
        alias=entry.pop("name"),
        kind=Kind(entry.pop("type", "text")),
        choices=tuple(entry.pop("choices", [])),
        **entry,
    )


def _load_job(session: Session, entry: dict[str, Any], author: Account | None) -> None:
    entry = dict(entry)
    entry["steps"] = tuple(jobs.StepDraft(**each) for each in entry["steps"])
    entry["validators"] = tuple(entry.get("validators", []))
    jobs.save(session, jobs.JobDraft(**entry), author)
