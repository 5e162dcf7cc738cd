"""How long what was kept stays: removed when its time is over, or when a person wants nothing of it to stay.

Nothing in use is removed: whoever uses a submission holds its lock. A file goes only after the commit that removed its
row; a crash between the two leaves a file that no row names, which the workers' cleaner finds.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy import delete as removal
from sqlalchemy.orm import Session

from portal import queue, storage
from portal.database import now, transaction
from portal.domain import states
from portal.domain.states import FINAL
from portal.models import Batch, LogChunk, Result, Run, Submission, Upload
from portal.services import audit, progress, statements
from portal.services.submissions import MOST_JOBS

MOST = 500
OVER = "Input, results and logs were removed, as the time for keeping them is over."
OVER_BUT_INPUT = "Results and logs were removed, as the time for keeping them is over. Its batch still needs the input."
ASKED = Submission.delete_asked
OVER_NOW = and_(Submission.expires <= now(), Submission.removed.is_(None))
DUE = and_(Submission.state.in_(FINAL), or_(ASKED, OVER_NOW))


def delete(session: Session, submission: Submission) -> None:
    """Nothing of it shall stay: it is stopped, and removed when nothing of it runs. Harmless when repeated."""
    progress.stop(session, submission)
    audit.record(session, "deleted", "run", submission.uuid, job=submission.job_name)
    session.execute(update(Submission).where(Submission.id == submission.id).values(delete_asked=True))
    queue.say(session, "sweep")


def due(session: Session) -> Sequence[int]:
    """The ids of submissions of which something is to be removed now; of very many, some."""
    ways = [select(Submission.id).where(Submission.state.in_(FINAL), way).limit(MOST) for way in (ASKED, OVER_NOW)]
    return [*dict.fromkeys(found for way in ways for found in session.scalars(way))][:MOST]


def remove(submission_id: int) -> None:
    """Remove what is due of a submission: all of it, or what it took and gave. Of one that is not due, nothing."""
    with transaction() as session:
        keys = _remove(session, submission_id)
    for key in keys:
        storage.delete(key)


def _remove(session: Session, submission_id: int) -> list[str]:
    """Remove the rows; the keys of the files that no row names any more."""
    fresh = select(Submission).where(Submission.id == submission_id, DUE).with_for_update()
    submission = session.scalar(fresh.execution_options(populate_existing=True))
    if submission is None:
        return []
    keys = session.scalars(select(Result.key).where(Result.submission_id == submission_id)).all()
    if submission.delete_asked:
        session.expunge(submission)
        session.execute(removal(Submission).where(Submission.id == submission_id))
        return [*keys, *_settle(session, submission)]
    _expire(session, submission)
    session.flush()
    uploads = _settle(session, submission)
    submission.say(OVER if uploads else OVER_BUT_INPUT)
    return [*keys, *uploads]


def _expire(session: Session, submission: Submission) -> None:
    """The story stays: the submission, its runs with their frozen work, its messages."""
    runs = select(Run.id).where(Run.submission_id == submission.id)
    for gone in (
        removal(Result).where(Result.submission_id == submission.id),
        removal(LogChunk).where(LogChunk.run_id.in_(runs)),
    ):
        session.execute(gone, execution_options={"synchronize_session": False})
    submission.removed, submission.expires = now(), None


def _settle(session: Session, gone: Submission) -> Sequence[str]:
    """What becomes of its batch, under the batch's lock: the last submission that needs an upload takes it along."""
    batch_id = gone.batch_id
    batch = session.scalars(select(Batch).where(Batch.id == batch_id).with_for_update()).one()
    left = statements.states_of_batch(session, batch_id)
    if not left:
        keys = session.scalars(select(Upload.key).where(Upload.batch_id == batch_id)).all()
        session.execute(removal(Batch).where(Batch.id == batch_id))
        return keys
    batch.state = states.batch_summary(left)
    mine = Upload.batch_id == batch_id
    if _needed(session, Submission.batch_id == batch_id):
        beside = Submission.position.between(gone.position - MOST_JOBS, gone.position + MOST_JOBS)
        own = and_(Submission.batch_id == batch_id, beside, Submission.input == gone.input)
        if not gone.input or _needed(session, own):
            return []
        mine = and_(mine, Upload.number == gone.input)
    return session.scalars(removal(Upload).where(mine).returning(Upload.key)).all()


def _needed(session: Session, which: ColumnElement[bool]) -> bool:
    """Whether any of these submissions still has its input."""
    return session.scalar(select(Submission.id).where(which, Submission.removed.is_(None)).limit(1)) is not None
