"""The statements that every step goes through, each made once: to make one anew takes longer than to execute it.

They are executed on the session's connection, so what the session holds of the same rows is not changed by them, and
what it has not written yet is not seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast

from sqlalchemy import (
    CursorResult,
    Executable,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)  # fmt: skip
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from portal.database import now
from portal.domain.states import ACTIVE, FINAL, State
from portal.models import Attempt, LogChunk, Message, Result, Run, Submission, Upload

_submission, _run, _attempt, _result, _upload, _chunk, _message = (
    cast(Table, model.__table__) for model in (Submission, Run, Attempt, Result, Upload, LogChunk, Message)
)
_of_it = _run.c.submission_id == bindparam("submission")


def execute(
    session: Session, statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]]
) -> CursorResult[Any]:
    return session.connection().execute(statement, values)


def states_of_batch(session: Session, batch_id: int) -> set[State]:
    """Those that any of its submissions is in, looked up one by one, as they are few and its submissions many."""
    found = execute(session, STATES_OF_BATCH, {"batch": batch_id}).one()
    return {state for state, there in zip(State, found, strict=True) if there}


def _mine(values: Mapping[str, Any]) -> Update:
    """Of a run that is a worker's own: when it changes no row, the worker is a ghost."""
    its = and_(_run.c.id == bindparam("run"), _run.c.attempt == bindparam("as"), _run.c.state == State.RUNNING)
    return update(_run).where(its).values(values).returning(_run.c.id)


HOLD: Select[Any] = (
    select(_submission.c.stop_asked, _submission.c.started)
    .where(_submission.c.id == bindparam("submission"))
    .with_for_update()
)
STOP_ASKED: Select[Any] = select(_submission.c.stop_asked).where(_submission.c.id == bindparam("submission"))
END = _mine({
    "state": bindparam("end"), "reason": bindparam("sentence"), "ended": now(),
    "exit_status": bindparam("status"), "usage": bindparam("used", type_=_run.c.usage.type),
})  # fmt: skip
END_ATTEMPT = (
    update(_attempt)
    .where(_attempt.c.run_id == bindparam("run"), _attempt.c.ended.is_(None))
    .values(
        ended=now(), sentence=bindparam("told"), exit_status=bindparam("status"),
        usage=bindparam("used", type_=_attempt.c.usage.type),
    )
)  # fmt: skip
BEGIN_ATTEMPT = insert(_attempt).inline()
SAY = insert(_message).inline()
KEEP_LOG = insert(_chunk).inline()
LOG_ENDS: Select[Any] = (
    select(_chunk.c.stream, func.max(_chunk.c.start + func.length(_chunk.c.data)).label("end"))
    .where(_chunk.c.run_id == bindparam("run"), _chunk.c.attempt == bindparam("as"))
    .group_by(_chunk.c.stream)
)
QUEUE = (
    update(_run)
    .where(_run.c.id.in_(bindparam("runs", expanding=True)), _run.c.state == State.WAITING)
    .values(state=State.QUEUED, due=now())
)
STATES: Select[Any] = select(_run.c.state).where(_of_it).distinct()
OPEN: Select[Any] = select(_run.c.position, _run.c.stage, _run.c.state, _run.c.needs).where(
    _of_it, _run.c.state.in_(ACTIVE)
)
_of_batch = _submission.c.batch_id == bindparam("batch")
_in_it = [exists().where(_of_batch, _submission.c.state == each) for each in State]
STATES_OF_BATCH: Any = select(*_in_it)
_first_inputs = select(_run.c.work["inputs"]).where(_of_it).order_by(_run.c.stage, _run.c.position).limit(1)
UPLOADS: Select[Any] = (
    select(
        _upload.c.field,
        _upload.c.ending,
        _upload.c.key,
        _upload.c.sha256,
        _first_inputs.scalar_subquery().label("inputs"),
    )
    .join(_submission, _submission.c.batch_id == _upload.c.batch_id)
    .where(_submission.c.id == bindparam("submission"), _upload.c.number.in_([0, _submission.c.input]))
    .order_by(_upload.c.id)
)


@cache
def keep(dialect: str) -> Any:
    """Results, as far as no other of their submission has their names; the keys of those that are kept now."""
    own = postgresql.insert(_result) if dialect == "postgresql" else sqlite.insert(_result)
    return own.on_conflict_do_nothing(index_elements=["submission_id", "name"]).returning(_result.c.key)


@cache
def extend(seconds: float) -> Update:
    """A beat."""
    return _mine({"lease": now(seconds)})


@cache
def keep_handle(seconds: float) -> Update:
    """Unless a stop is asked, as then nothing shall be started."""
    asked = select(_submission.c.stop_asked).where(_submission.c.id == _run.c.submission_id).scalar_subquery()
    found_by = bindparam("found_by", type_=_run.c.handle.type)
    return _mine({"lease": now(seconds), "handle": found_by}).where(~asked)


def _next_ones() -> Select[Any]:
    """What waits and may be due: a stage being a distance from the start, the others come after what has not ended."""
    last_ended = select(func.coalesce(func.max(_run.c.stage), 0)).where(_of_it, _run.c.state.in_(FINAL))
    first_open = select(func.min(_run.c.stage)).where(_of_it, _run.c.state.in_(ACTIVE))
    near = or_(_run.c.stage <= last_ended.scalar_subquery() + 1, _run.c.stage == first_open.scalar_subquery())
    its = ("id", "position", "stage", "state", "needs", "condition", "queue")
    waiting = select(*(_run.c[name] for name in its)).where(_of_it, _run.c.state == State.WAITING, near)
    return waiting.order_by(_run.c.stage, _run.c.position)


NEXT_ONES = _next_ones()


@cache
def results_before(endings: tuple[str, ...]) -> Select[Any]:
    """What the runs of earlier stages gave, of the files that may have one of these endings, in their order."""
    wanted = or_(*(_result.c.name.endswith(ending, autoescape=True) for ending in endings))
    its = _result.c.submission_id == bindparam("submission")
    given = select(_result.c.name, _result.c.key, _result.c.sha256, _run.c.position).join(
        _run, _run.c.id == _result.c.run_id
    )
    earlier = given.where(its, _run.c.stage < bindparam("stage"), wanted)
    return earlier.order_by(_run.c.stage, _run.c.position, _result.c.id)
