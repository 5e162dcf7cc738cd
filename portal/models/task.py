"""Tasks and their revisions. A revision is immutable: saving a task adds one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Enum, ForeignKey, String, Text, UniqueConstraint, event
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.database import Base, Moment, now
from portal.domain.names import public_name
from portal.domain.parameters import Argument, Kind, Rule, Value
from portal.domain.verdict import Then
from portal.models.account import Account
from portal.models.backend import Backend

AT_HAND = "_newest"


class Task(Base):
    """Something an analyst wrote, under a name; its revisions hold what it says. Any analyst may use a public one."""

    __tablename__ = "task"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    public: Mapped[bool] = mapped_column(default=True)
    created: Mapped[datetime] = mapped_column(Moment, default=now())
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("account.id", ondelete="SET NULL"))

    owner: Mapped[Account | None] = relationship()
    revisions: Mapped[list[TaskRevision]] = relationship(
        back_populates="task", order_by="TaskRevision.number", cascade="all, delete-orphan"
    )

    @property
    def current(self) -> TaskRevision:
        return self.__dict__.get(AT_HAND) or self.revisions[-1]

    def put_at_hand(self, newest: TaskRevision) -> None:
        """What was read for many at once need not be asked for one by one."""
        self.__dict__[AT_HAND] = newest


@event.listens_for(Task.revisions, "append")
def _change(task: Task, *_: object) -> None:
    task.__dict__.pop(AT_HAND, None)


class TaskRevision(Base):
    """An immutable saved version of a task."""

    __tablename__ = "task_revision"
    __table_args__ = (UniqueConstraint("task_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int] = mapped_column(ForeignKey("task.id", ondelete="CASCADE"))
    number: Mapped[int]
    author_id: Mapped[int | None] = mapped_column(ForeignKey("account.id", ondelete="SET NULL"))
    created: Mapped[datetime] = mapped_column(Moment, default=now())
    backend_id: Mapped[int] = mapped_column(ForeignKey("backend.id", ondelete="RESTRICT"))
    description: Mapped[str] = mapped_column(Text, default="")
    language: Mapped[str] = mapped_column(String(40))
    code: Mapped[str] = mapped_column(Text)
    inputs: Mapped[list[str]] = mapped_column(JSON, default=list)
    outputs: Mapped[list[str]] = mapped_column(JSON, default=list)
    stdout: Mapped[str] = mapped_column(String(60), default="")
    exit_statuses: Mapped[list[int]] = mapped_column(JSON, default=list)
    on_exit_status: Mapped[Then] = mapped_column(Enum(Then, native_enum=False, length=10), default=Then.CONTINUE)
    on_missing_output: Mapped[Then] = mapped_column(Enum(Then, native_enum=False, length=10), default=Then.FAIL)
    limits: Mapped[dict[str, int]] = mapped_column(JSON, default=dict)
    retries: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)

    task: Mapped[Task] = relationship(back_populates="revisions")
    author: Mapped[Account | None] = relationship()
    backend: Mapped[Backend] = relationship()
    parameters: Mapped[list[Parameter]] = relationship(order_by="Parameter.position", cascade="all, delete-orphan")
    variables: Mapped[list[Variable]] = relationship(order_by="Variable.id", cascade="all, delete-orphan")
    configurations: Mapped[list[Configuration]] = relationship(
        order_by="Configuration.id", cascade="all, delete-orphan"
    )


class Parameter(Base):
    """One value that a task accepts. `alias` is its own name; forms and REST put the task's name before it."""

    __tablename__ = "parameter"
    __table_args__ = (UniqueConstraint("revision_id", "alias"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    revision_id: Mapped[int] = mapped_column(ForeignKey("task_revision.id", ondelete="CASCADE"))
    position: Mapped[int]
    alias: Mapped[str] = mapped_column(String(80))
    label: Mapped[str] = mapped_column(String(120), default="")
    help: Mapped[str] = mapped_column(Text, default="")
    flag: Mapped[str] = mapped_column(String(120), default="")
    kind: Mapped[Kind] = mapped_column(Enum(Kind, native_enum=False, length=10), default=Kind.TEXT)
    default: Mapped[str | None] = mapped_column(Text)
    required: Mapped[bool] = mapped_column(default=True)
    minimum: Mapped[float | None]
    maximum: Mapped[float | None]
    choices: Mapped[list[str]] = mapped_column(JSON, default=list)
    pattern: Mapped[str] = mapped_column(String(300), default="")
    spacing: Mapped[bool] = mapped_column(default=True)
    switchless: Mapped[bool] = mapped_column(default=False)

    @property
    def rule(self) -> Rule:
        choices = tuple(self.choices)
        return Rule(self.kind, self.required, self.default, self.minimum, self.maximum, choices, self.pattern)

    def argument(self, text: str, value: Value) -> Argument:
        """The parameter with a value that its rule allows."""
        return Argument(self.alias, self.flag, self.kind, text, value, self.spacing, self.switchless)

    def public_name(self, task: str) -> str:
        return public_name(task, self.alias)


class Variable(Base):
    """One environment variable of a task: a value, or the name of the `secret` that holds it."""

    __tablename__ = "variable"
    __table_args__ = (UniqueConstraint("revision_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    revision_id: Mapped[int] = mapped_column(ForeignKey("task_revision.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(120))
    value: Mapped[str] = mapped_column(Text, default="")
    secret: Mapped[str] = mapped_column(String(120), default="")


class Configuration(Base):
    """Which software or data set, in which version, a task rests on."""

    __tablename__ = "configuration"

    id: Mapped[int] = mapped_column(primary_key=True)
    revision_id: Mapped[int] = mapped_column(ForeignKey("task_revision.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(20), default="Software")
    name: Mapped[str] = mapped_column(String(120))
    parameters: Mapped[str] = mapped_column(Text, default="")
    version: Mapped[str] = mapped_column(String(80), default="")
