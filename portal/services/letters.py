"""Letters, of a batch's end or about a password: an outbox, so that a silent mail server delays and loses none.

A letter is sent at least once: twice only if this process or the database dies just after the server has taken it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from sqlalchemy import case, func, or_, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.orm import Session

from portal import mail
from portal.database import away, is_postgresql, now, reading, transaction
from portal.domain.errors import Unavailable
from portal.domain.states import WORST_FIRST, State
from portal.models import Batch, Letter, Run, Submission
from portal.services import allowance, logs, resets, views
from portal.services.statements import SAY, for_each
from portal.settings import settings

AGAIN = 60.0
LONGEST_WAIT = 3600.0
HELD = 120.0
DAY = 86_400.0
GIVEN_UP = 5 * DAY
NEVER = 36_500 * DAY
MARKING = 60.0
MOST_TRIES = 60
LAST_LINES = 20
MOST_TOLD = 30

log = logging.getLogger(__name__)


def send_due() -> int:
    """Send the letters that are due; how many went out. When the server takes none, all wait a minute."""
    sent = 0
    while (letter_id := _take()) is not None:
        try:
            sent += _send(letter_id)
        except Unavailable as silence:
            _all_wait(letter_id, str(silence))
            break
    return sent


def _take() -> int | None:
    """Hold one due letter, so that no other worker sends it meanwhile."""
    with transaction() as session:
        due = select(Letter).where(Letter.sent.is_(None), Letter.due <= now()).order_by(Letter.due).limit(1)
        letter = session.scalar(due.with_for_update(skip_locked=True) if is_postgresql(session) else due)
        if letter is None:
            return None
        letter.tries += 1
        letter.due = now(HELD)
        return letter.id


def _send(letter_id: int) -> bool:
    """Whether it went out. Raises Unavailable when the mail server takes none."""
    written = _written(letter_id)
    if written is None:
        return False
    try:
        mail.send(*written)
    except mail.Refused as refusal:
        _put_off(letter_id, refusal)
        return False
    _mark_sent(letter_id)
    return True


def _written(letter_id: int) -> tuple[str, str, str] | None:
    """To whom it goes, its subject and its text; None for a letter that is not to be sent."""
    with reading() as session:
        letter = session.get(Letter, letter_id)
        batch, account = (letter.batch, letter.account) if letter else (None, None)
        if account:
            return account.email, resets.SUBJECT, resets.letter(account, resets.new_link(account.id))
        if batch is None:
            return None
        if reason := allowance.refusal(session, batch):
            _leave_out(letter_id, reason)
            return None
        return batch.email, _subject(batch), _text(session, batch)


def _leave_out(letter_id: int, reason: str) -> None:
    """A letter beyond what one address or one sender may have in a day: the story of its runs says so instead."""
    with transaction() as session:
        letter = session.get(Letter, letter_id)
        if letter is None or letter.batch is None:
            return
        letter.failure = reason
        _give_up(letter)
        members = session.scalars(select(Submission.id).where(Submission.batch_id == letter.batch_id)).all()
        about = {"run_id": None, "kind": "note", "sentence": reason}
        for_each(session, SAY, [about | {"submission_id": each} for each in members])


def _mark_sent(letter_id: int) -> None:
    """What is not marked is sent again: so a database that is away just now is waited for."""
    deadline = time.monotonic() + MARKING
    while True:
        try:
            with transaction() as session:
                session.execute(update(Letter).where(Letter.id == letter_id).values(sent=now(), failure=""))
            return
        except (DBAPIError, NoConnection) as failure:
            if not away(failure) or time.monotonic() > deadline:
                raise
        time.sleep(1)


def _put_off(letter_id: int, refusal: mail.Refused) -> None:
    """A refused letter waits longer each time, and is given up when that makes no sense any more."""
    with transaction() as session:
        letter = session.get(Letter, letter_id)
        if letter is None:
            return
        letter.failure = str(refusal)
        letter.due = now(min(AGAIN * 2 ** min(letter.tries - 1, 10), LONGEST_WAIT))
        if refusal.final or _too_old(session, letter):
            _give_up(letter)


def _all_wait(letter_id: int, silence: str) -> None:
    """A silent server is asked once a minute, by one letter, however many wait and however many workers there are."""
    with transaction() as session:
        due = update(Letter).where(Letter.sent.is_(None), or_(Letter.due <= now(), Letter.id == letter_id))
        session.execute(due.values(due=now(AGAIN)))
        letter = session.get(Letter, letter_id)
        if letter is None:
            return
        letter.failure = silence
        if _too_old(session, letter):
            _give_up(letter)


def _too_old(session: Session, letter: Letter) -> bool:
    if letter.account_id:
        return letter.tries >= MOST_TRIES
    ended = select(func.max(Submission.ended)).where(Submission.batch_id == letter.batch_id)
    return bool(session.scalar(select(ended.scalar_subquery() < now(-GIVEN_UP))))


def _give_up(letter: Letter) -> None:
    letter.due = now(NEVER)
    log.error("the letter of %s is given up: %s", _cause(letter), letter.failure)


def _cause(letter: Letter) -> str:
    return f"batch {letter.batch.uuid}" if letter.batch else "an account"


def _subject(batch: Batch) -> str:
    name = " ".join(batch.name.split())  # a subject has one line
    return f"{name}: {views.state_word(batch.state).lower()}"


def _text(session: Session, batch: Batch) -> str:
    """What came of its submissions; of very many how many ended how, and of some, the failed ones first."""
    counted = select(Submission.state, func.count()).where(Submission.batch_id == batch.id).group_by(Submission.state)
    counts: dict[State, int] = dict(session.execute(counted).all())
    failed_first = case((Submission.state.in_(WORST_FIRST), 0), else_=1)
    mine = select(Submission).where(Submission.batch_id == batch.id)
    many = sum(counts.values()) > MOST_TOLD
    some = mine.order_by(failed_first, Submission.position) if many else mine.order_by(Submission.position)
    parts = [_told(session, submission) for submission in session.scalars(some.limit(MOST_TOLD))]
    return "\n\n".join([*([_counted(batch, counts)] if many else []), *parts]) + "\n\nAnalytics Automated\n"


def _counted(batch: Batch, counts: Mapping[State, int]) -> str:
    told = ", ".join(f"{number:,} {views.state_word(state).lower()}" for state, number in sorted(counts.items()))
    return f"{batch.name}: {told}.\n{settings().address}/batches/{batch.uuid}\n\nSome of them:"


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
    tail = logs.last_lines(session, run, "stderr", LAST_LINES)
    return [*lines, "The last lines of its error output:", "", tail] if tail else lines
