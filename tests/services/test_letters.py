"""The letter at a batch's end, handed to a real mail server on loopback."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email.message import Message

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal.database import clock, now, transaction
from portal.domain.states import State
from portal.models import Batch, Letter, Submission
from portal.services import letters
from portal.settings import settings
from tests.making import make_job, make_task, submitted
from tests.postbox import Postbox, mail_server
from tests.servers import free_port


def end_a_batch(session: Session, work: Callable[[], None], code: str) -> str:
    make_task(session, "t", "command", code)
    make_job(session, "job", [(1, "t")])
    uuid = submitted(session, "job").uuid
    work()
    return uuid


def test_it_tells_the_submitter_once_that_the_job_is_complete(
    session: Session, work: Callable[[], None], postbox: list[Message]
) -> None:
    uuid = end_a_batch(session, work, "true")

    assert (letters.send_due(), letters.send_due()) == (1, 0)

    [letter] = postbox
    assert (letter["To"], letter["Subject"]) == ("ann@example.org", "a test: complete")
    assert f"{settings().address}/runs/{uuid}" in letter.get_payload()


def test_its_subject_is_one_line_whatever_the_name_of_the_submission(
    session: Session, work: Callable[[], None], postbox: list[Message]
) -> None:
    end_a_batch(session, work, "true")
    with transaction(session):
        session.scalars(select(Batch)).one().name = "two\r\nBcc: eve@example.org \u2028 lines 👩\u200d🔬"

    assert letters.send_due() == 1

    [letter] = postbox
    assert letter["Subject"] == "two Bcc: eve@example.org lines 👩\u200d🔬: complete"
    assert letter["Bcc"] is None


def test_it_says_which_step_failed_and_what_it_wrote_last(
    session: Session, work: Callable[[], None], postbox: list[Message]
) -> None:
    end_a_batch(session, work, "echo 'no such column' >&2; exit 3")

    letters.send_due()

    [letter] = postbox
    text = letter.get_payload()
    assert letter["Subject"] == "a test: failed"
    assert "Step 1 (t): Failed with exit status 3" in text
    assert text.count("Step 1") == 1
    assert "Exit status: 3" in text
    assert "no such column" in text


def test_it_keeps_a_letter_that_the_server_does_not_take_and_sends_it_later(
    session: Session, work: Callable[[], None], postbox: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = settings().mail_port
    end_a_batch(session, work, "true")
    mail_server(monkeypatch, free_port())

    assert letters.send_due() == 0
    letter = only_letter(session)
    assert (letter.sent, letter.tries) == (None, 1)
    assert "did not take the letter" in letter.failure
    assert letters.send_due() == 0

    mail_server(monkeypatch, port)
    let_pass(session, 60)
    assert (letters.send_due(), len(postbox)) == (1, 1)
    assert only_letter(session).failure == ""


def only_letter(session: Session) -> Letter:
    session.rollback()
    return session.scalars(select(Letter)).one()


def let_pass(session: Session, seconds: float) -> None:
    """What the database's clock would do in this time, to the letters."""
    with transaction(session):
        for letter in session.scalars(select(Letter)):
            letter.due -= timedelta(seconds=seconds + 1)


def waits(session: Session) -> float:
    """In how many seconds the letter is due, to the next ten."""
    letter = only_letter(session)
    return round((letter.due - clock(session)).total_seconds(), -1)


def written(session: Session, count: int) -> None:
    """Letters of batches that have ended."""
    make_task(session, "t", "command", "true")
    make_job(session, "job", [(1, "t")])
    for _ in range(count):
        batch_id = submitted(session, "job").batch_id
        with transaction(session):
            session.execute(update(Submission).values(state=State.COMPLETE, ended=now()))
            session.add(Letter(batch_id=batch_id))


def test_a_silent_server_is_asked_by_one_letter_a_minute_however_many_wait(
    session: Session, box: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = settings().mail_port
    written(session, 5)
    mail_server(monkeypatch, free_port())

    for _ in range(3):
        assert letters.send_due() == 0
        assert letters.send_due() == 0
        let_pass(session, 60)

    session.rollback()
    assert sum(letter.tries for letter in session.scalars(select(Letter))) == 3
    mail_server(monkeypatch, port)
    assert (letters.send_due(), len(box.letters)) == (5, 5)


def test_an_address_that_there_is_not_is_given_up_at_once(
    session: Session, box: Postbox, caplog: pytest.LogCaptureFixture
) -> None:
    written(session, 1)
    box.answer = "550 no such user here"

    assert letters.send_due() == 0

    letter = only_letter(session)
    assert "550 no such user here" in letter.failure
    assert f"the letter of batch {letter.batch.uuid} is given up" in caplog.text
    box.answer = "250 taken"
    let_pass(session, 10 * 365 * letters.DAY)
    assert (letters.send_due(), box.letters) == (0, [])


def test_a_letter_that_is_refused_for_now_waits_longer_each_time_and_keeps_no_other(
    session: Session, box: Postbox
) -> None:
    written(session, 1)
    box.answer = "450 come again"
    waited = []
    for _ in range(8):
        assert letters.send_due() == 0
        waited.append(waits(session))
        let_pass(session, waited[-1])

    assert waited == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    box.answer = "250 taken"
    assert letters.send_due() == 1


def test_a_letter_is_given_up_five_days_after_the_batchs_end(
    session: Session, box: Postbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    written(session, 1)
    mail_server(monkeypatch, free_port())
    for days, given_up in ((4, False), (2, True)):
        with transaction(session):
            for submission in session.scalars(select(Submission)):
                submission.ended -= timedelta(days=days)
        let_pass(session, 60)
        assert letters.send_due() == 0
        assert ("is given up" in caplog.text) is given_up


def test_workers_that_look_at_one_time_send_each_letter_once(session: Session, box: Postbox) -> None:
    written(session, 8)

    with ThreadPoolExecutor(4) as threads:
        sent = sum(threads.map(lambda _: letters.send_due(), range(4)))

    assert (sent, len(box.letters)) == (8, 8)
