"""Secrets: made, replaced, deleted, and given to runs; their values come out of here for a run's environment only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from portal import sealing
from portal.database import now
from portal.domain.drafts import Fault, TaskDraft
from portal.domain.errors import Conflict, Invalid, NotFound
from portal.domain.policy import Action
from portal.domain.texts import storable
from portal.domain.work import Work
from portal.models import Account, Secret, Task, TaskRevision, Variable
from portal.services import audit

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,119}")
SHORTEST_VALUE = 6
LONGEST_VALUE = 10_000


def visible(session: Session, account: Account) -> Sequence[Secret]:
    """Those that the account may use: its own; an administrator, all."""
    every = select(Secret).order_by(Secret.name)
    mine = every if account.may(Action.USE_ALL_SECRETS) else every.where(Secret.owner_id == account.id)
    return session.scalars(mine).all()


def get(session: Session, account: Account, name: str) -> Secret:
    """Raises NotFound, for somebody else's as for one that is not there."""
    secret = _named(session, name)
    if secret is None or not _may_use(account, secret):
        raise NotFound("There is no such secret.")
    return secret


def make(session: Session, account: Account, name: str, value: str) -> Secret:
    """Raises Invalid(name=..., value=...)."""
    wrong = {"name": _name_fault(session, name), "value": _value_fault(value)}
    if found := {field: reason for field, reason in wrong.items() if reason}:
        raise Invalid(**found)
    secret = Secret(name=name, owner_id=account.id, value=sealing.seal(value))
    session.add(secret)
    audit.record(session, "made", "secret", name, by=account)
    session.flush()
    return secret


def replace(session: Session, account: Account, secret: Secret, value: str) -> None:
    """Runs that begin from now on get the new value. Raises Invalid(value=...)."""
    if reason := _value_fault(value):
        raise Invalid(value=reason)
    secret.value, secret.changed = sealing.seal(value), now()
    audit.record(session, "replaced", "secret", secret.name, by=account)


def delete(session: Session, account: Account, secret: Secret) -> None:
    """Raises Conflict while a task's current revision names it."""
    session.refresh(secret, with_for_update=True)
    if using := users(session).get(secret.name):
        raise Conflict(f"The secret {secret.name} is used by {', '.join(using)}: take it out there first.")
    session.delete(secret)
    audit.record(session, "deleted", "secret", secret.name, by=account)


def users(session: Session) -> dict[str, list[str]]:
    """By a secret's name, the tasks whose current revision names it."""
    other = aliased(TaskRevision)
    newest = select(func.max(other.number)).where(other.task_id == Task.id).scalar_subquery()
    naming = (
        select(Variable.secret, Task.name)
        .join(TaskRevision, TaskRevision.id == Variable.revision_id)
        .join(Task, Task.id == TaskRevision.task_id)
        .where(Variable.secret != "", TaskRevision.number == newest)
        .order_by(Task.name)
    )
    found: dict[str, list[str]] = {}
    for secret, task in session.execute(naming.distinct()):
        found.setdefault(secret, []).append(task)
    return found


def faults(session: Session, draft: TaskDraft, author: Account | None) -> Iterator[Fault]:
    """The secrets of a draft that its author (None: the portal itself) may not use; those used stay meanwhile."""
    for index, (_, name) in enumerate(draft.secrets, len(draft.variables)):
        secret = _named(session, name, lock=True)
        if secret is None or not (author is None or _may_use(author, secret)):
            yield f"variables-{index}-secret", f"You have no secret {name[:120]!r}: make it first, or choose another."


def rotate(session: Session) -> int:
    """Seal every secret anew, with the first key; how many there are. Raises NoKey, then nothing is changed."""
    every = session.scalars(select(Secret).with_for_update()).all()
    for secret in every:
        secret.value = sealing.sealed_anew(secret.value)
    return len(every)


def sealed_for(session: Session, work: Work) -> dict[str, str]:
    """The encrypted values for a run, by variable. Raises NotFound naming the one that is gone.

    One of the same name that was made after the task was saved is another one, and may be another person's.
    """
    return {variable: _meant(session, variable, name, work.saved).value for variable, name in work.secrets.items()}


def opened(sealed: Mapping[str, str]) -> dict[str, str]:
    """The values themselves. Raises NoKey."""
    return {variable: sealing.opened(value) for variable, value in sealed.items()}


def _meant(session: Session, variable: str, name: str, saved: str) -> Secret:
    secret = _named(session, name)
    if secret is None:
        raise NotFound(f"The secret {name}, which its variable {variable} needs, is not there any more")
    if secret.created > datetime.fromisoformat(saved):
        raise NotFound(f"The secret {name}, which its variable {variable} needs, was made anew: save the task again")
    return secret


def _named(session: Session, name: str, lock: bool = False) -> Secret | None:
    found = select(Secret).where(Secret.name == name)
    return session.scalar(found.with_for_update() if lock else found) if storable(name) else None


def _may_use(account: Account, secret: Secret) -> bool:
    return secret.owner_id == account.id or account.may(Action.USE_ALL_SECRETS)


def _name_fault(session: Session, name: str) -> str | None:
    if not NAME.fullmatch(name):
        return "Use letters, digits and _ . - for the name, 120 at most, with a letter or digit first."
    return "This name is taken: choose another." if _named(session, name) else None


def _value_fault(value: str) -> str | None:
    if not storable(value):
        return "A character in the value, such as NUL, cannot be kept: take it out."
    if not SHORTEST_VALUE <= len(value) <= LONGEST_VALUE:
        return f"Give a value of {SHORTEST_VALUE} to {LONGEST_VALUE} characters: a shorter one cannot be masked."
    return None
