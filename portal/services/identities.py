"""Accounts of people whom the identity provider knows: found by issuer and subject alone, made at their first visit."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from itertools import count

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal import mail
from portal.database import transaction
from portal.domain.errors import NotAllowed
from portal.domain.policy import Role
from portal.models import Account
from portal.provider import REFUSED, Identity
from portal.services import accounts, audit

LONGEST_KEY = 400
LONGEST_NAME = 70
LONGEST_EMAIL = 256
NAMELESS = "person"


def account_of(session: Session, identity: Identity, role: Role) -> Account:
    """The account of this identity, a new one with this role if need be. Raises NotAllowed for one that is closed.

    An account of the same name or e-mail address is somebody else's: anybody can claim those at a provider.
    """
    if len(identity.key) > LONGEST_KEY:
        raise NotAllowed(REFUSED)
    account = _known(session, identity) or _made(session, identity, role)
    if not account.active:
        raise NotAllowed(REFUSED)
    return account


def _known(session: Session, identity: Identity) -> Account | None:
    return session.scalar(select(Account).where(Account.subject == identity.key))


def _made(session: Session, identity: Identity, role: Role) -> Account:
    """Two new people, or two browsers of one, may come at one instant: the second looks again."""
    try:
        with transaction(session) as writing:
            account = accounts.create(writing, _free_name(writing, identity), secrets.token_urlsafe(32), role)
            account.subject = identity.key
            account.email = identity.email if _is_kept(identity.email) else ""
            audit.record(writing, "made", "account", account.name, by=account, role=role.value, with_an="identity")
        return account
    except IntegrityError:
        return _known(session, identity) or _made(session, identity, role)


def _is_kept(email: str) -> bool:
    return len(email) <= LONGEST_EMAIL and mail.is_address(email)


def _free_name(session: Session, identity: Identity) -> str:
    return next(name for name in _names(identity.name) if not accounts.is_taken(session, name))


def _names(wished: str) -> Iterator[str]:
    """The wished name as far as it can be one; then the same with a number."""
    name = re.sub(r"[^A-Za-z0-9._@+-]+", "-", wished)[:LONGEST_NAME].strip("-") or NAMELESS
    yield name
    for number in count(2):
        yield f"{name}-{number}"
