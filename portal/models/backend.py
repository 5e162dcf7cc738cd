"""Backends: configured runners; and the workers that have reported what they can do."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base, Moment, now
from portal.domain.limits import USUAL


class Backend(Base):
    """Where runs happen: a runner with its queue, its root directory and its options.

    `limits` hold for tasks that ask for none of their own, `ceilings` for all. Runs reach the network only if `network`
    says so; workers that confine runs at less than `minimum_level` (None: as the settings say) take none of them.
    """

    __tablename__ = "backend"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    runner: Mapped[str] = mapped_column(String(40))
    queue: Mapped[str] = mapped_column(String(80))
    languages: Mapped[list[str]] = mapped_column(JSON, default=list)
    root_directory: Mapped[str] = mapped_column(String(500), default="")
    limits: Mapped[dict[str, int]] = mapped_column(JSON, default=USUAL.stated)
    ceilings: Mapped[dict[str, int]] = mapped_column(JSON, default=dict)
    options: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    enabled: Mapped[bool] = mapped_column(default=True)
    network: Mapped[bool] = mapped_column(default=False)
    minimum_level: Mapped[int | None]


class Worker(Base):
    """A worker's own word: which queues it serves; and by backend and language, why it cannot run it (None: it can).

    `level` is how far it confines runs, as its `probes` have shown.
    """

    __tablename__ = "worker"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    queues: Mapped[list[str]] = mapped_column(JSON, default=list)
    obstacles: Mapped[dict[str, dict[str, str | None]]] = mapped_column(JSON, default=dict)
    level: Mapped[int | None]
    probes: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    seen: Mapped[datetime] = mapped_column(Moment, default=now())
