"""Groups: accounts that things are shared with together. Administrators keep them; the audit trail tells how."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from portal.domain.drafts import Fault
from portal.domain.errors import Invalid, NotFound
from portal.domain.names import check_name, normal_name
from portal.models import Account, Group
from portal.services import audit
from portal.services.accounts import NAME

MOST_MEMBERS = 5_000
LARGEST_ID = 2**31 - 1


@dataclass(frozen=True)
class GroupDraft:
    """What a group is to be: its name, and the names of the accounts in it."""

    name: str
    members: tuple[str, ...] = ()


def every(session: Session) -> Sequence[Group]:
    return session.scalars(select(Group).options(selectinload(Group.members)).order_by(Group.name)).all()


def get(session: Session, group_id: int) -> Group:
    group = session.get(Group, group_id) if group_id <= LARGEST_ID else None
    if group is None:
        raise NotFound("There is no such group.")
    return group


def save(session: Session, draft: GroupDraft, actor: Account, group: Group | None = None) -> Group:
    """Make a group, or change one. Raises Invalid naming every field that is wrong."""
    draft = GroupDraft(normal_name(draft.name), tuple(dict.fromkeys(draft.members)))
    members = _members(session, draft)
    wrong = dict(_faults(session, draft, {each.name for each in members}, group))
    if wrong:
        raise Invalid(**wrong)
    before = _said(group) if group else None
    group = group or Group()
    group.name, group.members = draft.name, list(members)
    session.add(group)
    session.flush()
    _record(session, actor, group, before)
    return group


def delete(session: Session, group: Group, actor: Account) -> None:
    """What was shared with it is shared with nobody by it any more."""
    audit.record(session, "deleted", "group", group.name, by=actor)
    session.delete(group)


def _members(session: Session, draft: GroupDraft) -> Sequence[Account]:
    names = [name for name in draft.members if NAME.fullmatch(name)]
    return session.scalars(select(Account).where(Account.name.in_(names[:MOST_MEMBERS]))).all()


def _faults(session: Session, draft: GroupDraft, known: set[str], group: Group | None) -> Iterator[Fault]:
    if reason := check_name(draft.name):
        yield "name", reason
    elif session.scalar(select(Group).where(Group.name == draft.name, Group.id != (group.id if group else 0))):
        yield "name", "A group of this name exists: choose another."
    if len(draft.members) > MOST_MEMBERS:
        yield "members", f"A group has at most {MOST_MEMBERS:,} members: make several groups."
    elif unknown := [name for name in draft.members if name not in known]:
        yield "members", f"There is no account {unknown[0][:80]}: give the names of accounts, one a line."


def _said(group: Group) -> dict[str, object]:
    return {"group": group.name, "members": sorted(each.name for each in group.members)}


def _record(session: Session, actor: Account, group: Group, before: dict[str, object] | None) -> None:
    if before is None:
        audit.record(session, "made", "group", group.name, by=actor, **_said(group))
    elif before != _said(group):
        audit.record(session, "changed", "group", group.name, by=actor, now=_said(group), before=before)
