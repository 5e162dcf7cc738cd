"""The administrators' pages of accounts."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.policy import Role
from portal.models import Account, Audit, Letter
from portal.services import accounts, roster, tokens
from portal.services.roster import AccountDraft
from tests.conftest import PASSWORD
from tests.postbox import Postbox

ANN = {"name": "ann", "role": "analyst", "email": "ann@example.org", "active": "y"}


def password_of(page: str) -> str:
    found = re.search(r'<code id="password">([^<]+)</code>', page)
    assert found
    return found[1]


def done(session: Session) -> list[tuple[str, str, str]]:
    """What stands on the audit trail of accounts."""
    session.rollback()
    lines = session.scalars(select(Audit).where(Audit.kind == "account").order_by(Audit.id))
    return [(line.actor, line.action, line.object) for line in lines]


def test_it_makes_an_account_and_shows_its_first_password_once(signed_in: FlaskClient, session: Session) -> None:
    answer = signed_in.post("/accounts/new", data=ANN)

    assert answer.status_code == 201 and answer.headers["Cache-Control"] == "no-store"
    account = accounts.authenticate(session, "ann", password_of(answer.text))
    assert (account.role, account.email, account.must_change) == (Role.ANALYST, "ann@example.org", True)
    shown = signed_in.get("/accounts").text
    assert "ann" in shown and "with a new password" in shown and password_of(answer.text) not in shown
    assert done(session)[-1] == ("admin", "made", "ann")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": ""}, "Give the account a name."),
        ({"name": "a b"}, "Use letters, digits and . _ @ + - for the name"),
        ({"name": "Admin"}, "This name is taken"),
        ({"email": "nowhere"}, "This is not one e-mail address"),
    ],
)
def test_it_names_what_is_wrong(signed_in: FlaskClient, change: dict[str, str], sentence: str) -> None:
    answer = signed_in.post("/accounts/new", data=ANN | change)

    assert answer.status_code == 422 and sentence in answer.text


def test_it_gives_another_role_and_switches_off_and_ends_the_sessions(
    app: Flask, signed_in: FlaskClient, session: Session
) -> None:
    with transaction(session):
        ann = accounts.create(session, "ann", PASSWORD, Role.ANALYST)
    client = app.test_client()
    client.post("/sign-in", data={"name": "ann", "password": PASSWORD})
    assert "Analyst" in signed_in.get(f"/accounts/{ann.id}").text

    signed_in.post(f"/accounts/{ann.id}", data={"role": "submitter", "active": "y"})
    assert client.get("/runs").status_code == 302
    signed_in.post(f"/accounts/{ann.id}", data={"role": "submitter"})

    assert client.post("/sign-in", data={"name": "ann", "password": PASSWORD}).status_code == 422
    assert "switched off" in signed_in.get("/accounts").text
    assert [line[1] for line in done(session) if line[2] == "ann" and line[0] == "admin"] == ["changed", "changed"]


def test_it_keeps_the_last_administrator(signed_in: FlaskClient, session: Session, admin: Account) -> None:
    for form in ({"role": "analyst", "active": "y"}, {"role": "administrator"}):
        answer = signed_in.post(f"/accounts/{admin.id}", data=form)
        assert answer.status_code == 422 and "This is the only administrator" in answer.text

    session.rollback()
    assert (admin.role, admin.active) == (Role.ADMINISTRATOR, True)


def test_it_makes_a_new_password_for_who_has_lost_theirs(signed_in: FlaskClient, session: Session) -> None:
    with transaction(session):
        ann = accounts.create(session, "ann", PASSWORD, Role.ANALYST)
        secret = tokens.create(session, ann, tokens.TokenDraft("x", ("read",))).secret

    answer = signed_in.post(f"/accounts/{ann.id}/password")

    session.rollback()
    assert accounts.authenticate(session, "ann", password_of(answer.text)).must_change
    assert tokens.find(session, secret) is None


def test_it_writes_to_who_has_an_address_while_mail_is_sent(
    signed_in: FlaskClient, session: Session, box: Postbox
) -> None:
    with transaction(session):
        ann = roster.add(session, None, AccountDraft("ann", email="ann@example.org")).account

    assert "Send a letter" in signed_in.get(f"/accounts/{ann.id}").text
    assert signed_in.post(f"/accounts/{ann.id}/letter").status_code == 303
    assert signed_in.post(f"/accounts/{ann.id}/letter").status_code == 409

    session.rollback()
    assert session.scalars(select(Letter.account_id)).all() == [ann.id]


@pytest.mark.parametrize("lacking", [{"email": ""}, {"active": False}, {"subject": "of a provider"}])
def test_it_writes_to_nobody_whom_no_letter_lets_in(
    signed_in: FlaskClient, session: Session, box: Postbox, lacking: dict[str, Any]
) -> None:
    with transaction(session):
        ann = roster.add(session, None, AccountDraft("ann", email="ann@example.org")).account
        for name, value in lacking.items():
            setattr(ann, name, value)

    assert "Send a letter" not in signed_in.get(f"/accounts/{ann.id}").text
    assert signed_in.post(f"/accounts/{ann.id}/letter").status_code == 409

    session.rollback()
    assert session.scalars(select(Letter.account_id)).all() == []


@pytest.mark.parametrize("path", ["/accounts/77", "/accounts/99999999999999999999"])
def test_it_has_no_page_for_an_account_that_there_is_not(signed_in: FlaskClient, path: str) -> None:
    assert signed_in.get(path).status_code == 404
