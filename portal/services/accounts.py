"""Accounts: making them, and finding out who is at the door."""

from __future__ import annotations

import re
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from portal.database import now
from portal.domain import passwords
from portal.domain.errors import Invalid, NotAllowed, NotFound
from portal.domain.policy import Role
from portal.models import Account, Token

hasher = PasswordHasher()
NAME = re.compile(r"[A-Za-z0-9._@+-]{1,80}")
REFUSAL = "The name or the password is wrong."
_nobody = hasher.hash(secrets.token_hex(16))


def create(session: Session, name: str, password: str, role: Role, email: str = "") -> Account:
    """A new account. Raises Invalid(name=..., password=...)."""
    if not NAME.fullmatch(name):
        raise Invalid(name="Use letters, digits and . _ @ + - for the name, 80 at most.")
    if is_taken(session, name):
        raise Invalid(name="This name is taken: choose another.")
    _check_password(password, name)
    account = Account(name=name, email=email, role=role, password_hash=hasher.hash(password), session_key=_new_key())
    session.add(account)
    session.flush()
    return account


def is_taken(session: Session, name: str) -> bool:
    """Whether an account has this name, or one that differs in capitals only."""
    return session.scalar(select(Account.id).where(func.lower(Account.name) == name.lower())) is not None


def authenticate(session: Session, name: str, password: str) -> Account:
    """The account of this name and password. The refusal, and the time it takes, tell nothing about which was wrong."""
    account = session.scalar(select(Account).where(Account.name == name)) if NAME.fullmatch(name) else None
    right = _matches(account.password_hash if account else _nobody, password)
    if account is None or not account.active or not right:
        raise NotAllowed(REFUSAL)
    return account


def named(session: Session, name: str) -> Account:
    account = session.scalar(select(Account).where(Account.name == name))
    if account is None:
        raise NotFound(f"There is no account {name}.")
    return account


def change_password(session: Session, account: Account, password: str, must_change: bool = False) -> None:
    """Give an account a new password. What anybody could have of the old one dies: sessions, tokens, mailed links.

    Raises Invalid(password=...).
    """
    _check_password(password, account.name)
    account.password_hash = hasher.hash(password)
    account.must_change = must_change
    account.reset_hash = account.reset_until = None
    end_sessions(session, account)
    mine = Token.account_id == account.id, Token.revoked.is_(None)
    session.execute(update(Token).where(*mine).values(revoked=now()))


def keep_well(account: Account, password: str) -> None:
    """Hash a right password anew, where its hash is weaker than what is usual now."""
    if hasher.check_needs_rehash(account.password_hash):
        account.password_hash = hasher.hash(password)


def by_session_key(session: Session, key: str) -> Account | None:
    return session.scalar(select(Account).where(Account.session_key == key, Account.active))


def end_sessions(session: Session, account: Account) -> None:
    """Sign the account out everywhere: a cookie that somebody kept is worth nothing from now on."""
    account.session_key = _new_key()


def made_up() -> str:
    """A password for once, to be told to somebody."""
    return secrets.token_urlsafe(12)


def _check_password(password: str, name: str) -> None:
    if reason := passwords.fault(password, name):
        raise Invalid(password=reason)


def _matches(password_hash: str, password: str) -> bool:
    try:
        return len(password) <= passwords.LONGEST and hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def _new_key() -> str:
    return secrets.token_urlsafe(32)
