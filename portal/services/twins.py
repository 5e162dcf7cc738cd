"""One name, one thing: no second task, job or backend is made whose name people would read as that of another.

Who makes one waits for whoever makes another of its kind, so that two at one instant do not pass each other.
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.database import is_postgresql
from portal.domain.names import as_read
from portal.models import Backend, Job, Task

Thing = Backend | Job | Task


def refusal(session: Session, kind: type[Thing], name: str, own: Thing | None) -> str | None:
    """Why a thing of this kind cannot be given this name, or None. One that bears it already keeps it."""
    if own is not None and own.name == name:
        return None
    _wait_for_others(session, kind)
    taken = _taken(session, kind, name, own)
    if taken is None:
        return None
    word = kind.__name__.lower()
    if taken == name:
        return f"A {word} of this name exists: choose another."
    return f"There is a {word} whose name reads alike: choose another."


def _taken(session: Session, kind: type[Thing], name: str, own: Thing | None) -> str | None:
    alike = as_read(name)
    others = session.execute(select(kind.id, kind.name)).all()
    return next((each for number, each in others if as_read(each) == alike and (not own or number != own.id)), None)


def _wait_for_others(session: Session, kind: type[Thing]) -> None:
    """SQLite has one writer at a time anyway."""
    if is_postgresql(session):
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"names of {kind.__tablename__}"))))
