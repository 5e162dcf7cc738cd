"""How much is kept for one account, or for one address that has none: what was sent and what came of it, in bytes."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, func, select
from sqlalchemy.orm import Session

from portal.database import connection
from portal.domain.errors import TooMany
from portal.models import Account, Batch, Result, Submission, Upload
from portal.settings import settings

RETRY_SECONDS = 3600
LONG, BELIEVED = 0.25, 100

_known: dict[str, tuple[int, float]] = {}
BEYOND = "{whose} files take {used} of the {most} that may be kept, and this would be {more} more: {remedy}"
DELETE = "delete runs that you do not need any more, or ask the administrator for more room."
SIGN_IN = "sign in with an account, or come back when older runs have been removed."


def _sum(of_batch: ColumnElement[bool], of_submission: ColumnElement[bool]) -> Select[Any]:
    uploads = select(func.coalesce(func.sum(Upload.size), 0)).join(Batch, Upload.batch_id == Batch.id).where(of_batch)
    results = (
        select(func.coalesce(func.sum(Result.size), 0))
        .join(Submission, Result.submission_id == Submission.id)
        .where(of_submission)
    )
    return select((uploads.scalar_subquery() + results.scalar_subquery()).label("used"))


def _of_account(owned: type[Batch | Submission]) -> ColumnElement[bool]:
    return owned.account_id == bindparam("account")


def _of_address(owned: type[Batch | Submission]) -> ColumnElement[bool]:
    return (owned.address == bindparam("address")) & owned.account_id.is_(None)


OF_ACCOUNT = _sum(_of_account(Batch), _of_account(Submission))
OF_ADDRESS = _sum(_of_address(Batch), _of_address(Submission))


def used(session: Session, account: Account | None, address: str) -> int:
    """The bytes that are kept of uploads and results. What takes long to add up is believed a hundred times as long."""
    whose = f"{settings().database} account {account.id}" if account else f"{settings().database} address {address}"
    known, until = _known.get(whose, (0, 0.0))
    began = time.monotonic()
    if began < until:
        return known
    found = _added_up(session, account, address)
    if (took := time.monotonic() - began) > LONG:
        _known[whose] = found, time.monotonic() + BELIEVED * took
    return found


def _added_up(session: Session, account: Account | None, address: str) -> int:
    """Planned for this very sender, as one has few files, another a million."""
    its = connection(session)
    if account:
        return int(its.scalars(OF_ACCOUNT, {"account": account.id}).one())
    return int(its.scalars(OF_ADDRESS, {"address": address}).one())


def check(session: Session, account: Account | None, address: str, more: int) -> None:
    """Raises TooMany where `more` bytes would be beyond the quota. What is kept already is not touched."""
    most = settings().portal_quota_bytes
    if most is None:
        return
    kept = used(session, account, address)
    if kept + more > most:
        raise TooMany(
            BEYOND.format(
                whose="Your" if account else "This address's",
                used=_words(kept),
                most=_words(most),
                more=_words(more),
                remedy=DELETE if account else SIGN_IN,
            ),
            RETRY_SECONDS,
        )


def _words(size: int) -> str:
    return f"{size:,} bytes" if size < 1_000_000 else f"{size / 1_000_000:,.1f} MB"
