"""Sharing: the groups that may use a task or a job, the groups and accounts that may see a run; all of it audited."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, select
from sqlalchemy import delete as removal
from sqlalchemy.orm import Session

from portal.domain.errors import Invalid, NotFound
from portal.domain.policy import Action
from portal.domain.texts import storable
from portal.models import Account, Group, Job, Membership, Share, Submission, Task
from portal.services import access, audit
from portal.services.access import SHARED, Thing
from portal.services.accounts import NAME

MOST = 100
CHANGING: dict[type[Thing], Action] = {Task: Action.CHANGE_TASK, Job: Action.CHANGE_JOB}
KINDS: dict[type[Thing], str] = {Task: "task", Job: "job", Submission: "run"}


def groups_for(session: Session, account: Account) -> Sequence[Group]:
    """The groups that somebody can share things with: their own; who writes services, every one."""
    every = select(Group).order_by(Group.name)
    if not access.may(account, Action.SEE_GROUPS):
        every = every.where(Group.id.in_(select(Membership.group_id).where(Membership.account_id == account.id)))
    return session.scalars(every).all()


def groups_of(session: Session, thing: Task | Job) -> tuple[str, ...]:
    """The names of the groups that it is shared with."""
    things: Any = [thing]
    return groups_by_thing(session, things).get(thing.id, ())


def groups_by_thing(session: Session, things: Sequence[Task] | Sequence[Job]) -> Mapping[int, tuple[str, ...]]:
    """The same for many of one kind, by their ids, in one look."""
    if not things:
        return {}
    column = SHARED[type(things[0])]
    found: dict[int, tuple[str, ...]] = defaultdict(tuple)
    thing_id = cast(ColumnElement[int], column)
    rows = select(thing_id, Group.name).join(Share.group).where(column.in_([each.id for each in things]))
    for number, name in session.execute(rows.order_by(Group.name)):
        found[number] += (name,)
    return found


def shown_groups(session: Session, things: Sequence[Task] | Sequence[Job], account: Account) -> dict[int, list[str]]:
    """The same for a list: whoever may change a thing is told all its groups, others those that they are in."""
    found = groups_by_thing(session, things)
    own = {each.name for each in account.groups}
    mine = access.among(session, account, CHANGING[type(things[0])], things) if things else set()
    return {each.id: [name for name in found.get(each.id, ()) if each.id in mine or name in own] for each in things}


def fault(session: Session, groups: Sequence[str] | None) -> str | None:
    """What is wrong with the names of groups that a thing is to be shared with; None: it stays as it is."""
    if len(groups or ()) > MOST:
        return f"Share with {MOST} groups at most."
    known = set(session.scalars(select(Group.name).where(Group.name.in_(filter(storable, groups or ())))))
    unknown = [name for name in groups or () if name not in known]
    return f"There is no group {unknown[0][:40]}: choose one of the groups." if unknown else None


def with_groups(session: Session, thing: Task | Job, groups: Sequence[str] | None) -> None:
    """Share a task or a job with just these groups; None leaves it as it is."""
    if groups is None or set(groups) == set(groups_of(session, thing)):
        return
    column = SHARED[type(thing)]
    session.execute(removal(Share).where(column == thing.id, Share.group_id.is_not(None)))
    for number in session.scalars(select(Group.id).where(Group.name.in_(groups))):
        session.add(Share(**{column.key: thing.id}, group_id=number))
    session.flush()


def told(session: Session, thing: Task | Job) -> dict[str, object]:
    """How open a thing is, as the audit trail has it."""
    links = {"open_links": thing.open_links} if isinstance(thing, Job) else {}
    return {"public": thing.public, **links, "groups": list(groups_of(session, thing))}


def record(session: Session, thing: Task | Job, before: dict[str, object], actor: Account | None) -> None:
    """Note in the audit trail that a thing was shared otherwise; `before` is what was `told` then, {} of a new one."""
    now = told(session, thing)
    if now != before and (before or any(now.values())):
        audit.record(session, "shared", KINDS[type(thing)], thing.name, by=actor, **now)


def of_run(session: Session, submission: Submission) -> Sequence[Share]:
    """Whom a run is shared with."""
    return session.scalars(select(Share).where(Share.submission_id == submission.id).order_by(Share.id)).all()


def share_run(session: Session, submission: Submission, name: str, group: str, actor: Account) -> str:
    """Let an account, or else a group, see a run; gives its name. Raises Invalid(account=... or group=...)."""
    whom = _account(session, name) if name else _group(session, group, actor)
    known = of_run(session, submission)
    if len(known) >= MOST:
        raise Invalid(account=f"A run is shared with {MOST} accounts and groups at most: take some out.")
    if whom not in [each.account or each.group for each in known]:
        share = Share(submission_id=submission.id)
        share.account, share.group = (whom, None) if isinstance(whom, Account) else (None, whom)
        session.add(share)
        audit.record(session, "shared", "run", submission.uuid, by=actor, **_said(whom))
    return whom.name


def unshare_run(session: Session, submission: Submission, share_id: int, actor: Account) -> str:
    """Take a share of a run back; gives the name of whom it was shared with. Raises NotFound."""
    share = next((each for each in of_run(session, submission) if each.id == share_id), None)
    whom = (share.account or share.group) if share else None
    if share is None or whom is None:
        raise NotFound("This run is not shared so any more.")
    session.delete(share)
    audit.record(session, "stopped sharing", "run", submission.uuid, by=actor, **_said(whom))
    return whom.name


def _said(whom: Account | Group) -> dict[str, str]:
    return {"with_account" if isinstance(whom, Account) else "with_group": whom.name}


def _account(session: Session, name: str) -> Account:
    wanted = select(Account).where(Account.name == name, Account.active)
    account = session.scalar(wanted) if NAME.fullmatch(name) else None
    if account is None:
        raise Invalid(account=f"There is no account {name[:80]}: give its exact name.")
    return account


def _group(session: Session, name: str, actor: Account) -> Group:
    group = next((each for each in groups_for(session, actor) if each.name == name), None)
    if group is None:
        raise Invalid(group="Give the name of an account, or choose a group.")
    return group
