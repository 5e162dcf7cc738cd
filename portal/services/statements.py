"""The statements that every step goes through, each prepared once.

They are executed on the session's connection, so what the session holds of the same rows is not changed by them, and
what it has not written yet is not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Executable,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    null,
    or_,
    select,
    update,
)  # fmt: skip
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from portal.database import connection, now
from portal.domain.states import ACTIVE, FINAL, State
from portal.models import Attempt, Batch, Job, LogChunk, Message, Result, Run, Submission, Upload
from portal.prepared import prepared

_batch, _submission, _run, _attempt, _result, _upload, _chunk, _message, _job = (
    cast(Table, model.__table__) for model in (Batch, Submission, Run, Attempt, Result, Upload, LogChunk, Message, Job)
)
_of_it = _run.c.submission_id == bindparam("submission")
FEW = {"postgresql": 100, "sqlite": 1}  # values of one statement that are told one by one


def rows(session: Session, statement: Executable, values: Mapping[str, Any]) -> list[Any]:
    """Named tuples; none of a statement that gives no rows."""
    its = connection(session)
    return prepared(statement, its.dialect, tuple(values)).execute(its, values)


def row(session: Session, statement: Executable, values: Mapping[str, Any]) -> Any:
    """The only one, or None."""
    return next(iter(rows(session, statement, values)), None)


def tell(session: Session, statement: Executable, *every: Mapping[str, Any]) -> None:
    """For each of these, in this order; nobody wants to know what came of it. It is done before whatever is asked
    next, so that an error of it may come to light only then."""
    its = connection(session)
    if len(every) > FEW[its.dialect.name]:
        for_each(session, statement, every)
        return
    for values in every:
        prepared(statement, its.dialect, tuple(values)).tell(its, values)


def for_each(session: Session, statement: Executable, every: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The rows of all of these together, asked for in as few words as can be."""
    if len(every) == 1:
        return rows(session, statement, every[0])
    result = connection(session).execute(statement, every)
    return list(result) if result.returns_rows else []


def one_of(column: Any, values: Iterable[Any]) -> ColumnElement[bool]:
    """As many words as values, so that the statement has the same ones each time."""
    return or_(*(column == each for each in values))


def states_of_batch(session: Session, batch_id: int) -> set[State]:
    """Those that any of its submissions is in, looked up one by one, as they are few and its submissions many."""
    return those_in(row(session, STATES_OF_BATCH, {"batch": batch_id}))


def those_in(found: Any) -> set[State]:
    """The states that a row with a column for each says there are."""
    return {state for state in State if getattr(found, state)}


def _mine(values: Mapping[str, Any]) -> Update:
    """Of a run that is a worker's own: when it changes no row, the worker is a ghost."""
    its = and_(_run.c.id == bindparam("run"), _run.c.attempt == bindparam("as"), _run.c.state == State.RUNNING)
    return update(_run).where(its).values(values).returning(_run.c.id)


_held = (_submission.c.stop_asked, _submission.c.started, _submission.c.batch_id)
HOLD: Select[Any] = select(*_held).where(_submission.c.id == bindparam("submission")).with_for_update()
HOLD_TOO: Select[Any] = (
    select(*_held)
    .join(_batch, _batch.c.id == _submission.c.batch_id)
    .where(_submission.c.id == bindparam("submission"))
    .with_for_update(skip_locked=True)
)
_any_run = [func.max(case((_run.c.state == each, 1), else_=0)).label(each) for each in State]
SUMMARY: Select[Any] = (
    select(_submission.c.state, _submission.c.started, _submission.c.batch_id, *_any_run)
    .outerjoin(_run, _run.c.submission_id == _submission.c.id)
    .where(_submission.c.id == bindparam("submission"))
    .group_by(_submission.c.id)
)
START = (
    update(_submission)
    .where(_submission.c.id == bindparam("submission"), _submission.c.started.is_(None))
    .values(started=now(), state=State.RUNNING)
)
SET_STATE = update(_submission).where(_submission.c.id == bindparam("submission")).values(state=bindparam("to"))
HOLD_BATCH: Select[Any] = select(_batch.c.id).where(_batch.c.id == bindparam("batch")).with_for_update()
SET_BATCH_STATE = update(_batch).where(_batch.c.id == bindparam("batch")).values(state=bindparam("to"))
_of_run = _submission.c.id == _run.c.submission_id
_started = select(_submission.c.started).where(_of_run).scalar_subquery()
_stop_asked = select(_submission.c.stop_asked).where(_of_run).scalar_subquery()
STOP_ASKED: Select[Any] = select(_submission.c.stop_asked).where(_submission.c.id == bindparam("submission"))
END = _mine({
    "state": bindparam("end"), "reason": bindparam("sentence"), "ended": now(),
    "exit_status": bindparam("status"), "usage": bindparam("used", type_=_run.c.usage.type),
}).returning(_started.label("started"))  # fmt: skip
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
QUEUE = update(_run).values(state=State.QUEUED, due=now()).where(_run.c.state == State.WAITING)
QUEUE_ONE = QUEUE.where(_run.c.id == bindparam("run"))
QUEUE_ALL = QUEUE.where(_run.c.id.in_(bindparam("runs", expanding=True)))
_like_it = and_(_of_it, _run.c.state == bindparam("to"))
_last_stage = select(func.max(_run.c.stage)).where(_like_it).scalar_subquery()
_first_reason = select(_run.c.reason).where(_like_it).order_by(_run.c.stage, _run.c.position).limit(1).scalar_subquery()
LAST: Select[Any] = (
    select(_job.c.keep_days, _last_stage.label("stage"), _first_reason.label("reason"))
    .select_from(_submission.outerjoin(_job, _job.c.id == _submission.c.job_id))
    .where(_submission.c.id == bindparam("submission"))
)
_before = _run.alias()
_ended = and_(
    _before.c.id == bindparam("ended"), _before.c.attempt == bindparam("as"), _before.c.state == State.COMPLETE
)
_not_stopped = exists().where(_submission.c.id == bindparam("of"), ~_submission.c.stop_asked)
_its_results = and_(_result.c.run_id == bindparam("ended"), _result.c.attempt == bindparam("as"))
_all_kept = select(func.count()).where(_its_results).scalar_subquery() == bindparam("kept")
AS_FORESEEN = and_(exists().where(_ended), _not_stopped, _all_kept).label("as_foreseen")
IS_AS_FORESEEN: Select[Any] = select(AS_FORESEEN)
_another = _run.alias()
_waits = _another.c.state == State.WAITING
LEADS_ON = exists().where(_another.c.submission_id == _run.c.submission_id, _waits)
_also_of_it = _another.c.submission_id == bindparam("submission")
_under_way = one_of(_another.c.state, (State.QUEUED, State.RUNNING))
_others = exists().where(_also_of_it, _under_way, _another.c.id != bindparam("run"))
CLAIMED = ("id", "submission_id", "uuid", "attempt", "handle", "worker", "queue", "position", "stage", "state",
           "needs", "task_name")  # fmt: skip
AHEAD = 8  # runs: what is frozen of them may be long
COME_NEXT: Select[Any] = (
    select(*(_run.c[name] for name in (*CLAIMED, "work", "condition")), _others.label("others"))
    .where(_of_it, _run.c.state == State.WAITING)
    .order_by(_run.c.stage)
    .limit(AHEAD + 1)
)
OPEN: Select[Any] = select(_run.c.position, _run.c.stage, _run.c.state, _run.c.needs).where(
    _of_it, one_of(_run.c.state, ACTIVE)
)
_of_batch = _submission.c.batch_id == bindparam("batch")
_in_it = [exists().where(_of_batch, _submission.c.state == each).label(each) for each in State]
_its_own = select(_batch.c.state).where(_batch.c.id == bindparam("batch")).scalar_subquery()
STATES_OF_BATCH: Any = select(_its_own.label("its_own"), *_in_it)
_first_inputs = select(_run.c.work["inputs"]).where(_of_it).order_by(_run.c.stage, _run.c.position).limit(1)
UPLOADS: Select[Any] = (
    select(
        _upload.c.field,
        _upload.c.ending,
        _upload.c.key,
        _upload.c.sha256,
        _upload.c.size,
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
def end_submission(seconds: int) -> Update:
    """Its results are kept for so many seconds; 0: for ever."""
    expires = now(seconds) if seconds else null()
    return SET_STATE.values(ended=now(), expires=expires)


@cache
def extend(seconds: float) -> Update:
    """A beat."""
    return _mine({"lease": now(seconds)})


@cache
def keep_handle(seconds: float) -> Update:
    """Unless a stop is asked, as then nothing shall be started."""
    found_by = bindparam("found_by", type_=_run.c.handle.type)
    return _mine({"lease": now(seconds), "handle": found_by}).where(~_stop_asked)


def _next_ones() -> Select[Any]:
    """What waits and may be due: a stage being a distance from the start, the others come after what has not ended."""
    last_ended = select(func.coalesce(func.max(_run.c.stage), 0)).where(_of_it, one_of(_run.c.state, FINAL))
    first_open = select(func.min(_run.c.stage)).where(_of_it, one_of(_run.c.state, ACTIVE))
    near = or_(_run.c.stage <= last_ended.scalar_subquery() + 1, _run.c.stage == first_open.scalar_subquery())
    its = ("id", "position", "stage", "state", "needs", "condition", "queue")
    waiting = select(*(_run.c[name] for name in its)).where(_of_it, _run.c.state == State.WAITING, near)
    return waiting.order_by(_run.c.stage, _run.c.position)


NEXT_ONES = _next_ones()


def _ends_with(column: Any, ending: ColumnElement[str]) -> ColumnElement[bool]:
    return func.substr(column, func.length(column) - func.length(ending) + 1) == ending


@cache
def results_before(endings: int) -> Select[Any]:
    """What the runs of earlier stages gave, of the files that may have one of so many endings (`ending_0` ...), in
    their order."""
    wanted = or_(*(_ends_with(_result.c.name, bindparam(f"ending_{place}")) for place in range(endings)))
    its = _result.c.submission_id == bindparam("submission")
    given = select(_result.c.name, _result.c.key, _result.c.sha256, _result.c.size, _run.c.position).join(
        _run, _run.c.id == _result.c.run_id
    )
    earlier = given.where(its, _run.c.stage < bindparam("stage"), wanted)
    return earlier.order_by(_run.c.stage, _run.c.position, _result.c.id)
