"""Accounts: who may sign in, and as what; and the tokens of their programs."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, Enum, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.database import Base, Moment, now
from portal.domain.policy import Action, Role, may


class Account(Base):
    """A person or a service that may sign in. `session_key` names its valid sessions: a new one ends them all.

    `must_change`: a new password comes first. `subject` is its name at the identity provider: issuer, a blank, subject.
    The hash of a link that was mailed to set a new password is good until `reset_until`.
    """

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    email: Mapped[str] = mapped_column(String(256), default="")
    password_hash: Mapped[str] = mapped_column(String(200))
    role: Mapped[Role] = mapped_column(Enum(Role, native_enum=False, length=20), default=Role.SUBMITTER)
    active: Mapped[bool] = mapped_column(default=True)
    session_key: Mapped[str] = mapped_column(String(64), unique=True)
    must_change: Mapped[bool] = mapped_column(default=False)
    subject: Mapped[str | None] = mapped_column(String(400), unique=True)
    reset_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    reset_until: Mapped[datetime | None] = mapped_column(Moment)
    created: Mapped[datetime] = mapped_column(Moment, default=now())

    groups: Mapped[list[Group]] = relationship(secondary="membership", back_populates="members", order_by="Group.name")

    def may(self, action: Action) -> bool:
        return self.active and may(self.role, action)


class Group(Base):
    """Accounts that things are shared with together."""

    __tablename__ = "account_group"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    created: Mapped[datetime] = mapped_column(Moment, default=now())

    members: Mapped[list[Account]] = relationship(
        secondary="membership", back_populates="groups", order_by="Account.name"
    )


class Membership(Base):
    """An account's place in a group."""

    __tablename__ = "membership"

    group_id: Mapped[int] = mapped_column(ForeignKey("account_group.id", ondelete="CASCADE"), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), primary_key=True, index=True)


class Token(Base):
    """A secret that a program signs in with, in the account's name. Only its hash is kept.

    `scopes` says what it may be used for; after `expires`, or once `revoked`, it is good for nothing.
    """

    __tablename__ = "token"

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(80))
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]] = mapped_column(JSON, default=list)
    created: Mapped[datetime] = mapped_column(Moment, default=now())
    expires: Mapped[datetime | None] = mapped_column(Moment)
    last_used: Mapped[datetime | None] = mapped_column(Moment)
    revoked: Mapped[datetime | None] = mapped_column(Moment)

    account: Mapped[Account] = relationship()
