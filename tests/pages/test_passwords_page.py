"""One's own account page, and new passwords by mail."""

from __future__ import annotations

from email.message import Message

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.models import Account, Audit
from portal.services import accounts, letters
from tests.conftest import PASSWORD

NEW = "a mare's nest of owls"
FORM = {"present": PASSWORD, "password": NEW, "again": NEW}


def test_it_changes_the_password_and_the_browser_that_asked_stays_in(
    app: Flask, signed_in: FlaskClient, session: Session
) -> None:
    other = app.test_client()
    other.post("/sign-in", data={"name": "admin", "password": PASSWORD})

    answer = signed_in.post("/account", data=FORM)

    assert answer.status_code == 303
    assert signed_in.get("/runs").status_code == 200 and other.get("/runs").status_code == 302
    assert accounts.authenticate(session, "admin", NEW)
    session.rollback()
    actions = session.scalars(select(Audit.action).order_by(Audit.id)).all()
    assert actions == ["signed in", "signed in", "changed the password of"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"present": "something else"}, "This is not your present password."),
        ({"present": ""}, "Give your present password."),
        ({"again": NEW + "!"}, "This is not the same: type the new password twice."),
        ({"password": "short", "again": "short"}, "Use a password of 12 to 1000 characters."),
        ({"password": "Password1234!", "again": "Password1234!"}, "one of the passwords that are guessed first"),
        ({"password": "admin-x-admin", "again": "admin-x-admin"}, "Use more than your name"),
        ({"password": PASSWORD, "again": PASSWORD}, "Use another password than the present one."),
    ],
)
def test_it_says_what_is_wrong_and_changes_nothing(
    signed_in: FlaskClient, session: Session, change: dict[str, str], sentence: str
) -> None:
    answer = signed_in.post("/account", data=FORM | change)

    assert answer.status_code == 422 and sentence in answer.text.replace("&#39;", "'")
    assert accounts.authenticate(session, "admin", PASSWORD)


def test_it_helps_password_managers(signed_in: FlaskClient) -> None:
    page = signed_in.get("/account").text

    assert page.count('autocomplete="new-password"') == 2
    assert page.count('autocomplete="current-password"') == page.count('autocomplete="username"') == 1


def test_a_lost_password_is_replaced_by_mail(
    client: FlaskClient, session: Session, admin: Account, postbox: list[Message]
) -> None:
    assert "Forgotten your password?" in client.get("/sign-in").text
    assert "is on its way" in client.post("/forgotten", data={"who": "Admin@example.org"}).text
    letters.send_due()
    [letter] = postbox
    assert (letter["To"], letter["Subject"]) == ("admin@example.org", "A new password")
    path = "/reset/" + str(letter.get_payload()).partition("/reset/")[2].split()[0]
    assert "For the account admin." in client.get(path).text

    wrong = client.post(path, data={"password": NEW, "again": "x"})
    right = client.post(path, data={"password": NEW, "again": NEW})

    assert (wrong.status_code, right.status_code) == (422, 303)
    assert "Your password is set." in client.get("/sign-in").text
    assert accounts.authenticate(session, "admin", NEW)


def test_it_notes_who_was_asked_for_but_no_name_that_there_is_not(
    client: FlaskClient, session: Session, admin: Account, postbox: list[Message]
) -> None:
    for who in ("admin", "my password, typed in the wrong place"):
        client.post("/forgotten", data={"who": who})

    session.rollback()
    asked = select(Audit.object).where(Audit.action == "asked for a new password").order_by(Audit.id)
    assert session.scalars(asked).all() == ["admin", "an unknown name"]


def test_it_offers_no_letter_where_no_mail_is_sent(client: FlaskClient, admin: Account) -> None:
    assert "Forgotten" not in client.get("/sign-in").text
    assert client.get("/forgotten").status_code == 404


def test_an_account_of_the_identity_provider_has_its_password_there(
    signed_in: FlaskClient, session: Session, admin: Account
) -> None:
    admin.subject = "https://id.example.org 1"
    session.commit()

    page = signed_in.get("/account").text

    assert "change your password there" in page and 'type="password"' not in page
