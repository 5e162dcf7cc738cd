"""Secrets: values that a task's environment is given by name, and that nobody is shown."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.database import Base, Moment, now
from portal.models.account import Account


class Secret(Base):
    """A value under a name, encrypted. Variables of tasks name it; its owner, or an administrator, may let them."""

    __tablename__ = "secret"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120), unique=True)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("account.id", ondelete="SET NULL"))
    value: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(Moment, default=now())
    changed: Mapped[datetime] = mapped_column(Moment, default=now())

    owner: Mapped[Account | None] = relationship()
