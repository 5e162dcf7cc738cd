"""Signing in with a password: throttled by account and by address, audited, and telling nothing of accounts."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.errors import NotAllowed
from portal.models import Account
from portal.services import accounts, audit, throttle
from portal.services.throttle import Culprit
from portal.settings import settings

NOT_YOURS = "This account has a password that somebody else made: set a new one on the portal's pages first."
ONLY_PROVIDER = "This portal takes no passwords: sign in with the identity provider; programs use tokens."


def by_password(session: Session, name: str, password: str, address: str) -> Account:
    """Who has this name and password. Raises NotAllowed, or TooMany where it was tried too often."""
    if settings().portal_oidc_only:
        raise NotAllowed(ONLY_PROVIDER)
    culprits = (throttle.of_name(name), throttle.of_address(address))
    throttle.check(culprits)
    try:
        account = accounts.authenticate(session, name, password)
    except NotAllowed:
        _note_failure(session, name, culprits)
        raise
    throttle.forgive(culprits[0])
    return account


def welcome(session: Session, account: Account, way: str, password: str = "") -> None:
    """Note that somebody begins a session; a right password is kept the safer if it can be."""
    with transaction(session) as writing:
        audit.record(writing, "signed in", "account", account.name, by=account, with_a=way)
        if password:
            accounts.keep_well(account, password)


def _note_failure(session: Session, name: str, culprits: Sequence[Culprit]) -> None:
    """Only names of accounts are written down: in its place somebody may have typed a password."""
    throttle.count(culprits)
    with transaction(session) as writing:
        known = accounts.NAME.fullmatch(name) and writing.scalar(select(Account.name).where(Account.name == name))
        audit.record(writing, "failed to sign in", "account", known or audit.UNKNOWN)
