"""How many letters a day go to one address, and at one sender's wish: nobody's letter-box is filled by the portal."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from portal.database import clock
from portal.models import Batch, Letter
from portal.settings import settings

DAY = timedelta(days=1)


def refusal(session: Session, batch: Batch) -> str | None:
    """Why the letter of a batch is not sent; None where it may be. To their own address people write as they like."""
    if batch.account and batch.account.email.lower() == batch.email.lower():
        return None
    chosen = settings()
    if _sent(session, func.lower(Batch.email) == batch.email.lower()) >= chosen.portal_mail_to_one:
        return f"No letter was sent: {chosen.portal_mail_to_one} have gone to this address within a day."
    if _sent(session, _same_sender(batch)) >= chosen.portal_mail_from_one:
        return f"No letter was sent: {chosen.portal_mail_from_one} of this sender's have gone out within a day."
    return None


def _sent(session: Session, whose: ColumnElement[bool]) -> int:
    yesterday = clock(session) - DAY  # a value, so that the planner knows how few they are
    counted = select(func.count(Letter.id)).join(Letter.batch).where(Letter.sent > yesterday, whose)
    return session.scalars(counted).one()


def _same_sender(batch: Batch) -> ColumnElement[bool]:
    if batch.account_id:
        return Batch.account_id == batch.account_id
    return (Batch.address == batch.address) & Batch.account_id.is_(None)
