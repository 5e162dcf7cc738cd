"""Backends, tasks and jobs from a file of our own format: what the bundled examples are written in.

What exists by name is left as it is, so that loading twice changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy.orm import Session

from portal.domain.drafts import ConfigurationDraft, ParameterDraft, TaskDraft
from portal.domain.errors import Invalid
from portal.domain.limits import NAMES, USUAL, Limits, measure
from portal.domain.parameters import Kind
from portal.domain.retries import Retries
from portal.domain.sizes import NUMBER, TIME, Measure
from portal.models import Account
from portal.services import backends, jobs, tasks

Document = dict[str, list[dict[str, Any]]]

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
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as wrong:
        raise Invalid(file=f"{name} cannot be read as YAML: {wrong}") from None
    if not isinstance(document, dict) or not set(document) <= set(_KNOWN):
        raise Invalid(file=f"{name} must hold {', '.join(_KNOWN)}, each a list, and nothing else.")
    for kind, entries in document.items():
        if not isinstance(entries, list) or not all(_is_entry(each) for each in entries):
            raise Invalid(file=f"{name}: {kind} must be a list of entries, each with a name.")
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
    entry = {**entry, "languages": tuple(entry["languages"])}
    ceilings = _limits("ceilings", entry.pop("ceilings", None))
    usual = {**_usual_below(ceilings), **_stated_limits(entry)}
    backends.save(session, backends.BackendDraft(**entry, limits=Limits(**usual), ceilings=Limits(**ceilings)))


def _usual_below(ceilings: Mapping[str, int | None]) -> dict[str, int | None]:
    """What a backend gives where its entry says nothing: what is usual, or its ceiling where that is lower."""
    return {name: min(value, ceilings.get(name) or value) for name, value in USUAL.stated().items()}


def _load_task(session: Session, entry: dict[str, Any], folder: Path | None, author: Account | None) -> None:
    entry = dict(entry)
    if code_file := entry.pop("code_file", None):
        entry["code"] = _code(folder, code_file)
    entry["parameters"] = tuple(_parameter(each) for each in entry.get("parameters", []))
    entry["variables"] = tuple((entry.get("variables") or {}).items())
    entry["configurations"] = tuple(ConfigurationDraft(**each) for each in entry.get("configurations", []))
    for name in ("inputs", "outputs", "exit_statuses"):
        entry[name] = tuple(entry.get(name, []))
    entry["limits"] = Limits(**_stated_limits(entry))
    entry["retries"] = _retries(entry.pop("retries", None))
    tasks.save(session, TaskDraft(**entry), author)


def _code(folder: Path | None, code_file: str) -> str:
    if folder is None:
        raise ValueError("an uploaded file has no code_file beside it: write the code into it.")
    return (folder / code_file).read_text("utf-8")


def _stated_limits(entry: dict[str, Any]) -> dict[str, int | None]:
    """Taken out of an entry: `limits`, or a time limit by itself, as earlier files have it."""
    stated = _limits("limits", entry.pop("limits", None))
    if "wall_seconds" not in entry:
        return stated
    if "wall_seconds" in stated:
        raise ValueError("wall_seconds is given twice: leave it in limits only.")
    return {**stated, **_limits("limits", {"wall_seconds": entry.pop("wall_seconds")})}


def _limits(what: str, given: Any) -> dict[str, int | None]:
    """{wall_seconds: 60, memory_bytes: "500 MB"}; null stands for no limit."""
    mapping = _mapping(what, given, NAMES)
    return {name: _amount(name, value, measure(name)) for name, value in mapping.items()}


def _retries(given: Any) -> Retries:
    """{most: 2, on_crash: true, exit_statuses: [75], wait_seconds: 5}."""
    said = _mapping("retries", given, asdict(Retries()))
    for name in ("most", "wait_seconds"):
        if name in said:
            said[name] = _amount(name, said[name], TIME if name == "wait_seconds" else NUMBER) or 0
    for name in ("on_crash", "on_time"):
        if not isinstance(said.get(name, False), bool):
            raise ValueError(f"{name} is true or false, not {said[name]!r}.")
    said["exit_statuses"] = tuple(_whole("exit_statuses", each) for each in _listed(said))
    return Retries(**said)


def _listed(said: Mapping[str, Any]) -> list[Any]:
    statuses = said.get("exit_statuses", [])
    if not isinstance(statuses, list):
        raise ValueError("exit_statuses is a list, such as [75].")
    return statuses


def _texts(what: str, given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise ValueError(f"{what} is a list of texts, such as [csv].")
    return tuple(given)


def _mapping(what: str, given: Any, names: Collection[str]) -> dict[str, Any]:
    """A mapping of these names only."""
    if given is not None and not isinstance(given, dict):
        raise ValueError(f"{what} holds names and values, such as {{{next(iter(names))}: 60}}.")
    if unknown := [str(each) for each in given or {} if each not in names]:
        raise ValueError(f"{what} knows no {', '.join(unknown)}; it knows {', '.join(names)}.")
    return dict(given or {})


def _amount(name: str, value: Any, measure: Measure) -> int | None:
    if not isinstance(value, str):
        return None if value is None else _whole(name, value)
    try:
        return measure.read(value)
    except ValueError as wrong:
        raise ValueError(f"{name}: {wrong}") from None


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name}: {value!r} is not a whole number.")
    return value


def _parameter(entry: dict[str, Any]) -> ParameterDraft:
    entry = dict(entry)
    texts = {name: _text(name, entry.pop(name)) for name in ("default", "pattern") if entry.get(name) is not None}
    return ParameterDraft(
        alias=entry.pop("name"),
        kind=_kind(entry.pop("type", "text")),
        choices=tuple(_text("choices", each) for each in entry.pop("choices", None) or ()),
        **{**entry, **texts},
    )


def _kind(name: Any) -> Kind:
    if name not in list(Kind):
        raise ValueError(f"{name!r} is no type of a parameter, which is one of {', '.join(Kind)}.")
    return Kind(name)


def _text(name: str, value: Any) -> str:
    """A text as it was written; YAML takes one without quotes for a number, a truth or a date."""
    if not isinstance(value, str):
        raise ValueError(f"{name}: put {value!s} between quotes.")
    return value


def _load_job(session: Session, entry: dict[str, Any], author: Account | None) -> None:
    entry = dict(entry)
    entry["steps"] = tuple(_step(each, place) for place, each in enumerate(entry["steps"], 1))
    entry["validators"] = _texts("validators", entry.get("validators", []))
    entry["keep_days"] = _amount("keep_days", entry.get("keep_days"), NUMBER)
    jobs.save(session, jobs.JobDraft(**entry), author)


def _step(entry: dict[str, Any], place: int) -> jobs.StepDraft:
    """{task: fit, order: 2}, or {job: cleaning, name: first, needs: [fit], when: {parameter: fit_alpha, is: [1]}}.

    Without order numbers steps have their turns as they are listed.
    """
    said = _mapping("a step", entry, ("name", "task", "job", "order", "needs", "when"))
    needs = said.pop("needs", None)
    if needs is not None and not (isinstance(needs, list) and all(isinstance(each, str) for each in needs)):
        raise ValueError("needs is a list of steps' names, such as [clean].")
    order = _whole("order", said.pop("order", place))
    when = said.pop("when", None)
    if wrong := [name for name, text in said.items() if not isinstance(text, str)]:
        raise ValueError(f"{wrong[0]} is a name: put it in quotes.")
    return jobs.StepDraft(order, needs=tuple(needs) if needs else None, condition=when, **said)
