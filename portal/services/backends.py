"""Backends, and what the workers say that they can do for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any, cast

from sqlalchemy import Select, Table, select
from sqlalchemy import delete as delete_from
from sqlalchemy.orm import Session

from portal import queue
from portal.database import now
from portal.domain import limits
from portal.domain.errors import Conflict, Invalid, NotFound
from portal.domain.levels import LEVELS, LOWEST, STRICTEST
from portal.domain.limits import UNLIMITED, USUAL, Limits, beyond, faults, in_force
from portal.domain.names import check_name, normal_name, queue_forms
from portal.domain.plugins import plugins
from portal.domain.texts import check_text, storable
from portal.models import Account, Backend, TaskRevision, Worker
from portal.services import audit, twins
from portal.services.statements import rows
from portal.settings import settings

SILENT_AFTER = timedelta(minutes=2)
FORGOTTEN_AFTER = 86_400.0
LARGEST_ID = 2**31 - 1
NOT_FOR_FILES = {"proc", "sys", "dev"}

_worker = cast(Table, Worker.__table__)
HEARD: Select[Any] = select(_worker).where(_worker.c.seen > now(-SILENT_AFTER.total_seconds()))


@dataclass(frozen=True)
class BackendDraft:
    """What a backend is to be."""

    name: str
    runner: str
    queue: str
    languages: tuple[str, ...]
    root_directory: str = ""
    limits: Limits = USUAL
    ceilings: Limits = UNLIMITED
    options: Mapping[str, str] = field(default_factory=dict)
    enabled: bool = True
    network: bool = False
    minimum_level: int | None = None


@dataclass(frozen=True)
class Ability:
    """Whether a backend can run a language: `reason` says why not; `sure` is False until a worker has reported."""

    language: str
    label: str
    reason: str | None
    sure: bool


def every(session: Session) -> Sequence[Backend]:
    return session.scalars(select(Backend).order_by(Backend.name)).all()


def get(session: Session, backend_id: int) -> Backend:
    backend = session.get(Backend, backend_id) if backend_id <= LARGEST_ID else None
    if backend is None:
        raise NotFound("There is no such backend.")
    return backend


def named(session: Session, name: str) -> Backend | None:
    """The backend of this name, if it could be one and is."""
    return session.scalar(select(Backend).where(Backend.name == normal_name(name))) if storable(name) else None


def save(session: Session, draft: BackendDraft, backend: Backend | None = None) -> Backend:
    """Make or change a backend. Raises Invalid naming the fields."""
    draft = replace(draft, name=normal_name(draft.name))
    _check(session, draft, backend)
    backend = backend or Backend()
    backend.name, backend.runner, backend.queue = draft.name, draft.runner, draft.queue
    backend.languages, backend.options = list(draft.languages), dict(draft.options)
    backend.root_directory = draft.root_directory
    backend.limits, backend.ceilings = draft.limits.stated(), draft.ceilings.stated()
    backend.enabled, backend.network = draft.enabled, draft.network
    backend.minimum_level = draft.minimum_level
    session.add(backend)
    audit.record(session, "saved", "backend", backend.name, enabled=backend.enabled)
    session.flush()
    return backend


def bounds(backend: Backend, asked: Limits) -> Limits:
    """What bounds a run there now, of a task that asks for this."""
    return in_force(asked, Limits.of(backend.limits), Limits.of(backend.ceilings))


def least_level(backend: Backend) -> int:
    """How far its runs must be confined, whoever submits them."""
    return max(settings().portal_min_level, backend.minimum_level or 0)


def least_level_for(account: Account | None) -> int:
    """How far the runs of an account, or of somebody without one, must be confined."""
    return 0 if account else settings().portal_min_level_anonymous


def delete(session: Session, backend: Backend) -> None:
    """Raises Conflict while a task has a revision that names it."""
    if session.scalar(select(TaskRevision.id).where(TaskRevision.backend_id == backend.id).limit(1)):
        raise Conflict(f"Tasks use the backend {backend.name}: switch it off instead.")
    audit.record(session, "deleted", "backend", backend.name)
    session.delete(backend)


def report(session: Session, told: Worker) -> None:
    """A worker's word about itself, in place of its last one; those silent for long are forgotten."""
    session.execute(delete_from(Worker).where(Worker.seen < now(-FORGOTTEN_AFTER)))
    known = session.scalar(select(Worker).where(Worker.name == told.name)) or Worker(name=told.name)
    known.queues, known.obstacles, known.seen = told.queues, told.obstacles, now()
    known.level, known.probes = told.level, told.probes or {}
    session.add(known)


def heard(session: Session) -> list[Worker]:
    """What the workers that have reported lately said, in rows that are no session's."""
    return cast(list[Worker], rows(session, HEARD, {}))


def abilities(session: Session, backend: Backend, known: Sequence[Worker] | None = None) -> list[Ability]:
    """What the backend can run, by what the workers of its queue last said; `known` are all that were heard."""
    workers = _workers_of(backend, heard(session) if known is None else known)
    return [_ability(backend, language, workers) for language in backend.languages]


def obstacle(session: Session, backend: Backend, language: str, known: Sequence[Worker] | None = None) -> str | None:
    """Why a task in this language cannot run on this backend now, or None; `known` are all workers that were heard."""
    if not backend.enabled:
        return f"The backend {backend.name} is switched off."
    ability = _ability(backend, language, _workers_of(backend, heard(session) if known is None else known))
    if language not in backend.languages:
        return f"The backend {backend.name} does not run {ability.label} any more."
    reason = ability.reason
    return f"The backend {backend.name} cannot run it: {reason}" if reason else None


def against(backend: str, language: str, workers: Sequence[Worker]) -> str | None:
    """Why none of these workers can run the language on this backend, or None."""
    return _against(_said(backend, language, workers))


def below(least: int, workers: Sequence[Worker]) -> str | None:
    """Why none of these workers may take runs that must be confined so far, or None. Old ones told no level."""
    levels = [each.level for each in workers if each.level is not None]
    if not levels or max(levels) >= least:
        return None
    return (
        f"a worker that confines runs at level {least} is needed; those here reach level {max(levels)}. "
        "The page of backends tells what they lack."
    )


def _workers_of(backend: Backend, known: Sequence[Worker]) -> list[Worker]:
    mine = {*queue_forms(backend.queue), queue.EVERY}
    return [each for each in known if mine & set(each.queues)]


def _ability(backend: Backend, language: str, workers: Sequence[Worker]) -> Ability:
    known = plugins("languages").get(language)
    label = known.label if known else language
    if known is None:
        return Ability(language, label, f"the language {language} is not installed.", True)
    if backend.runner not in plugins("runners"):
        return Ability(language, label, f"the runner {backend.runner} is not installed.", True)
    reasons = _said(backend.name, language, workers)
    return Ability(language, label, _against(reasons), bool(reasons))


def _said(backend: str, language: str, workers: Sequence[Worker]) -> list[str | None]:
    """Why each of the workers cannot run the language there, None where it can; what it did not tell is left out."""
    told = [each.obstacles.get(backend, {}) for each in workers]
    return [each[language] for each in told if language in each]


def _against(reasons: Sequence[str | None]) -> str | None:
    return None if None in reasons else next(iter(reasons), None)


def _check(session: Session, draft: BackendDraft, backend: Backend | None) -> None:
    wrong = {
        "name": check_name(draft.name) or twins.refusal(session, Backend, draft.name, backend),
        "queue": None if _plain(draft.queue) else "Use letters, digits, _ and - for the queue's name.",
        "runner": None if draft.runner in _runners(backend) else "Choose one of the installed runners.",
        "languages": _unknown_languages(draft.languages),
        "root_directory": check_text("root directory", draft.root_directory) or _unusable(draft.root_directory),
        "options": _unkeepable(draft.options),
        "minimum_level": _no_level(draft.minimum_level),
        **dict(_limit_faults(draft.limits, draft.ceilings)),
    }
    if found := {field_name: reason for field_name, reason in wrong.items() if reason}:
        raise Invalid(**found)


def _runners(backend: Backend | None) -> set[str]:
    """Those installed; and its own, which a backend may keep: until it is installed, nothing can run there."""
    return {*plugins("runners"), *([backend.runner] if backend else [])}


def _limit_faults(usual: Limits, ceilings: Limits) -> Iterator[tuple[str, str]]:
    for name, ceiling in beyond(usual, ceilings):
        most = limits.words(name, ceiling)
        yield (
            name,
            f"{limits.TITLES[name]}: the default is above its ceiling of {most}. Lower it, or raise the ceiling.",
        )
    yield from faults(usual)
    yield from ((f"most_{name}", sentence) for name, sentence in faults(ceilings))


def _plain(name: str) -> bool:
    return 0 < len(name) <= 80 and name.replace("_", "").replace("-", "").isalnum() and name.isascii()


def _unknown_languages(languages: Sequence[str]) -> str | None:
    unknown = [each for each in languages if each not in plugins("languages")]
    if unknown:
        return f"Not installed: {', '.join(unknown)}."
    return None if languages else "Choose at least one language."


def _unusable(directory: str) -> str | None:
    path = PurePosixPath(directory)
    if not directory:
        return None
    if not path.is_absolute() or ".." in path.parts:
        return "Give the whole path of the directory, or leave it empty for the portal's own."
    if set(path.parts[1:2]) & NOT_FOR_FILES:
        return f"Nothing can be kept under /{path.parts[1]}: choose another directory, or leave it empty."
    return None


def _no_level(level: int | None) -> str | None:
    if level is None or level in LEVELS:
        return None
    return f"The least level of confinement is a number from {LOWEST} to {STRICTEST}, or nothing."


def _unkeepable(options: Mapping[str, str]) -> str | None:
    reasons = (check_text("option", f"{name}={value}") for name, value in options.items())
    return next((reason for reason in reasons if reason), None)
