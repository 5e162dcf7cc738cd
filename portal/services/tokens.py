"""Tokens: secrets that programs sign in with. Each is shown once, when it is made; only its hash is kept."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from portal.database import now, transaction
from portal.domain.drafts import Fault
from portal.domain.errors import Invalid, NotFound
from portal.domain.policy import Action
from portal.domain.scopes import ONE_JOB, SCOPES
from portal.models import Account, Token
from portal.services import access, audit, jobs

SECRET = re.compile(r"aa_[A-Za-z0-9_-]{43}")
LONGEST_NAME = 80
MOST = 100
MOST_SCOPES = 50
LONGEST_DAYS = 3650
USE_SECONDS = 60
LARGEST_ID = 2**31 - 1


@dataclass(frozen=True)
class TokenDraft:
    """What a token is to be; it is good for so many days, or until it is revoked."""

    name: str
    scopes: tuple[str, ...]
    days: int | None = None


@dataclass(frozen=True)
class Made:
    """A new token with its secret, which nobody can read again."""

    token: Token
    secret: str


def create(session: Session, account: Account, draft: TokenDraft) -> Made:
    """Raises Invalid naming every field that is wrong."""
    wrong = dict(_faults(session, account, draft))
    if wrong:
        raise Invalid(**wrong)
    secret = f"aa_{secrets.token_urlsafe(32)}"
    token = Token(
        account=account,
        name=draft.name,
        secret_hash=_hash(secret),
        scopes=list(dict.fromkeys(draft.scopes)),
        expires=now(draft.days * 86_400) if draft.days else None,
    )
    session.add(token)
    session.flush()
    audit.record(session, "made", "token", token.name, by=account, scopes=token.scopes, days=draft.days)
    return Made(token, secret)


def find(session: Session, secret: str) -> Token | None:
    """The token of this secret, if it is good for anything now."""
    if not SECRET.fullmatch(secret):
        return None
    good = (Token.revoked.is_(None), or_(Token.expires.is_(None), Token.expires > now()), Account.active)
    return session.scalar(select(Token).join(Token.account).where(Token.secret_hash == _hash(secret), *good))


def note_use(session: Session, token: Token) -> None:
    """Remember that it was used, to the minute, with a line in the audit trail; a database too busy for that refuses
    nobody."""
    stale = or_(Token.last_used.is_(None), Token.last_used < now(-USE_SECONDS))
    if session.scalar(select(Token.id).where(Token.id == token.id, stale)) is None:
        return
    with suppress(DBAPIError), transaction(session):
        session.execute(update(Token).where(Token.id == token.id).values(last_used=now()))
        audit.record(session, "used", "token", token.name, by=token.account)


def of_account(session: Session, account: Account) -> Sequence[Token]:
    """The account's tokens, newest first, without those that were revoked."""
    return session.scalars(select(Token).where(*_own(account)).order_by(Token.id.desc())).all()


def revoke(session: Session, account: Account, token_id: int) -> None:
    """From now on it is good for nothing. Raises NotFound for one that is not the account's, or was revoked."""
    wanted = select(Token).where(Token.id == token_id, *_own(account))
    token = session.scalar(wanted) if token_id <= LARGEST_ID else None
    if token is None:
        raise NotFound("There is no such token.")
    token.revoked = now()
    audit.record(session, "revoked", "token", token.name, by=account)


def possible_scopes(session: Session, account: Account) -> dict[str, str]:
    """Every scope that a token of the account can have, with what it says."""
    own = {f"{ONE_JOB}{job.name}": f"Only run {job.name}" for job in jobs.seen_by(session, account)}
    return {**SCOPES, **own}


def _own(account: Account) -> tuple[ColumnElement[bool], ...]:
    return Token.account_id == account.id, Token.revoked.is_(None)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _faults(session: Session, account: Account, draft: TokenDraft) -> Iterator[Fault]:
    if not draft.name.strip():
        yield "name", "Name the token after what uses it."
    elif len(draft.name) > LONGEST_NAME or not draft.name.isprintable():
        yield "name", f"Use at most {LONGEST_NAME} characters that can be seen for the name."
    if reason := _scope_fault(session, account, draft.scopes):
        yield "scopes", reason
    if draft.days is not None and not 1 <= draft.days <= LONGEST_DAYS:
        yield "days", f"Give 1 to {LONGEST_DAYS:,} days, or leave it empty."
    if session.scalars(select(func.count(Token.id)).where(*_own(account))).one() >= MOST:
        yield "name", f"You have {MOST} tokens: revoke some that are not used any more."


def _scope_fault(session: Session, account: Account, scopes: Sequence[str]) -> str | None:
    if not 1 <= len(scopes) <= MOST_SCOPES:
        return f"Choose what the token may be used for, {MOST_SCOPES} scopes at most."
    unknown = [each for each in scopes if not _known(session, account, each)]
    if unknown:
        return f"“{unknown[0][:60]}” is not a scope: choose {', '.join(SCOPES)}, or {ONE_JOB} with the name of a job."
    return None


def _known(session: Session, account: Account, scope: str) -> bool:
    if not scope.startswith(ONE_JOB):
        return scope in SCOPES
    job = jobs.named(session, scope.removeprefix(ONE_JOB))
    return job is not None and scope == f"{ONE_JOB}{job.name}" and access.may(account, Action.RUN_JOB, job)
