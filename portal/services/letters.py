"""The letter that tells a submitter of a batch's end: an outbox, so that a silent mail server delays and loses none."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import mail
from portal.database import is_postgresql, now, transaction
from portal.domain.errors import Unavailable
from portal.domain.states import State
from portal.models import Batch, Letter, Run, Submission
from portal.services import results, views
from portal.settings import settings

AGAIN = 60.0
MOST_TRIES = 30
LAST_LINES = 20


def send_due() -> int:
    """Send the letters that are due; how many went out. When the server takes one no more, all wait for later."""
    sent = 0
    while (letter_id := _take()) is not None and _send(letter_id):
        sent += 1
    return sent


def _take() -> int | None:
    """Put one due letter off, so that no other worker sends it meanwhile."""
    with transaction() as session:
        due = select(Letter).where(Letter.sent.is_(None), Letter.due <= now(), Letter.tries < MOST_TRIES).limit(1)
        letter = session.scalar(due.with_for_update(skip_locked=True) if is_postgresql(session) else due)
        if letter is None:
            return None
        letter.tries += 1
        letter.due = now(AGAIN * letter.tries)
        return letter.id


def _send(letter_id: int) -> bool:
    with transaction() as session:
        letter = session.get_one(Letter, letter_id)
        to, subject, text = letter.batch.email, _subject(letter.batch), _text(session, letter.batch)
    failure = _failure(to, subject, text)
    with transaction() as session:
        letter = session.get_one(Letter, letter_id)
        letter.failure = failure
        if not failure:
            letter.sent = now()
    return not failure


def _failure(to: str, subject: str, text: str) -> str:
    try:
        mail.send(to, subject, text)
    except Unavailable as refusal:
        return str(refusal)
    return ""


def _subject(batch: Batch) -> str:
    return f"{batch.name}: {views.state_word(batch.state).lower()}"


def _text(session: Session, batch: Batch) -> str:
    parts = [_told(session, submission) for submission in batch.submissions]
    return "\n\n".join(parts) + "\n\nAnalytics Automated\n"


def _told(session: Session, submission: Submission) -> str:
    word = views.state_word(submission.state).lower()
    lines = [
        f"{submission.batch.name} ({submission.job_name}): {word}.",
        f"{settings().address}/runs/{submission.uuid}",
    ]
    failed = next((run for run in submission.runs if run.state in (State.ERROR, State.CRASH)), None)
    return "\n".join(lines + (_failed(session, failed) if failed else []))


def _failed(session: Session, run: Run) -> list[str]:
    step = f"Step {run.stage} ({run.task_name}): "
    lines = ["", step + run.reason.removeprefix(step)]
    if run.exit_status is not None:
        lines.append(f"Exit status: {run.exit_status}")
    tail = results.log_tail(session, run, "stderr", LAST_LINES)
    return [*lines, "The last lines of its error output:", "", tail] if tail else lines
