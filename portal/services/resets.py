"""New passwords by mail: a link that is good once and for a short time. Only its hash is kept, made when it is sent."""

from __future__ import annotations

import hashlib
import re
import secrets

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from portal import mail, queue
from portal.database import now, transaction
from portal.domain.errors import NotFound
from portal.models import Account, Letter
from portal.services import accounts, audit
from portal.settings import settings

DAY = 86_400
GOOD_SECONDS = 900
PAUSE_SECONDS = 300
MOST_A_DAY = 5
MOST_OF_ONE_ADDRESS = 5
SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
OVER = "This link is not good any more: it is good once, for 15 minutes. Ask for a new one."
SUBJECT = "A new password"


def ask(session: Session, who: str) -> None:
    """Write to the account of this name, or to those of this e-mail address. Nobody learns whether there is one."""
    with transaction(session) as writing:
        found = _of(writing, who)
        for account in found:
            write(writing, account)
        names = ", ".join(each.name for each in found)
        audit.record(writing, "asked for a new password", "account", names or audit.UNKNOWN)


def reaches(account: Account) -> bool:
    """Whether a letter could set an account's password; accounts of the identity provider have theirs there."""
    return bool(mail.on() and account.active and account.email and not account.subject)


def write(session: Session, account: Account) -> bool:
    """Put a letter into the outbox; not while one is on its way or has just gone, nor after a few on one day."""
    if not reaches(account) or not _may_have_one(session, account):
        return False
    session.add(Letter(account_id=account.id))
    queue.say(session, "tell")
    return True


def _may_have_one(session: Session, account: Account) -> bool:
    mine = select(func.count(Letter.id)).where(Letter.account_id == account.id)
    fresh = or_(Letter.sent.is_(None) & (Letter.due < now(DAY)), Letter.sent > now(-PAUSE_SECONDS))
    if session.scalars(mine.where(fresh)).one():
        return False
    return session.scalars(mine.where(Letter.sent > now(-DAY))).one() < MOST_A_DAY


def new_link(account_id: int) -> str:
    """A link for an account, as it is mailed now; one that was mailed before is good for nothing from here on."""
    secret = secrets.token_urlsafe(32)
    with transaction() as session:
        kept = {"reset_hash": _hash(secret), "reset_until": now(GOOD_SECONDS)}
        session.execute(update(Account).where(Account.id == account_id).values(**kept))
    return f"{settings().address}/reset/{secret}"


def letter(account: Account, link: str) -> str:
    return (
        f"Somebody, you we hope, asked for a new password for the account {account.name} of Analytics Automated.\n\n"
        f"{link}\n\n"
        "The link is good once, for 15 minutes. If it was not you, do nothing: your password stays as it is.\n\n"
        "Analytics Automated\n"
    )


def of(session: Session, secret: str) -> Account:
    """Whose link this is. Raises NotFound when it is nobody's any more."""
    good = Account.reset_hash == _hash(secret), Account.reset_until > now(), Account.active
    account = session.scalar(select(Account).where(*good).with_for_update()) if SECRET.fullmatch(secret) else None
    if account is None:
        raise NotFound(OVER)
    return account


def use(session: Session, secret: str, password: str) -> None:
    """Set a new password by a link, which is used up by that. Raises NotFound or Invalid."""
    account = of(session, secret)
    accounts.change_password(session, account, password)
    audit.record(session, "set a password by mail", "account", account.name, by=account)


def _of(session: Session, who: str) -> list[Account]:
    """Accounts of the identity provider have their passwords there."""
    if not who.isprintable():
        return []
    name_or_address = or_(Account.name == who, func.lower(Account.email) == who.lower())
    able = Account.active, Account.subject.is_(None), Account.email != ""
    found = select(Account).where(name_or_address, *able).order_by(Account.id).limit(MOST_OF_ONE_ADDRESS)
    return list(session.scalars(found))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
