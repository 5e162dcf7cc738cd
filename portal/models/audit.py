"""The audit trail: who did what to which object, when and from where. The database changes and drops no line."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base, Moment, now


class Audit(Base):
    """One line. It names its account and its object by their names then, for they may be gone since.

    `request` is the id under which the log and an error page know the same request.
    """

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_actor_id", "actor", "id"), Index("ix_audit_kind_id", "kind", "id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(Moment, default=now(), index=True)
    actor: Mapped[str] = mapped_column(String(80))
    account_id: Mapped[int | None]
    action: Mapped[str] = mapped_column(String(60))
    kind: Mapped[str] = mapped_column(String(20))
    object: Mapped[str] = mapped_column(String(200))
    address: Mapped[str] = mapped_column(String(64), default="")
    request: Mapped[str] = mapped_column(String(32), default="")
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
