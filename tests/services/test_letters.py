"""The letter at a batch's end, handed to a real mail server on loopback."""

from __future__ import annotations

import email
import socketserver
import threading
from collections.abc import Callable, Iterator
from email.message import Message
from email.policy import default

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal.database import now, transaction
from portal.models import Letter
from portal.services import letters
from portal.settings import settings
from tests.making import make_job, make_task, submitted
from tests.servers import free_port


class Postbox(socketserver.StreamRequestHandler):
    """As much of SMTP as taking a letter needs."""

    def handle(self) -> None:
        self.say("220 postbox")
        while line := self.rfile.readline().strip().upper():
            if line == b"DATA":
                self.say("354 go on")
                self.server.letters.append(self.letter())  # type: ignore[attr-defined]
            self.say("250 ok")
            if line == b"QUIT":
                return

    def say(self, sentence: str) -> None:
        self.wfile.write(sentence.encode() + b"\r\n")

    def letter(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line)
        return b"".join(lines)


@pytest.fixture
def postbox(data: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Postbox) as server:
        server.letters = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mail_server(monkeypatch, server.server_address[1])
        yield server.letters  # type: ignore[attr-defined]
        server.shutdown()


def mail_server(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("MAIL_SERVER", "127.0.0.1")
    monkeypatch.setenv("MAIL_PORT", str(port))
    settings.cache_clear()


def read(letter: bytes) -> Message:
    return email.message_from_bytes(letter, policy=default)


def end_a_batch(session: Session, work: Callable[[], None], code: str) -> str:
    make_task(session, "t", "command", code)
    make_job(session, "job", [(1, "t")])
    submission = submitted(session, "job")
    work()
    return submission.uuid


def test_it_tells_the_submitter_once_that_the_job_is_complete(
    session: Session, work: Callable[[], None], postbox: list[bytes]
) -> None:
    uuid = end_a_batch(session, work, "true")

    assert (letters.send_due(), letters.send_due()) == (1, 0)

    [letter] = [read(each) for each in postbox]
    assert (letter["To"], letter["Subject"]) == ("ann@example.org", "a test: complete")
    assert f"{settings().address}/runs/{uuid}" in letter.get_payload()


def test_it_says_which_step_failed_and_what_it_wrote_last(
    session: Session, work: Callable[[], None], postbox: list[bytes]
) -> None:
    end_a_batch(session, work, "echo 'no such column' >&2; exit 3")

    letters.send_due()

    [letter] = [read(each) for each in postbox]
    text = letter.get_payload()
    assert letter["Subject"] == "a test: failed"
    assert "Step 1, t: Step 1 (t): Failed with exit status 3" in text
    assert "Exit status: 3" in text
    assert "no such column" in text


def test_it_keeps_a_letter_that_the_server_does_not_take_and_sends_it_later(
    session: Session, work: Callable[[], None], postbox: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = settings().mail_port
    end_a_batch(session, work, "true")
    mail_server(monkeypatch, free_port())

    assert letters.send_due() == 0
    [letter] = session.scalars(select(Letter)).all()
    assert (letter.sent, letter.tries) == (None, 1)
    assert "did not take the letter" in letter.failure
    assert letters.send_due() == 0

    mail_server(monkeypatch, port)
    with transaction(session):
        session.execute(update(Letter).values(due=now(-1)))
    assert (letters.send_due(), len(postbox)) == (1, 1)
