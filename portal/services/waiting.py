"""Waiting for the end of a submission, for a client that would ask again and again; no connection is held meanwhile."""

from __future__ import annotations

import time
from threading import BoundedSemaphore

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.models import Submission

LONGEST = 60
PAUSE = 0.25
MOST_AT_ONCE = 6  # of a process's threads; the others go on to answer

_places = BoundedSemaphore(MOST_AT_ONCE)


def for_end(session: Session, uuid: str, seconds: float) -> None:
    """Return when the submission has ended or is gone, after so many seconds, or at once where too many wait."""
    if not seconds or not _places.acquire(blocking=False):
        return
    try:
        deadline = time.monotonic() + seconds
        while not _over(session, uuid) and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(PAUSE, left))
    finally:
        _places.release()


def _over(session: Session, uuid: str) -> bool:
    state = session.scalar(select(Submission.state).where(Submission.uuid == uuid))
    session.rollback()
    return state is None or state.final
