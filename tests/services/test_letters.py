"""The letter at a batch's end, handed to a real mail server on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import Message
from email.policy import default

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal.database import now, transaction
from portal.models import Letter
from portal.services import letters
from portal.settings import settings
from tests.making import make_job, make_task, submitted
from tests.servers import free_port


class Postbox:
    """Takes every letter that comes."""

    def __init__(self) -> None:
        self.letters: list[Message] = []

    async def handle_DATA(self, server: object, session: object, envelope: Envelope) -> str:  # noqa: N802
        self.letters.append(message_from_bytes(envelope.original_content or b"", policy=default))
        return "250 taken"


@pytest.fixture
def postbox(data: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Message]]:
    box, port = Postbox(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    mail_server(monkeypatch, port)
    yield box.letters
    controller.stop()


def mail_server(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("MAIL_SERVER", "127.0.0.1")
    monkeypatch.setenv("MAIL_PORT", str(port))
    settings.cache_clear()


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
    session.rollback()
    [letter] = session.scalars(select(Letter)).all()
    assert (letter.sent, letter.tries) == (None, 1)
    assert "did not take the letter" in letter.failure
    assert letters.send_due() == 0

    mail_server(monkeypatch, port)
    with transaction(session):
        session.execute(update(Letter).values(due=now(-1)))
    assert (letters.send_due(), len(postbox)) == (1, 1)
