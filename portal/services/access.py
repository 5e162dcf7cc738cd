"""Who may do what to which thing: the policy's ties, asked of the database. The one place that pages and API ask.

Each tie is a condition in SQL, so that a list shows just the things that can be opened one by one. Only a run that is
open to whoever has its link stands in no list: its address is its key.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, TypeVar, cast

from sqlalchemy import ColumnElement, Integer, and_, bindparam, false, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session, object_session

from portal.domain import policy
from portal.domain.errors import NotAllowed, NotFound
from portal.domain.policy import Action, Role, Tie
from portal.models import Account, Job, Membership, Share, Submission, Task
from portal.settings import settings

Thing = Task | Job | Submission
Whose = tuple[Role, bool] | None
Seen = TypeVar("Seen", Task, Job, Submission)

SUBJECTS: dict[Action, type[Thing]] = {
    Action.USE_TASK: Task,
    Action.CHANGE_TASK: Task,
    Action.RUN_JOB: Job,
    Action.CHANGE_JOB: Job,
    Action.SEE_RUN: Submission,
    Action.CHANGE_RUN: Submission,
}
SEEING: dict[type[Thing], Action] = {
    Task: Action.USE_TASK,
    Job: Action.RUN_JOB,
    Submission: Action.SEE_RUN,
}
SHARED: dict[type[Thing], InstrumentedAttribute[int | None]] = {
    Task: Share.task_id,
    Job: Share.job_id,
    Submission: Share.submission_id,
}


def whose(account: Account | None) -> Whose:
    """All of an account, but for its id, that its conditions hang on: a statement is made once for all that are so."""
    return (account.role, account.active) if account else None


def like(whose: Whose) -> Account | None:
    """An account for which the conditions are the same, with a place for the id."""
    return Account(id=bindparam("account", type_=Integer()), role=whose[0], active=whose[1]) if whose else None


def named(account: Account | None) -> dict[str, int]:
    """What comes in that place."""
    return {"account": account.id} if account else {}


def may(account: Account | None, action: Action, thing: Thing | None = None) -> bool:
    """Whether somebody (None: nobody who is signed in) may do this, to this thing."""
    if policy.may(_role(account), action):
        return True
    if thing is None:
        return False
    model: Any = SUBJECTS[action]
    allowed = select(model.id).where(model.id == thing.id, where(account, action))
    return cast(Session, object_session(thing)).scalar(allowed) is not None


def among(session: Session, account: Account | None, action: Action, things: Sequence[Thing]) -> set[int]:
    """The ids of those of these things that somebody may do this to, in one look."""
    model: Any = SUBJECTS[action]
    wanted = model.id.in_([each.id for each in things])
    return set(session.scalars(select(model.id).where(wanted, where(account, action))))


def check(account: Account | None, action: Action, thing: Thing) -> None:
    """Raises NotAllowed. What somebody may not even see is asked for by `shown` before."""
    if not may(account, action, thing):
        raise NotAllowed(f"Only its owner, or an administrator, may {action}.")


def shown(account: Account | None, thing: Seen | None, missing: str) -> Seen:
    """The thing, if somebody may see it. Raises NotFound with the sentence that is said of what is not there."""
    if thing is None or not may(account, SEEING[type(thing)], thing):
        raise NotFound(missing)
    return thing


def names(account: Account | None, jobs: Sequence[Job]) -> str:
    """What these jobs are called, for somebody (None: whoever has the machine); what they may not see has no name."""
    seen = [job.name for job in jobs if account is None or may(account, Action.RUN_JOB, job)]
    return ", ".join([*seen, *(["jobs of others"] if len(seen) < len(jobs) else [])])


def where(account: Account | None, action: Action) -> ColumnElement[bool]:
    """The things that somebody may do this to, as a condition on their table."""
    return _tied(account, SUBJECTS[action], policy.ties(_role(account), action))


def listed_runs(account: Account) -> list[ColumnElement[bool]]:
    """The submissions that somebody's lists show: their own, and those that were shared with them. Each way in one
    condition, as a database finds the newest of one way at once, and of several together only by looking at all."""
    ties = policy.ties(_role(account), Action.SEE_RUN)
    return [_tied(account, Submission, {tie}) for tie in (Tie.ANY, Tie.OWN, Tie.SHARED) if tie in ties]


def _role(account: Account | None) -> Role | None:
    return account.role if account and account.active else None


def _tied(account: Account | None, model: type[Thing], ties: Collection[Tie]) -> ColumnElement[bool]:
    if Tie.ANY in ties:
        return true()
    return or_(false(), *(condition(account, model) for tie, condition in _CONDITIONS.items() if tie in ties))


def _owned(account: Account | None, model: type[Thing]) -> ColumnElement[bool]:
    if account is None:
        return false()
    if model is Submission:
        return Submission.account_id == account.id
    return cast(type[Task], model).owner_id == account.id


def _shared(account: Account | None, model: type[Thing]) -> ColumnElement[bool]:
    if account is None:
        return false()
    groups = select(Membership.group_id).where(Membership.account_id == account.id)
    with_them = or_(Share.account_id == account.id, Share.group_id.in_(groups))
    things = select(SHARED[model]).where(SHARED[model].is_not(None), with_them)
    return cast(type[Task], model).id.in_(things)


def _open(account: Account | None, model: type[Thing]) -> ColumnElement[bool]:
    if model is Submission:
        by_job = Submission.job_id.in_(select(Job.id).where(Job.open_links))
        return or_(by_job, and_(Submission.job_id.is_(None), Submission.open_link))
    if model is Job and account is None:
        return _open_to_nobody()
    return cast(type[Task], model).public.is_(True)


def _open_to_nobody() -> ColumnElement[bool]:
    """Who has no account finds a run again by its link only, so that a job without open links is not for them."""
    return and_(Job.public, Job.open_links) if settings().portal_anonymous_runs else false()


_CONDITIONS = {Tie.OWN: _owned, Tie.SHARED: _shared, Tie.OPEN: _open}
