"""What of a submission can have changed, in a few columns: who has seen it so needs no page made of it again.

Whatever happens to a run is told in a message of its submission, so that the last message stands for all that is over.
Of what is under way the runs, the logs and the workers are looked at, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, func, select
from sqlalchemy.orm import Session, aliased

from portal.domain.policy import Action
from portal.domain.states import WORST_FIRST, State
from portal.models import Account, Batch, Job, Letter, LogChunk, Message, Run, Submission, Task
from portal.services import access, backends
from portal.services.access import Whose
from portal.services.statements import row, rows
from portal.settings import settings

LAST_MESSAGE = (
    select(func.max(Message.id)).where(Message.submission_id == Submission.id).correlate(Submission).scalar_subquery()
)
TASKS = select(func.count(Task.id)).scalar_subquery()
OF_BATCH = Submission.batch_id == select(Batch.id).where(Batch.uuid == bindparam("uuid")).scalar_subquery()
LATER = (
    select(Submission.id, Submission.state).where(Submission.resumed_from == bindparam("uuid")).order_by(Submission.id)
)
_of_it = Run.submission_id == bindparam("submission")
STATES = (
    select(
        Run.state,
        func.count().label("runs"),
        func.sum(Run.attempt).label("attempts"),
        func.max(Run.due).label("due"),
    )
    .where(_of_it)
    .group_by(Run.state)
    .order_by(Run.state)
)
WRITTEN = select(func.max(LogChunk.id).label("last")).join(
    Run, and_(LogChunk.run_id == Run.id, _of_it, Run.state == State.RUNNING)
)


@dataclass(frozen=True)
class Look:
    """How a submission stands. `facts` change with whatever is told of it; `rights` are those of whoever looks."""

    submission_id: int
    state: State
    started: datetime | None
    expires: datetime | None
    facts: tuple[Any, ...]
    rights: tuple[bool | None, ...] = ()


def over_all(session: Session, which: ColumnElement[bool], account: Account | None) -> list[Any]:
    """The id, the state and the last message of those of these submissions that somebody may see, in their order.

    How many tasks there are is said, too: a result tells its task's number only as long as the task is there. So is
    the `email` that is shown with them.
    """
    wanted = _over(account, _shown_email(Batch.id == Submission.batch_id)).where(which).order_by(Submission.position)
    return list(session.execute(wanted))


def over_batch(session: Session, uuid: str, account: Account | None) -> list[Any]:
    """The same of those of the batch of this UUID."""
    return rows(session, _of_batch(access.whose(account)), {"uuid": uuid} | access.named(account))


def over_one(session: Session, uuid: str, account: Account | None) -> list[Any]:
    """The same of the one of this UUID."""
    return rows(session, _of_one(access.whose(account)), {"uuid": uuid} | access.named(account))


def _over(account: Account | None, email: ColumnElement[str]) -> Select[Any]:
    facts = Submission.id, Submission.state, LAST_MESSAGE.label("message"), TASKS.label("tasks"), email.label("email")
    return select(*facts).where(access.where(account, Action.SEE_RUN))


def _shown_email(which: ColumnElement[bool]) -> ColumnElement[str]:
    """The address, until the letter to it is sent; empty afterwards, since null would break a published client."""
    sent = select(Letter.id).where(Letter.batch_id == Batch.id, Letter.sent.is_not(None)).exists()
    return select(case((sent, ""), else_=Batch.email)).where(which).scalar_subquery()


@cache
def _of_batch(whose: Whose) -> Select[Any]:
    email = _shown_email(Batch.uuid == bindparam("uuid"))
    return _over(access.like(whose), email).where(OF_BATCH).order_by(Submission.position)


@cache
def _of_one(whose: Whose) -> Select[Any]:
    email = _shown_email(Batch.id == Submission.batch_id)
    return _over(access.like(whose), email).where(Submission.uuid == bindparam("uuid"))


def at(session: Session, uuid: str, account: Account | None) -> Look | None:
    """How the submission of this UUID stands; None where there is none that this account may see."""
    look = _statement(access.whose(account), settings().portal_anonymous_runs)
    found = row(session, look, {"uuid": uuid} | access.named(account))
    if found is None or not found.seen:
        return None
    facts = (uuid, found.state, found.stop_asked, found.delete_asked, found.removed, found.message, found.source)
    more = _of_the_end(session, uuid, found.state) if found.state.final else _under_way(session, found.id)
    rights = (found.own, found.runs_job, found.enabled)
    return Look(found.id, found.state, found.started, found.expires, (*facts, *more), rights)


@cache
def _statement(whose: Whose, anonymous_runs: bool) -> Any:
    """Made once for each kind of account, as making it takes longer than asking it."""
    return _wanted(access.like(whose)).where(Submission.uuid == bindparam("uuid"))


def _wanted(account: Account | None) -> Any:
    source = aliased(Submission)
    there = select(source.id).where(source.uuid == Submission.resumed_from).correlate(Submission).scalar_subquery()
    job = select(Job.id).where(Job.id == Submission.job_id, access.where(account, Action.RUN_JOB)).correlate(Submission)
    return select(
        Submission.id,
        Submission.state,
        Submission.stop_asked,
        Submission.delete_asked,
        Submission.started,
        Submission.expires,
        Submission.removed,
        LAST_MESSAGE.label("message"),
        there.label("source"),
        access.where(account, Action.SEE_RUN).label("seen"),
        access.where(account, Action.CHANGE_RUN).label("own"),
        job.exists().label("runs_job"),
        Job.enabled,
    ).outerjoin(Job, Job.id == Submission.job_id)


def _of_the_end(session: Session, uuid: str, state: State) -> tuple[Any, ...]:
    """What goes on with it, if it is one that something can go on with."""
    return tuple(rows(session, LATER, {"uuid": uuid})) if state in WORST_FIRST else ()


def _under_way(session: Session, submission_id: int) -> tuple[Any, ...]:
    its = {"submission": submission_id}
    states = {each.state: each for each in rows(session, STATES, its)}
    return (
        *states.values(),
        row(session, WRITTEN, its).last if State.RUNNING in states else None,
        _workers(session) if State.QUEUED in states else None,
    )


def _workers(session: Session) -> tuple[Any, ...]:
    """What decides why a queued run waits."""
    return tuple((each.name, each.queues, each.obstacles, each.level) for each in backends.heard(session))
