"""The audit trail: who did what to which object, when and from where. A line is committed with its deed, or not at all.

Who acts, and from where, is found out once per request or command; services then record without being told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import cast

from sqlalchemy import ColumnElement, Select, Table, func, insert, or_, select
from sqlalchemy.orm import Session, aliased

from portal.models import Account, Audit
from portal.services.statements import tell

NOBODY = "nobody"
UNKNOWN = "an unknown name"
LOOKED_THROUGH = 5_000
LINE = insert(cast(Table, Audit.__table__)).inline()


@dataclass(frozen=True)
class Origin:
    """Who acts, from which address, and the id under which the log knows the request."""

    actor: str = NOBODY
    account_id: int | None = None
    address: str = ""
    request: str = ""


@dataclass(frozen=True)
class Wanted:
    """Which lines are looked for, newest first. `before` is the id of one; empty texts mean any."""

    actor: str = ""
    kind: str = ""
    text: str = ""
    before: int | None = None


_origin: ContextVar[Origin | None] = ContextVar("origin", default=None)


def come_from(address: str, request: str) -> None:
    """A request begins: what is recorded from now on comes from there, and from nobody yet."""
    _origin.set(Origin(address=address, request=request))


def act_as(account: Account | None) -> None:
    """What is recorded from now on is done by this account."""
    _origin.set(_acting(_present(), account))


def act_in(command: str) -> None:
    """What is recorded from now on is done by whoever has the machine, through a command."""
    _origin.set(Origin(actor=command))


def record(session: Session, action: str, kind: str, name: str, by: Account | None = None, **detail: object) -> None:
    """Add a line: this was done to the object of this kind (task, job, run ...) and name. Never give it a secret.

    `by` is who did it, where the request does not know that yet, as at signing in.
    """
    origin = _acting(_present(), by) if by else _present()
    line = {
        "actor": origin.actor[:80],
        "account_id": origin.account_id,
        "action": action,
        "kind": kind,
        "object": name[:200],
        "address": origin.address[:64],
        "request": origin.request,
        "detail": detail,
    }
    tell(session, LINE, line)


def lines(session: Session, wanted: Wanted, limit: int) -> Sequence[Audit]:
    """The wanted lines, newest first; those with a text are looked for among the newest of the others only."""
    if not wanted.text:
        return session.scalars(_newest(wanted, limit)).all()
    lately = aliased(Audit, _newest(wanted, LOOKED_THROUGH).subquery())
    has_text = or_(*(column.icontains(wanted.text, autoescape=True) for column in (lately.object, lately.action)))
    return session.scalars(select(lately).where(has_text).order_by(lately.id.desc()).limit(limit)).all()


def oldest_looked_at(session: Session, wanted: Wanted) -> int | None:
    """Where the search for a text has ended, if older lines were not looked at."""
    if not wanted.text:
        return None
    last = _newest(wanted, 1).with_only_columns(Audit.id).offset(LOOKED_THROUGH - 1)
    return session.scalar(last)


def kinds(session: Session) -> Sequence[str]:
    """The kinds of objects that there are lines of, each found by the one before it: they are few, the lines many."""
    known = select(func.min(Audit.kind).label("kind")).cte("known", recursive=True)
    following = select(func.min(Audit.kind)).where(Audit.kind > known.c.kind).scalar_subquery()
    known = known.union_all(select(following).where(known.c.kind.is_not(None)))
    return session.scalars(select(known.c.kind).where(known.c.kind.is_not(None))).all()


def _newest(wanted: Wanted, limit: int) -> Select[Audit]:
    return select(Audit).where(*_conditions(wanted)).order_by(Audit.id.desc()).limit(limit)


def _acting(origin: Origin, account: Account | None) -> Origin:
    actor, account_id = (account.name, account.id) if account else (NOBODY, None)
    return replace(origin, actor=actor, account_id=account_id)


def _present() -> Origin:
    return _origin.get() or Origin()


def _conditions(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    if wanted.actor:
        yield Audit.actor == wanted.actor
    if wanted.kind:
        yield Audit.kind == wanted.kind
    if wanted.before is not None:
        yield Audit.id < wanted.before
