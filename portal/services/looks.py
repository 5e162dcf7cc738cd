"""What of a submission can have changed, in a few columns: who has seen it so needs no page made of it again.

Whatever happens to a run is told in a message of its submission, so that the last message stands for all that is over.
Of what is under way the runs, the logs and the workers are looked at, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, select
from sqlalchemy.orm import Session, aliased

from portal.domain.policy import Action
from portal.domain.states import WORST_FIRST, State
from portal.models import Account, Job, LogChunk, Message, Run, Submission, Task
from portal.services import access, backends
from portal.services.access import Whose
from portal.settings import settings

LAST_MESSAGE = (
    select(func.max(Message.id)).where(Message.submission_id == Submission.id).correlate(Submission).scalar_subquery()
)
TASKS = select(func.count(Task.id)).scalar_subquery()


@dataclass(frozen=True)
class Look:
    """How a submission stands. `facts` change with whatever is told of it; `rights` are those of whoever looks."""

    submission_id: int
    state: State
    started: datetime | None
    expires: datetime | None
    facts: tuple[Any, ...]
    rights: tuple[bool | None, ...] = ()


def over_all(session: Session, which: ColumnElement[bool], account: Account | None) -> list[tuple[Any, ...]]:
    """The id, the state and the last message of those of these submissions that somebody may see, in their order.

    How many tasks there are is said, too: a result tells its task's number only as long as the task is there.
    """
    wanted = _over(account).where(which).order_by(Submission.position)
    return [tuple(row) for row in session.execute(wanted)]


def over_batch(session: Session, batch_id: int, account: Account | None) -> list[tuple[Any, ...]]:
    """The same of those of a batch."""
    found = session.connection().execute(_of_batch(access.whose(account)), {"batch": batch_id})
    return [tuple(row) for row in found]


def over_one(session: Session, uuid: str, account: Account | None) -> list[tuple[Any, ...]]:
    """The same of the one of this UUID."""
    return [tuple(row) for row in session.connection().execute(_of_one(access.whose(account)), {"uuid": uuid})]


def _over(account: Account | None) -> Select[Any]:
    return select(Submission.id, Submission.state, LAST_MESSAGE, TASKS).where(access.where(account, Action.SEE_RUN))


@lru_cache(maxsize=256)
def _of_batch(whose: Whose) -> Select[Any]:
    return _over(access.like(whose)).where(Submission.batch_id == bindparam("batch")).order_by(Submission.position)


@lru_cache(maxsize=256)
def _of_one(whose: Whose) -> Select[Any]:
    return _over(access.like(whose)).where(Submission.uuid == bindparam("uuid"))


def at(session: Session, uuid: str, account: Account | None) -> Look | None:
    """How the submission of this UUID stands; None where there is none that this account may see."""
    look = _statement(access.whose(account), settings().portal_anonymous_runs)
    found = session.execute(look, {"uuid": uuid}).one_or_none()
    if found is None or not found.seen:
        return None
    facts = (uuid, found.state, found.stop_asked, found.delete_asked, found.removed, found.message, found.source)
    more = _of_the_end(session, uuid, found.state) if found.state.final else _under_way(session, found.id)
    rights = (found.own, found.runs_job, found.enabled)
    return Look(found.id, found.state, found.started, found.expires, (*facts, *more), rights)


@lru_cache(maxsize=256)
def _statement(whose: Whose, anonymous_runs: bool) -> Any:
    """Made once for each account, as making it takes longer than asking it."""
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
    if state not in WORST_FIRST:
        return ()
    later = select(Submission.id, Submission.state).where(Submission.resumed_from == uuid).order_by(Submission.id)
    return tuple(tuple(row) for row in session.execute(later))


def _under_way(session: Session, submission_id: int) -> tuple[Any, ...]:
    mine = Run.submission_id == submission_id
    counted = select(Run.state, func.count(), func.sum(Run.attempt), func.max(Run.due)).where(mine)
    states = {row[0]: tuple(row) for row in session.execute(counted.group_by(Run.state).order_by(Run.state))}
    written = select(func.max(LogChunk.id)).join(Run, and_(LogChunk.run_id == Run.id, mine, Run.state == State.RUNNING))
    return (
        *states.values(),
        session.scalar(written) if State.RUNNING in states else None,
        _workers(session) if State.QUEUED in states else None,
    )


def _workers(session: Session) -> tuple[Any, ...]:
    """What decides why a queued run waits."""
    return tuple((each.name, each.queues, each.obstacles, each.level) for each in backends.heard(session))
