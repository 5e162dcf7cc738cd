"""Accounts: who may sign in, and as what."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Enum, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base, Moment, now
from portal.domain.policy import Action, Role, may


class Account(Base):
    """A person or a service that may sign in. `session_key` names its valid sessions: a new one ends them all."""

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    email: Mapped[str] = mapped_column(String(256), default="")
    password_hash: Mapped[str] = mapped_column(String(200))
    role: Mapped[Role] = mapped_column(Enum(Role, native_enum=False, length=20), default=Role.SUBMITTER)
    active: Mapped[bool] = mapped_column(default=True)
    session_key: Mapped[str] = mapped_column(String(64), unique=True)
    created: Mapped[datetime] = mapped_column(Moment, default=now())

    def may(self, action: Action) -> bool:
        return self.active and may(self.role, action)
