"""Attacks by letters: through addresses and names that go into them, on the outbox, and on strangers' letter-boxes."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from email.message import Message

import pytest
from aiosmtpd.controller import Controller
from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal import mail
from portal.database import now, transaction
from portal.domain.errors import Invalid
from portal.domain.policy import Role
from portal.domain.states import State
from portal.models import Account, Batch, Letter, Submission
from portal.models import Message as Line
from portal.services import accounts, letters, resets, roster, submissions
from portal.services.roster import AccountDraft
from portal.settings import settings
from tests.conftest import PASSWORD
from tests.making import make_job, make_task, order
from tests.postbox import Postbox, mail_server
from tests.servers import free_port
from tests.services.test_letters import let_pass

ADDRESSES = [
    "a@b.org\r\nBcc: x@y.org", "a@b.org\nSubject: x", "a%0aBcc:x@b.org@c.org", '"a\nb"@c.org', "a@b.org,d@e.org",
    "a@b.org;d@e.org", "a@b.org d@e.org", "a" * 320 + "@b.org", "a@" + "b" * 320 + ".org", "<a@b.org>",
    "Ann <a@b.org>", "a@b.org>", "a@[127.0.0.1]", "a@b", "@b.org", "a@", "a b@c.org", "a@b.org\0", "a@b.org\r\n",
    "a@b.org%0d%0aBcc:x@y.org", "a\u202e@b.org", "a@b..org", "a@-b.org", "-oQ/tmp -X/tmp/x@b.org",
    "a@b.org\u2028Bcc: x@y.org", "a(comment)@b.org", "a@b.org\x0bBcc:x@y.org",
]  # fmt: skip


USUAL = {
    "from", "to", "subject", "date", "message-id", "content-type", "content-transfer-encoding", "mime-version",
    "x-peer", "x-mailfrom", "x-rcptto",
}  # fmt: skip


@pytest.fixture
def job(session: Session) -> str:
    make_task(session, "t", "command", "true")
    make_job(session, "job", [(1, "t")])
    return "job"


@pytest.mark.attack("EM-01")
@pytest.mark.parametrize("address", ADDRESSES)
def test_it_takes_no_address_that_is_not_one(client: FlaskClient, job: str, session: Session, address: str) -> None:
    form = {"job": job, "submission_name": "x", "email": address, "input_data": (io.BytesIO(b"x\n"), "x.txt")}

    answer = client.post("/analytics_automated/submission", data=form)

    assert answer.status_code == 400 and "email" in answer.text
    assert session.scalars(select(Batch)).all() == []
    with pytest.raises(Invalid, match="address"), transaction(session):
        roster.add(session, None, AccountDraft("ann", email=address))


@pytest.mark.attack("EM-02")
@pytest.mark.parametrize(
    "name",
    [
        "x\r\nBcc: eve@example.org", "x\nX-Evil: 1\n\n<b>body</b>", "x\r\n\r\n<script>alert(1)</script>",
        "=?utf-8?q?x=0ABcc:_e@e.org?=", "x\u2028Bcc: e@e.org", "{{7*7}} {% raw %}", "x\x0bBcc: e@e.org\x0cTo: e@e.org",
        "\u202egro.elpmaxe", "x\r\n.\r\nMAIL FROM:<e@e.org>",
    ],
)  # fmt: skip
def test_a_name_stays_one_line_of_plain_text(session: Session, job: str, postbox: list[Message], name: str) -> None:
    written(session, job, 1)
    with transaction(session):
        session.scalars(select(Batch)).one().name = name

    assert letters.send_due() == 1

    [letter] = postbox
    assert {each.lower() for each in letter} <= USUAL
    assert (letter["To"], letter["Bcc"], letter.get_content_type()) == ("ann@example.org", None, "text/plain")
    assert "\n" not in letter["Subject"] and "49" not in letter["Subject"]
    assert len(letter.get_all("Subject")) == len(letter.get_all("To")) == 1


def written(session: Session, job: str, count: int, address: str = "10.0.0.1", account: Account | None = None) -> None:
    """Letters of batches that have ended."""
    for _ in range(count):
        wanted = submissions.Order(**{**vars(order(job, account=account)), "address": address})
        batch = submissions.submit(session, wanted)
        with transaction(session):
            session.execute(update(Submission).values(state=State.COMPLETE, ended=now()))
            session.add(Letter(batch_id=batch.id))


@contextmanager
def silent_server(port: int) -> Iterator[None]:
    """It takes the call and says nothing."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        calls: list[socket.socket] = []
        threading.Thread(target=lambda: _take(listening, calls), daemon=True).start()
        yield
        listening.shutdown(socket.SHUT_RDWR)
        for call in calls:
            call.close()


def _take(listening: socket.socket, calls: list[socket.socket]) -> None:
    try:
        while True:
            calls.append(listening.accept()[0])
    except OSError:
        return


@pytest.mark.attack("EM-03")
def test_a_server_that_hangs_delays_the_letter_and_nothing_else(
    session: Session, job: str, data: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(session, job, 2)
    monkeypatch.setattr(mail, "TIMEOUT", 0.5)
    port = free_port()
    mail_server(monkeypatch, port)

    with silent_server(port):
        assert letters.send_due() == 0

    session.rollback()
    assert {each.state for each in session.scalars(select(Submission))} == {State.COMPLETE}
    assert [letter.sent for letter in session.scalars(select(Letter))] == [None, None]
    box = Postbox()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    let_pass(session, 3600)
    assert (letters.send_due(), letters.send_due(), len(box.letters)) == (2, 0, 2)
    controller.stop()


@pytest.mark.attack("EM-03")
@pytest.mark.parametrize("answer", ["421 going away", "450 later", "451 try again", "452 too much", "454 no"])
def test_a_refusal_for_now_costs_an_hour_and_no_letter(
    session: Session,
    job: str,
    box: Postbox,
    answer: str,
) -> None:
    written(session, job, 1)
    box.answer = answer
    for _ in range(3):
        assert letters.send_due() == 0
        let_pass(session, 3600)

    box.answer = "250 taken"
    assert (letters.send_due(), letters.send_due(), len(box.letters)) == (1, 0, 1)


@pytest.mark.attack("EM-03")
@pytest.mark.parametrize("answer", ["550 nobody here", "553 no such name", "501 what?", "599 never"])
def test_a_refusal_for_good_is_not_sent_again(session: Session, job: str, box: Postbox, answer: str) -> None:
    written(session, job, 1)
    box.answer = answer

    assert letters.send_due() == 0

    box.answer = "250 taken"
    let_pass(session, 365 * 86_400)
    assert (letters.send_due(), box.letters) == (0, [])


@pytest.mark.attack("EM-03")
def test_a_link_for_a_password_is_made_when_the_server_takes_letters_again(
    session: Session,
    admin: Account,
    box: Postbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = settings().mail_port
    mail_server(monkeypatch, free_port())
    resets.ask(session, "admin")
    assert letters.send_due() == 0
    let_pass(session, 3600)

    mail_server(monkeypatch, port)

    assert (letters.send_due(), len(box.letters)) == (1, 1)
    secret = str(box.letters[0].get_payload()).partition("/reset/")[2].split()[0]
    assert resets.of(session, secret).name == "admin"


@pytest.mark.attack("EM-04")
def test_a_stranger_gets_so_many_letters_a_day_whoever_sends_them(
    session: Session,
    job: str,
    postbox: list[Message],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORTAL_MAIL_TO_ONE", "3")
    monkeypatch.setenv("PORTAL_QUEUE_HARD_LIMIT", "")
    monkeypatch.setenv("PORTAL_QUEUE_HOG_SIZE", "")
    settings.cache_clear()
    for host in range(6):
        written(session, job, 1, f"10.0.0.{host}")
    with transaction(session):
        session.execute(update(Batch).where(Batch.address == "10.0.0.5").values(email="ANN@Example.org"))

    letters.send_due()

    assert len(postbox) == 3
    told = session.scalars(select(Line.sentence).where(Line.sentence.startswith("No letter was sent"))).all()
    assert told == ["No letter was sent: 3 have gone to this address within a day."] * 3
    let_pass(session, 86_400)
    assert letters.send_due() == 0
    with transaction(session):
        for letter in session.scalars(select(Letter).where(Letter.sent.is_not(None))):
            letter.sent -= timedelta(days=2)
    written(session, job, 1)
    assert letters.send_due() == 1


@pytest.mark.attack("EM-04")
def test_a_sender_causes_so_many_letters_a_day_whomever_they_go_to(
    session: Session,
    job: str,
    postbox: list[Message],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORTAL_MAIL_FROM_ONE", "2")
    settings.cache_clear()
    written(session, job, 4)
    with transaction(session):
        for batch in session.scalars(select(Batch)):
            batch.email = f"somebody{batch.id}@example.org"

    letters.send_due()

    assert len(postbox) == 2
    written(session, job, 1, "10.0.0.2")
    letters.send_due()
    assert len(postbox) == 3


@pytest.mark.attack("EM-04")
def test_people_get_all_letters_of_their_own(
    session: Session,
    job: str,
    postbox: list[Message],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORTAL_MAIL_TO_ONE", "1")
    settings.cache_clear()
    with transaction(session):
        ann = accounts.create(session, "ann", PASSWORD, Role.ANALYST, "Ann@example.org")
    written(session, job, 3, account=ann)

    letters.send_due()

    assert len(postbox) == 3


@pytest.mark.attack("EM-04")
def test_lost_passwords_fill_no_letter_box(
    session: Session,
    admin: Account,
    postbox: list[Message],
) -> None:
    for _ in range(10):
        resets.ask(session, "admin")
        letters.send_due()
        with transaction(session):
            for letter in session.scalars(select(Letter).where(Letter.sent.is_not(None))):
                letter.sent -= timedelta(minutes=10)

    assert len(postbox) == resets.MOST_A_DAY
