"""How far the workers' machines confine runs, and what keeps them from doing more, by what their probes have told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from portal.domain.levels import LOWEST, STRICTEST
from portal.models import Worker
from portal.services import backends
from portal.settings import settings


@dataclass(frozen=True)
class Host:
    """A machine: its level, why its workers begin no run at all, if so, and what failed at the next level."""

    name: str
    level: int
    idle: str
    failed: tuple[str, ...]

    @property
    def unconfined(self) -> bool:
        return self.level == LOWEST

    @property
    def next(self) -> int | None:
        return self.level + 1 if self.level < STRICTEST else None


def hosts(session: Session) -> list[Host]:
    """By name; of several workers on one machine the least confined tells."""
    found: dict[str, Worker] = {}
    for worker in backends.heard(session):
        name = worker.name.partition("/")[0].partition(":")[0]
        if worker.level is not None and worker.level < (found[name].level or 0 if name in found else STRICTEST + 1):
            found[name] = worker
    return [_host(name, worker) for name, worker in sorted(found.items())]


def _host(name: str, worker: Worker) -> Host:
    level, least = worker.level or LOWEST, settings().portal_min_level
    idle = f"It takes no run: PORTAL_MIN_LEVEL asks for level {least}." if level < least else ""
    return Host(name, level, idle, tuple(_sentences(worker.probes.get(str(level + 1), {}))))


def _sentences(failed: Mapping[str, str]) -> Sequence[str]:
    return [f"{name}: {sentence}" for name, sentence in failed.items()]
