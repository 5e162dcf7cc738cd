"""Accounts: making them, and finding out who is at the door."""

from __future__ import annotations

import re
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.domain.errors import Invalid, NotAllowed, NotFound
from portal.domain.policy import Role
from portal.models import Account

hasher = PasswordHasher()
NAME = re.compile(r"[A-Za-z0-9._@+-]{1,80}")
SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 1000
REFUSAL = "The name or the password is wrong."
_nobody = hasher.hash(secrets.token_hex(16))


def create(session: Session, name: str, password: str, role: Role, email: str = "") -> Account:
    """A new account. Raises Invalid(name=..., password=...)."""
    if not NAME.fullmatch(name):
        raise Invalid(name="Use letters, digits and . _ @ + - for the name, 80 at most.")
    if session.scalar(select(Account).where(Account.name == name)):
        raise Invalid(name="This name is taken: choose another.")
    _check_password(password)
    account = Account(name=name, email=email, role=role, password_hash=hasher.hash(password), session_key=_new_key())
    session.add(account)
    session.flush()
    return account


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


def change_password(session: Session, account: Account, password: str) -> None:
    """Give an account a new password; its sessions end. Raises Invalid(password=...)."""
    _check_password(password)
    account.password_hash = hasher.hash(password)
    end_sessions(session, account)


def by_session_key(session: Session, key: str) -> Account | None:
    return session.scalar(select(Account).where(Account.session_key == key, Account.active))


def end_sessions(session: Session, account: Account) -> None:
    """Sign the account out everywhere: a cookie that somebody kept is worth nothing from now on."""
    account.session_key = _new_key()


def _check_password(password: str) -> None:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise Invalid(password=f"Use a password of {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters.")


def _matches(password_hash: str, password: str) -> bool:
    try:
        return len(password) <= LONGEST_PASSWORD and hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def _new_key() -> str:
    return secrets.token_urlsafe(32)
