"""The roster of accounts: what administrators do to them. Each change that takes something away ends the sessions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import mail
from portal.domain.drafts import Fault
from portal.domain.errors import Conflict, Invalid, NotFound
from portal.domain.policy import Role
from portal.models import Account
from portal.services import accounts, audit

LARGEST_ID = 2**31 - 1
LONGEST_EMAIL = 256
LAST = "This is the only administrator that is left: make another one first."


@dataclass(frozen=True)
class AccountDraft:
    """What an account is to be."""

    name: str
    role: Role = Role.SUBMITTER
    email: str = ""
    active: bool = True

    @classmethod
    def of(cls, account: Account) -> AccountDraft:
        return cls(account.name, account.role, account.email, account.active)


@dataclass(frozen=True)
class Made:
    """An account with its first password, which it has to change, and which nobody can read again."""

    account: Account
    password: str


def every(session: Session) -> Sequence[Account]:
    return session.scalars(select(Account).order_by(Account.name)).all()


def get(session: Session, account_id: int) -> Account:
    account = session.get(Account, account_id) if account_id <= LARGEST_ID else None
    if account is None:
        raise NotFound("There is no such account.")
    return account


def add(session: Session, by: Account | None, draft: AccountDraft) -> Made:
    """A new account. Raises Invalid naming every field that is wrong."""
    _check(draft)
    password = accounts.made_up()
    account = accounts.create(session, draft.name, password, draft.role, draft.email)
    account.must_change, account.active = True, draft.active
    audit.record(session, "made", "account", account.name, by=by, role=account.role.value)
    return Made(account, password)


def change(session: Session, by: Account | None, account: Account, draft: AccountDraft) -> None:
    """Give it another role or address, or switch it on or off; its name stays. Raises Invalid or Conflict."""
    _check(draft)
    before = AccountDraft.of(account)
    if draft.role is not Role.ADMINISTRATOR or not draft.active:
        _keep_one_administrator(session, account)
    account.role, account.email, account.active = draft.role, draft.email, draft.active
    if (before.role, before.active) != (draft.role, draft.active):
        accounts.end_sessions(session, account)
    if before.email != draft.email:
        account.reset_hash = account.reset_until = None
    changes = dict(_changes(before, AccountDraft.of(account)))
    if changes:
        audit.record(session, "changed", "account", account.name, by=by, **changes)


def renew(session: Session, by: Account | None, account: Account) -> Made:
    """A password for once, to be told to whoever has lost theirs."""
    made = Made(account, accounts.made_up())
    accounts.change_password(session, account, made.password, must_change=True)
    audit.record(session, "made a new password for", "account", account.name, by=by)
    return made


def _changes(before: AccountDraft, after: AccountDraft) -> Iterator[tuple[str, object]]:
    for name in ("role", "email", "active"):
        if getattr(before, name) != getattr(after, name):
            yield name, getattr(after, name)


def _check(draft: AccountDraft) -> None:
    if wrong := dict(_faults(draft)):
        raise Invalid(**wrong)


def _faults(draft: AccountDraft) -> Iterator[Fault]:
    if not accounts.NAME.fullmatch(draft.name):
        yield "name", "Use letters, digits and . _ @ + - for the name, 80 at most."
    if draft.email and (len(draft.email) > LONGEST_EMAIL or not mail.is_address(draft.email)):
        yield "email", "This is not one e-mail address: correct it, or leave it empty."


def _keep_one_administrator(session: Session, account: Account) -> None:
    """Two who take each other's role at one moment wait for each other here."""
    powers = Account.role == Role.ADMINISTRATOR, Account.active
    left = session.scalars(select(Account.id).where(*powers).with_for_update()).all()
    if set(left) == {account.id}:
        raise Conflict(LAST)
