"""Backends, tasks and jobs from a file of our own format: what the bundled examples are written in.

What exists by name is left as it is, so that loading twice changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from portal.domain.drafts import ConfigurationDraft, ParameterDraft, TaskDraft
from portal.domain.errors import Invalid
from portal.domain.limits import NAMES, USUAL, Limits, measure
from portal.domain.parameters import Kind
from portal.domain.plugins import plugins
from portal.domain.retries import Retries
from portal.domain.sizes import NUMBER, TIME
from portal.domain.texts import storable
from portal.domain.verdict import Then
from portal.models import Account
from portal.services import backends, jobs, safe_yaml, tasks
from portal.services.entries import (
    SHOWN,
    Reader,
    amount,
    days,
    list_of,
    mapping,
    number,
    one_of,
    read,
    shown,
    text,
    texts_by_name,
    truth,
    whole,
)

Document = dict[str, list[dict[str, Any]]]

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LONGEST_CODE_FILE = 1_000_000
MOST_ENTRIES = 2_000
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
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        raise Invalid(file=f"{file.name} cannot be read as YAML: {wrong}") from None
    return load_document(session, document_of(text, file.name), file.parent, author)


def load_document(session: Session, document: Document, folder: Path | None, author: Account | None) -> Loaded:
    """The same for what was read already. Where there is no folder, no `code_file` can be named."""
    return Loaded(
        backends=tuple(_load_each(session, document, "backends", _load_backend)),
        tasks=tuple(_load_each(session, document, "tasks", lambda at, entry: _load_task(at, entry, folder, author))),
        jobs=tuple(_load_each(session, document, "jobs", lambda at, entry: _load_job(at, entry, author))),
    )


def document_of(text: str, name: str) -> Document:
    """The lists by kind of a file called so. Raises Invalid for anything of another shape."""
    try:
        document = safe_yaml.read(text)
    except safe_yaml.UNREADABLE as wrong:
        raise Invalid(file=f"{name} cannot be read as YAML: {safe_yaml.reason(wrong)}") from None
    if not isinstance(document, dict) or not set(document) <= set(_KNOWN):
        raise Invalid(file=f"{name} must hold {', '.join(_KNOWN)}, each a list, and nothing else.")
    for kind, entries in document.items():
        if not isinstance(entries, list) or not all(_is_entry(each) for each in entries):
            raise Invalid(file=f"{name}: {kind} must be a list of entries, each with a name.")
        if len(entries) > MOST_ENTRIES:
            raise Invalid(file=f"{name} has more than {MOST_ENTRIES} {kind}: make several files of it.")
    return document


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("name"), str)


def _load_each(session: Session, document: Document, kind: str, make: Any) -> list[str]:
    made = []
    for entry in document.get(kind, []):
        if _KNOWN[kind](session, entry["name"]) is not None:
            continue
        try:
            make(session, entry)
        except (Invalid, ValueError) as wrong:
            raise Invalid(file=f"{kind}, {entry['name']}: {_plain(wrong)}") from None
        made.append(entry["name"])
    return made


def _plain(wrong: Exception) -> str:
    """What is wrong with an entry, in its author's words: the field, unless the sentence begins with it."""
    if not isinstance(wrong, Invalid):
        return str(wrong)
    return " ".join(f"{sentence} ({_place(name)})" for name, sentence in wrong.fields.items())


def _place(name: str) -> str:
    """A field of a form as this format has it: steps-0-task is the task of the step 1."""
    return re.sub(r"-(\d+)-", lambda found: f" {int(found[1]) + 1}, ", name).replace("alias", "name")


_KNOWN: dict[str, Any] = {"backends": backends.named, "tasks": tasks.named, "jobs": jobs.named}


def _languages(name: str, value: Any) -> Any:
    return one_of(plugins("languages"))(name, value)


def _runner(name: str, value: Any) -> Any:
    return one_of(plugins("runners"))(name, value)


def _limits(what: str, given: Any) -> dict[str, int | None]:
    """{wall_seconds: 60, memory_bytes: "500 MB"}; null stands for no limit."""
    return {name: amount(name, value, measure(name)) for name, value in mapping(what, given, NAMES).items()}


def _wait(name: str, value: Any) -> int:
    return amount(name, value, TIME) or 0


def _most(name: str, value: Any) -> int:
    return amount(name, value, NUMBER) or 0


def _retries(name: str, given: Any) -> Retries:
    """{most: 2, on_crash: true, exit_statuses: [75], wait_seconds: 5}."""
    return Retries(**read(name, given, RETRIES))


def _parameter(name: str, entry: Any) -> ParameterDraft:
    label = entry.get("name") if isinstance(entry, dict) else None
    try:
        said = read("a parameter", entry, PARAMETER, ("name",))
    except ValueError as wrong:
        raise ValueError(f"parameter {label}: {wrong}" if isinstance(label, str) else f"{name}: {wrong}") from None
    return ParameterDraft(alias=said.pop("name"), kind=said.pop("type", Kind.TEXT), **said)


def _configuration(name: str, entry: Any) -> ConfigurationDraft:
    try:
        return ConfigurationDraft(**read("a configuration", entry, CONFIGURATION, ("kind", "name")))
    except ValueError as wrong:
        raise ValueError(f"{name}: {wrong}") from None


def _validator(name: str, given: Any) -> str:
    """`csv species:text`; for the file of a parameter `fit_table: csv species:text`, which YAML reads as a pair."""
    if not isinstance(given, dict):
        return text(name, given)
    if len(given) != 1:
        raise ValueError(f"{name} is a text, or a file and a text such as fit_table: csv, not {shown(given)}.")
    [(file, said)] = given.items()
    field = text(name, file)
    return f'"{field}": {text(f"{name}, {field[:SHOWN]}", said)}'


def _as_it_is(name: str, value: Any) -> Any:
    """For what the service checks whole, with a sentence of its own."""
    return value


ENDINGS = list_of(text, " of endings, such as [.csv]")
STATUSES = list_of(whole, ", such as [75]")
RETRIES: dict[str, Reader] = {
    "most": _most,
    "on_crash": truth,
    "on_time": truth,
    "exit_statuses": STATUSES,
    "wait_seconds": _wait,
}
PARAMETER: dict[str, Reader] = {
    "name": text,
    "type": one_of(tuple(Kind)),
    "label": text,
    "help": text,
    "flag": text,
    "default": text,
    "required": truth,
    "minimum": number,
    "maximum": number,
    "choices": list_of(text, " of texts, such as [low, high]"),
    "pattern": text,
    "spacing": truth,
    "switchless": truth,
}
CONFIGURATION: dict[str, Reader] = {"kind": text, "name": text, "version": text, "parameters": text}
BACKEND: dict[str, Reader] = {
    "name": text,
    "runner": _runner,
    "queue": text,
    "languages": list_of(_languages, " of languages, such as [command, python]"),
    "root_directory": text,
    "limits": _limits,
    "wall_seconds": lambda name, value: amount(name, value, TIME),
    "ceilings": _limits,
    "options": texts_by_name,
    "enabled": truth,
    "network": truth,
    "minimum_level": lambda name, value: None if value is None else whole(name, value),
}
TASK: dict[str, Reader] = {
    "name": text,
    "description": text,
    "language": _languages,
    "backend": text,
    "code": text,
    "code_file": text,
    "inputs": ENDINGS,
    "outputs": ENDINGS,
    "stdout": text,
    "exit_statuses": STATUSES,
    "on_exit_status": one_of(tuple(Then)),
    "on_missing_output": one_of(tuple(Then)),
    "limits": _limits,
    "wall_seconds": lambda name, value: amount(name, value, TIME),
    "retries": _retries,
    "parameters": list_of(_parameter, ", such as [{name: alpha, type: decimal}]"),
    "variables": texts_by_name,
    "secrets": texts_by_name,
    "configurations": list_of(_configuration, ", such as [{kind: Software, name: R}]"),
    "public": truth,
}
STEP: dict[str, Reader] = {
    "name": text,
    "task": text,
    "job": text,
    "order": whole,
    "needs": list_of(text, " of steps' names, such as [clean]"),
    "when": _as_it_is,
}
JOB: dict[str, Reader] = {
    "name": text,
    "description": text,
    "public": truth,
    "open_links": truth,
    "enabled": truth,
    "keep_days": days,
    "validators": list_of(_validator, " of texts, such as [csv]"),
    "steps": list_of(lambda _, entry: read("a step", entry, STEP), ", such as [{task: fit}]"),
}


def _load_backend(session: Session, entry: dict[str, Any]) -> None:
    said = read("a backend", entry, BACKEND, ("runner", "queue", "languages"))
    ceilings = said.pop("ceilings", {})
    usual = {**_usual_below(ceilings), **_stated_limits(said)}
    backends.save(session, backends.BackendDraft(**said, limits=Limits(**usual), ceilings=Limits(**ceilings)))


def _usual_below(ceilings: Mapping[str, int | None]) -> dict[str, int | None]:
    """What a backend gives where its entry says nothing: what is usual, or its ceiling where that is lower."""
    return {name: min(value, ceilings.get(name) or value) for name, value in USUAL.stated().items()}


def _load_task(session: Session, entry: dict[str, Any], folder: Path | None, author: Account | None) -> None:
    said = read("a task", entry, TASK, ("language", "backend"))
    if ("code" in said) == ("code_file" in said):
        raise ValueError("give either code or code_file.")
    if code_file := said.pop("code_file", None):
        said["code"] = _code(folder, code_file)
    said |= {kind: tuple(said.get(kind, {}).items()) for kind in ("variables", "secrets")}
    said["limits"] = Limits(**_stated_limits(said))
    tasks.save(session, TaskDraft(**said), author)


def _code(folder: Path | None, code_file: str) -> str:
    if folder is None:
        raise ValueError("an uploaded file has no code_file beside it: write the code into it.")
    if not storable(code_file):
        raise ValueError("code_file: a character in it, such as NUL, is in no file's name.")
    try:
        file = (folder / code_file).resolve()
        if not file.is_relative_to(folder.resolve()) or not file.is_file():
            raise ValueError(f"code_file: {code_file[:80]} is no file below the folder of the YAML file.")
        with file.open("rb") as stream:
            return stream.read(LONGEST_CODE_FILE).decode("utf-8")
    except OSError as wrong:
        raise ValueError(f"code_file: {code_file} cannot be read ({wrong.strerror}).") from None
    except UnicodeDecodeError:
        raise ValueError(f"code_file: {code_file} is not UTF-8 text.") from None


def _stated_limits(said: dict[str, Any]) -> dict[str, int | None]:
    """Taken out of an entry: `limits`, or a time limit by itself, as earlier files have it."""
    stated: dict[str, int | None] = said.pop("limits", {})
    if "wall_seconds" not in said:
        return stated
    if "wall_seconds" in stated:
        raise ValueError("wall_seconds is given twice: leave it in limits only.")
    return {**stated, "wall_seconds": said.pop("wall_seconds")}


def _load_job(session: Session, entry: dict[str, Any], author: Account | None) -> None:
    said = read("a job", entry, JOB, ("steps",))
    said["steps"] = tuple(_step(each, place) for place, each in enumerate(said["steps"], 1))
    jobs.save(session, jobs.JobDraft(**said), author)


def _step(said: dict[str, Any], place: int) -> jobs.StepDraft:
    """{task: fit, order: 2}, or {job: cleaning, name: first, needs: [fit], when: {parameter: fit_alpha, is: [1]}}.

    Without order numbers steps have their turns as they are listed.
    """
    if not said.get("task") and not said.get("job"):
        raise ValueError(f"step {place}: give it a task or a job.")
    order, needs, when = said.pop("order", place), said.pop("needs", None), said.pop("when", None)
    return jobs.StepDraft(order, needs=needs or None, condition=when, **said)
