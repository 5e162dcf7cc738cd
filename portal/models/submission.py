"""Batches, submissions and runs: the plan and the story of what was asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Enum,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    desc,
    event,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, object_session, relationship

from portal.database import Base, Moment, now
from portal.domain.states import State, check_move
from portal.models.account import Account
from portal.models.job import Job

LONGEST_SENTENCE = 2000
UNDER_WAY = "state IN ('WAITING', 'QUEUED', 'RUNNING')"


def _partial(name: str, *columns: Any, where: str) -> Index:
    """An index of few rows of many, those that are asked for all the time. In SQLite it has all: a question's
    parameters find no partial index there."""
    return Index(name, *columns, postgresql_where=text(where))


state_type = Enum(State, native_enum=False, length=10)


class Batch(Base):
    """What one request asked for: one input, one or several jobs. `uuid` is its unguessable address."""

    __tablename__ = "batch"

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(String(36), unique=True)
    name: Mapped[str] = mapped_column(String(64))
    email: Mapped[str] = mapped_column(String(256), default="")
    address: Mapped[str] = mapped_column(String(64), default="", index=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id", ondelete="SET NULL"), index=True)
    idempotency_key: Mapped[str | None] = mapped_column(String(200), unique=True)
    state: Mapped[State] = mapped_column(state_type, default=State.QUEUED)
    created: Mapped[datetime] = mapped_column(Moment, default=now(), index=True)

    account: Mapped[Account | None] = relationship()
    uploads: Mapped[list[Upload]] = relationship(order_by="Upload.id", cascade="all, delete-orphan")
    submissions: Mapped[list[Submission]] = relationship(
        back_populates="batch", order_by="Submission.position", cascade="all, delete-orphan"
    )


class Upload(Base):
    """A file that came with a batch. `name` is the client's, for people to read; `key` is where the bytes are.

    `field` is the parameter that it was sent for, by its public name, and `ending` what its steps know it by; both are
    empty for an input, the file that every job takes. Of several inputs each has a `number` from 1 on; what all of the
    batch's submissions take has 0.
    """

    __tablename__ = "upload"
    __table_args__ = (Index("ix_upload_batch_id_number", "batch_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    batch_id: Mapped[int] = mapped_column(ForeignKey("batch.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column(default=0)
    name: Mapped[str] = mapped_column(String(255))
    key: Mapped[str] = mapped_column(String(200), index=True)
    field: Mapped[str] = mapped_column(String(170), default="")
    ending: Mapped[str] = mapped_column(String(60), default="")
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))


class Submission(Base):
    """One job for one input. Its state is the summary of its runs, kept here so that lists can ask for it.

    At `expires` its results and logs are due to be removed, at `removed` they were. `resumed_from` is the UUID of the
    submission whose finished steps it took over. `delete_asked`: nothing of it shall stay, once nothing of it runs.
    `open_link` is what its job said of open links, and counts when the job is gone. `input` is the number of its own
    input among those of its batch; 0 where there is one for all. `account_id` and `address` are its
    batch's, so that lists and limits need not look there.
    """

    __tablename__ = "submission"
    __table_args__ = (
        Index("ix_submission_batch_id_position", "batch_id", "position"),
        Index("ix_submission_batch_id_state", "batch_id", "state"),
        Index("ix_submission_account_id_id", "account_id", "id"),
        Index("ix_submission_account_id_state_id", "account_id", "state", "id"),
        Index("ix_submission_account_id_job_name_id", "account_id", "job_name", "id"),
        Index("ix_submission_state_id", "state", "id"),
        Index("ix_submission_job_name_id", "job_name", "id"),
        Index("ix_submission_job_id_state_id", "job_id", "state", "id"),
        _partial("ix_submission_under_way", "account_id", "address", "id", where=UNDER_WAY),
        _partial("ix_submission_guest", "address", where="account_id IS NULL"),
        _partial("ix_submission_delete_asked", "delete_asked", where="delete_asked"),
        _partial("ix_submission_expires", "expires", where="removed IS NULL"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(String(36), unique=True)
    batch_id: Mapped[int] = mapped_column(ForeignKey("batch.id", ondelete="CASCADE"))
    account_id: Mapped[int | None]
    address: Mapped[str] = mapped_column(String(64), default="")
    position: Mapped[int]
    input: Mapped[int] = mapped_column(default=0)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id", ondelete="SET NULL"))
    job_name: Mapped[str] = mapped_column(String(80))
    job_revision: Mapped[int]
    state: Mapped[State] = mapped_column(state_type, default=State.QUEUED)
    stop_asked: Mapped[bool] = mapped_column(default=False)
    delete_asked: Mapped[bool] = mapped_column(default=False)
    open_link: Mapped[bool] = mapped_column(default=True)
    resumed_from: Mapped[str | None] = mapped_column(String(36), index=True)
    created: Mapped[datetime] = mapped_column(Moment, default=now())
    started: Mapped[datetime | None] = mapped_column(Moment)
    ended: Mapped[datetime | None] = mapped_column(Moment)
    expires: Mapped[datetime | None] = mapped_column(Moment)
    removed: Mapped[datetime | None] = mapped_column(Moment)

    batch: Mapped[Batch] = relationship(back_populates="submissions")
    job: Mapped[Job | None] = relationship()
    runs: Mapped[list[Run]] = relationship(
        back_populates="submission", order_by="Run.stage, Run.position", cascade="all, delete-orphan"
    )
    messages: Mapped[list[Message]] = relationship(
        back_populates="submission", order_by="Message.id", cascade="all, delete-orphan"
    )
    results: Mapped[list[Result]] = relationship(order_by="Result.id", cascade="all, delete-orphan")
    uploads: Mapped[list[Upload]] = relationship(
        primaryjoin="and_(Submission.batch_id == foreign(Upload.batch_id),"
        " or_(Upload.number == 0, Upload.number == Submission.input))",
        order_by="Upload.id",
        viewonly=True,
    )

    def say(self, sentence: str, kind: str = "note", run: Run | None = None) -> None:
        """Add a line to the story, without reading the rest of it."""
        message = Message(submission=self, sentence=sentence[:LONGEST_SENTENCE], kind=kind, run=run)
        if session := object_session(self):
            session.add(message)


@event.listens_for(Submission, "before_insert")
def _belong(mapper: object, connection: object, submission: Submission) -> None:
    submission.account_id, submission.address = submission.batch.account_id, submission.batch.address or ""


class Run(Base):
    """One step of one submission. A worker's every write names its attempt, so that a ghost writes nothing.

    `lost` counts the tries that the machinery lost, `retried` those that the task's rules gave after a failure.
    `taken_from` is the UUID of the run of another submission whose results this one took over. `step` is its step's
    name, `needs` are the positions of the runs that it comes after; None, in rows of earlier versions: all of the
    stages before its own. `condition` holds what all must hold for it to begin, by the places of runs. A worker that
    confines runs at less than `minimum_level` does not claim it.
    """

    __tablename__ = "run"
    __table_args__ = (
        _partial("ix_run_due", "state", "queue", "due", where="state = 'QUEUED'"),
        _partial("ix_run_turn", "state", desc("priority"), "id", where="state = 'QUEUED'"),
        _partial("ix_run_lease", "state", "lease", where="state = 'RUNNING'"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(String(36), unique=True)
    submission_id: Mapped[int] = mapped_column(ForeignKey("submission.id", ondelete="CASCADE"), index=True)
    stage: Mapped[int]
    position: Mapped[int]
    task_id: Mapped[int | None] = mapped_column(ForeignKey("task.id", ondelete="SET NULL"))
    task_name: Mapped[str] = mapped_column(String(80))
    task_revision: Mapped[int]
    step: Mapped[str] = mapped_column(String(200), default="")
    needs: Mapped[list[int] | None] = mapped_column(JSON(none_as_null=True))
    condition: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    work: Mapped[dict[str, Any]] = mapped_column(JSON)
    queue: Mapped[str] = mapped_column(String(100))
    priority: Mapped[int] = mapped_column(default=1)
    minimum_level: Mapped[int] = mapped_column(default=0)
    state: Mapped[State] = mapped_column(state_type, default=State.WAITING)
    attempt: Mapped[int] = mapped_column(default=0)
    lost: Mapped[int] = mapped_column(default=0)
    retried: Mapped[int] = mapped_column(default=0)
    taken_from: Mapped[str | None] = mapped_column(String(36))
    due: Mapped[datetime | None] = mapped_column(Moment)
    lease: Mapped[datetime | None] = mapped_column(Moment)
    worker: Mapped[str] = mapped_column(String(200), default="")
    handle: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    started: Mapped[datetime | None] = mapped_column(Moment)
    ended: Mapped[datetime | None] = mapped_column(Moment)
    reason: Mapped[str] = mapped_column(Text, default="")
    exit_status: Mapped[int | None]
    usage: Mapped[dict[str, float] | None] = mapped_column(JSON(none_as_null=True))

    submission: Mapped[Submission] = relationship(back_populates="runs")
    results: Mapped[list[Result]] = relationship(back_populates="run", order_by="Result.id")
    attempts: Mapped[list[Attempt]] = relationship(order_by="Attempt.number", cascade="all, delete-orphan")

    @property
    def label(self) -> str:
        """What people know the step by."""
        return self.step or self.task_name

    def move(self, state: State, sentence: str = "") -> None:
        """The only door between states: checks the move and writes the sentence that the user will read."""
        for name, value in Run.moved(self.state, state, sentence).items():
            setattr(self, name, value)
        if state.final:
            self.handle = without_secrets(self.handle)
        if sentence:
            self.submission.say(sentence, run=self)

    @staticmethod
    def moved(old: State, new: State, sentence: str = "") -> dict[str, Any]:
        """What a move changes of the run itself, for statements that move what is not loaded. The same check."""
        check_move(old, new)
        change: dict[str, Any] = {"state": new, "reason": sentence}
        if new is State.RUNNING or new.final:
            change["started" if new is State.RUNNING else "ended"] = now()
        return change


def without_secrets(handle: dict[str, Any] | None) -> dict[str, Any] | None:
    """A handle as it is kept when its run has ended."""
    return handle and {name: value for name, value in handle.items() if name != "secrets"}


class Attempt(Base):
    """One try of a run: where, when, and how it ended. Taken up by another worker it goes on under a new number.

    `level` is how far it was confined.
    """

    __tablename__ = "attempt"
    __table_args__ = (UniqueConstraint("run_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    number: Mapped[int]
    worker: Mapped[str] = mapped_column(String(200))
    level: Mapped[int | None]
    started: Mapped[datetime] = mapped_column(Moment, default=now())
    ended: Mapped[datetime | None] = mapped_column(Moment)
    sentence: Mapped[str] = mapped_column(Text, default="")
    exit_status: Mapped[int | None]
    usage: Mapped[dict[str, float] | None] = mapped_column(JSON(none_as_null=True))


class Result(Base):
    """One file kept from a run. `name` is its public name; `key` is where the bytes are."""

    __tablename__ = "result"
    __table_args__ = (
        UniqueConstraint("submission_id", "name"),
        Index("ix_result_submission_id_size", "submission_id", "size"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    submission_id: Mapped[int] = mapped_column(ForeignKey("submission.id", ondelete="CASCADE"))
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), index=True)
    attempt: Mapped[int]
    name: Mapped[str] = mapped_column(String(255), index=True)
    key: Mapped[str] = mapped_column(String(200))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))

    run: Mapped[Run] = relationship(back_populates="results")


class LogChunk(Base):
    """Some bytes of what an attempt wrote to 'stdout' or 'stderr', from `start` on. Twice the same is once."""

    __tablename__ = "log_chunk"
    __table_args__ = (UniqueConstraint("run_id", "attempt", "stream", "start"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    attempt: Mapped[int]
    stream: Mapped[str] = mapped_column(String(10))
    start: Mapped[int] = mapped_column(BigInteger)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class Message(Base):
    """One dated line of a submission's story; there is one 'end' at most."""

    __tablename__ = "message"
    __table_args__ = (
        Index(
            "uq_message_end",
            "submission_id",
            unique=True,
            sqlite_where=text("kind = 'end'"),
            postgresql_where=text("kind = 'end'"),
        ),
        Index("ix_message_submission_id_id", "submission_id", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    submission_id: Mapped[int] = mapped_column(ForeignKey("submission.id", ondelete="CASCADE"))
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(10), default="note")
    sentence: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(Moment, default=now())

    submission: Mapped[Submission] = relationship(back_populates="messages")
    run: Mapped[Run | None] = relationship()


class Letter(Base):
    """The mail outbox: one letter a batch's end, or one to an account about its password; sent at least once."""

    __tablename__ = "letter"
    __table_args__ = (UniqueConstraint("batch_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    batch_id: Mapped[int | None] = mapped_column(ForeignKey("batch.id", ondelete="CASCADE"))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    due: Mapped[datetime] = mapped_column(Moment, default=now())
    tries: Mapped[int] = mapped_column(default=0)
    sent: Mapped[datetime | None] = mapped_column(Moment, index=True)
    failure: Mapped[str] = mapped_column(Text, default="")

    batch: Mapped[Batch | None] = relationship()
    account: Mapped[Account | None] = relationship()
