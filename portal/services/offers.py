"""What is offered: a job as it is now, with all that it rests on, read whole once for each state that it is in.

One look tells the state: what may change, and which revisions are the newest, which never change. What was read under
it belongs to no session, so that every thread may read it, and nobody may write to it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from threading import Lock
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, Table, Text, bindparam, func, select
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import Session, selectinload

from portal.database import once
from portal.domain import steps
from portal.domain.names import normal_name
from portal.domain.policy import Action
from portal.domain.steps import Leaf
from portal.domain.texts import storable
from portal.models import Account, Backend, Job, JobRevision, Step, Task, TaskRevision
from portal.services import access, catalogue, nesting
from portal.services.statements import rows
from portal.settings import settings

MOST = 200

State = tuple[tuple[Any, ...], ...]

_job, _revision, _step, _task, _saved, _backend = (
    cast(Table, model.__table__) for model in (Job, JobRevision, Step, Task, TaskRevision, Backend)
)
_TOLD_OF_BACKENDS = [sql_cast(each, Text).label(f"backend_{each.name}") for each in _backend.c]
_known: OrderedDict[tuple[str, int], Offer] = OrderedDict()
_lock = Lock()


@dataclass(frozen=True)
class Offer:
    """A job, and the state in which it was read. `orders`: what is always the same in orders to it, by their kind."""

    job: Job
    state: State
    orders: dict[Hashable, Any] = field(default_factory=dict, compare=False)

    @cached_property
    def leaves(self) -> Sequence[Leaf]:
        """The tasks of all its steps. Raises Conflict, ValueError."""
        return steps.lay_out(nesting.parts(self.job))


def of(session: Session, name: str, account: Account | None) -> Offer | None:
    """The job of this name; None where there is none that this account may see and run."""
    wanted = normal_name(name)
    if not storable(wanted):
        return None
    return once(session, ("offer", wanted, account and account.id), lambda: _looked_up(session, wanted, account))


def _looked_up(session: Session, name: str, account: Account | None) -> Offer | None:
    look = _look(access.whose(account), settings().portal_anonymous_runs)
    found = rows(session, look, {"name": name} | access.named(account))
    if not found or not found[0].seen:
        return None
    state = tuple(tuple(row)[:-1] for row in found)
    return _offer(session, found[0].id, state + _inner(session, found))


def _inner(session: Session, steps: Sequence[Any]) -> State:
    """The state of the jobs that are its steps, and of theirs."""
    found: State = ()
    known = {steps[0].id}
    while steps and (beyond := {step.subjob_id for step in steps} - known - {None}):
        known |= beyond
        steps = session.connection().execute(_INNER, {"jobs": sorted(beyond)}).all()
        found += tuple(map(tuple, steps))
    return found


def _offer(session: Session, job_id: int, state: State) -> Offer:
    key = settings().database, job_id
    with _lock:
        known = _known.get(key)
    if known is None or known.state != state:
        known = Offer(_read(session, job_id), state)
    with _lock:
        _known[key] = known
        _known.move_to_end(key)
        while len(_known) > MOST:
            _known.popitem(last=False)
    return known


def _read(session: Session, job_id: int) -> Job:
    """The job, and what it rests on, over the same connection, but in nobody's session."""
    with Session(session.connection(), expire_on_commit=False) as own:
        job = own.get_one(Job, job_id)
        catalogue.jobs_at_hand(own, [job], selectinload(TaskRevision.variables))
        own.expunge_all()
    return job


@lru_cache(maxsize=256)
def _look(whose: access.Whose, anonymous_runs: bool) -> Select[Any]:
    """Made once for each kind of account, as making it takes longer than asking it."""
    seen: ColumnElement[bool] = access.where(access.like(whose), Action.RUN_JOB)
    return _states().add_columns(seen.label("seen")).where(_job.c.name == bindparam("name"))


def _states() -> Select[Any]:
    """One row for each step: the job, its newest revision, the step's task with its newest one, and its backend."""
    revisions, saves = _revision.alias(), _saved.alias()
    newest = select(func.max(revisions.c.id)).where(revisions.c.job_id == _job.c.id).scalar_subquery()
    saved = select(func.max(saves.c.id)).where(saves.c.task_id == _task.c.id).scalar_subquery()
    return (
        select(
            *_job.c, _revision.c.id.label("revision_id"), _revision.c.created.label("revised"), _step.c.subjob_id,
            _task.c.id.label("task_id"), _task.c.name.label("task"), _saved.c.id.label("saved_id"),
            _saved.c.created.label("saved"), *_TOLD_OF_BACKENDS,
        )
        .select_from(_job)
        .outerjoin(_revision, _revision.c.id == newest)
        .outerjoin(_step, _step.c.revision_id == _revision.c.id)
        .outerjoin(_task, _task.c.id == _step.c.task_id)
        .outerjoin(_saved, _saved.c.id == saved)
        .outerjoin(_backend, _backend.c.id == _saved.c.backend_id)
        .order_by(_job.c.id, _step.c.id)
    )  # fmt: skip


_INNER = _states().where(_job.c.id.in_(bindparam("jobs", expanding=True)))
