"""The sweep: says again what was lost, and recovers what nobody looks after. Any number, anywhere, at any time."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from portal import queue
from portal.database import now, reading, transaction
from portal.domain.states import ACTIVE, State
from portal.models import Letter, Run, Submission
from portal.services import progress


def sweep() -> None:
    """One pass. Everything found is looked at again under its own lock, so that two sweeps do no harm."""
    with reading() as session:
        lapsed = session.scalars(select(Run.id).where(progress.lapsed())).all()
        stranded = session.scalars(_stranded()).all()
        queues = session.scalars(select(Run.queue).where(Run.state == State.QUEUED, Run.due <= now()).distinct()).all()
        letters = session.scalar(select(Letter.id).where(Letter.sent.is_(None), Letter.due <= now()).limit(1))
    for run_id in lapsed:
        with transaction() as session:
            progress.recover(session, run_id)
    for submission_id in stranded:
        with transaction() as session:
            progress.rescue(session, submission_id)
    if queues or letters:
        with transaction() as session:
            _say_again(session, queues, letters is not None)


def _stranded() -> Select[int]:
    """Active submissions with nothing queued or running: there should be none."""
    alive = select(Run.id).where(Run.submission_id == Submission.id, Run.state.in_((State.QUEUED, State.RUNNING)))
    return select(Submission.id).where(Submission.state.in_(ACTIVE), ~alive.exists())


def _say_again(session: Session, queues: Sequence[str], letters: bool) -> None:
    for name in queues:
        queue.say(session, "wake", name)
    if letters:
        queue.say(session, "tell")
