"""Jobs: steps that others may submit, in immutable revisions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, String, Text, UniqueConstraint, event
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.database import Base, Moment, now
from portal.models.account import Account
from portal.models.task import Task

AT_HAND = "_newest"


class Job(Base):
    """A service: steps under a name. A public job may be run without an account; a disabled one by nobody.

    With `open_links` whoever has the unguessable address of one of its submissions may see that one.
    What its submissions gave is kept for `keep_days` after their end; None: as long as the settings say.
    """

    __tablename__ = "job"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    public: Mapped[bool] = mapped_column(default=False)
    enabled: Mapped[bool] = mapped_column(default=True)
    open_links: Mapped[bool] = mapped_column(default=True)
    keep_days: Mapped[int | None]
    created: Mapped[datetime] = mapped_column(Moment, default=now())
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("account.id", ondelete="SET NULL"))

    owner: Mapped[Account | None] = relationship()
    revisions: Mapped[list[JobRevision]] = relationship(
        back_populates="job", order_by="JobRevision.number", cascade="all, delete-orphan"
    )

    @property
    def current(self) -> JobRevision:
        return self.__dict__.get(AT_HAND) or self.revisions[-1]

    def put_at_hand(self, newest: JobRevision) -> None:
        """What was read for many at once need not be asked for one by one."""
        self.__dict__[AT_HAND] = newest


@event.listens_for(Job.revisions, "append")
def _change(job: Job, *_: object) -> None:
    job.__dict__.pop(AT_HAND, None)


class JobRevision(Base):
    """An immutable saved version of a job."""

    __tablename__ = "job_revision"
    __table_args__ = (UniqueConstraint("job_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    number: Mapped[int]
    author_id: Mapped[int | None] = mapped_column(ForeignKey("account.id", ondelete="SET NULL"))
    created: Mapped[datetime] = mapped_column(Moment, default=now())
    description: Mapped[str] = mapped_column(Text, default="")
    validators: Mapped[list[str]] = mapped_column(JSON, default=list)

    job: Mapped[Job] = relationship(back_populates="revisions")
    author: Mapped[Account | None] = relationship()
    steps: Mapped[list[Step]] = relationship(order_by="Step.order, Step.id", cascade="all, delete-orphan")


class Step(Base):
    """One task's place in a job, or that of another job, the `subjob`, whose steps stand there.

    Steps of the same order number run side by side, unless a step names the steps that it `needs`, by their names in
    this revision. Only a step of an old revision can have lost its task; what a current one names cannot be deleted.
    """

    __tablename__ = "step"

    id: Mapped[int] = mapped_column(primary_key=True)
    revision_id: Mapped[int] = mapped_column(ForeignKey("job_revision.id", ondelete="CASCADE"))
    task_id: Mapped[int | None] = mapped_column(ForeignKey("task.id", ondelete="SET NULL"))
    subjob_id: Mapped[int | None] = mapped_column(ForeignKey("job.id", ondelete="SET NULL"))
    order: Mapped[int] = mapped_column("ordering")
    name: Mapped[str] = mapped_column(String(80), default="")
    needs: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    condition: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))

    task: Mapped[Task | None] = relationship()
    subjob: Mapped[Job | None] = relationship()
