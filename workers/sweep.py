"""The sweep: says again what was lost, and recovers what nobody looks after. Any number, anywhere, at any time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from sqlalchemy import Select, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from portal import queue
from portal.database import now, reading, transaction
from portal.domain.states import ACTIVE, State
from portal.models import Letter, Run, Submission
from portal.services import progress

log = logging.getLogger(__name__)


def sweep() -> None:
    """One pass. Everything found is looked at again under its own lock, so that two sweeps do no harm."""
    with reading() as session:
        lapsed = session.scalars(select(Run.id).where(progress.lapsed())).all()
        stranded = session.scalars(_stranded()).all()
        queues = session.scalars(select(Run.queue).where(Run.state == State.QUEUED, Run.due <= now()).distinct()).all()
        letters = session.scalar(select(Letter.id).where(Letter.sent.is_(None), Letter.due <= now()).limit(1))
    for run_id in lapsed:
        _mend(progress.recover, run_id)
    for submission_id in stranded:
        _mend(progress.rescue, submission_id)
    if queues or letters:
        with transaction() as session:
            _say_again(session, queues, letters is not None)


def _mend(way: Callable[[Session, int], object], number: int) -> None:
    """One that cannot be mended now, being locked by a worker that is frozen, say, keeps no other from it."""
    try:
        with transaction() as session:
            way(session, number)
    except DBAPIError as failure:
        log.warning("%s of %s failed: %s", way.__name__, number, type(failure).__name__)
    except Exception:
        log.exception("%s of %s failed", way.__name__, number)


def _stranded() -> Select[int]:
    """Active submissions with nothing queued or running: there should be none."""
    alive = select(Run.id).where(Run.submission_id == Submission.id, Run.state.in_((State.QUEUED, State.RUNNING)))
    return select(Submission.id).where(Submission.state.in_(ACTIVE), ~alive.exists())


def _say_again(session: Session, queues: Sequence[str], letters: bool) -> None:
    for name in queues:
        queue.say(session, "wake", name)
    if letters:
        queue.say(session, "tell")
