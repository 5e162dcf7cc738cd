"""The pages on which analysts keep what their tasks need to be given, and nobody reads it again."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.models import Account, Audit
from portal.services import secrets, tasks
from tests.making import make_backend

TASK = {"name": "fetch", "language": "command", "backend": "here", "code": "curl -H $API_KEY"}


@pytest.fixture
def weather(signed_in: FlaskClient) -> None:
    answer = signed_in.post("/secrets", data={"name": "weather", "value": " abcdefgh\r\n"})
    assert answer.status_code == 303


def test_it_makes_replaces_and_deletes_a_secret(
    signed_in: FlaskClient, weather: None, session: Session, admin: Account
) -> None:
    assert "weather" in signed_in.get("/secrets").text
    assert secrets.opened({"A": secrets.get(session, admin, "weather").value}) == {"A": "abcdefgh"}

    assert signed_in.post("/secrets/weather", data={"value": "one line\r\nand another"}).status_code == 303
    session.rollback()
    assert secrets.opened({"A": secrets.get(session, admin, "weather").value}) == {"A": "one line\nand another"}

    assert signed_in.post("/secrets/weather/delete").status_code == 303
    assert "No secret yet" in signed_in.get("/secrets").text
    session.rollback()
    trail = session.execute(select(Audit.action, Audit.object).where(Audit.kind == "secret")).all()
    assert [tuple(each) for each in trail] == [("made", "weather"), ("replaced", "weather"), ("deleted", "weather")]


def test_it_says_what_is_wrong_and_forgets_the_value(signed_in: FlaskClient, weather: None) -> None:
    answer = signed_in.post("/secrets", data={"name": "weather", "value": "never shown again"})

    assert answer.status_code == 422
    assert "This name is taken" in answer.text
    assert "never shown again" not in answer.text
    assert "Give a value of 6" in signed_in.post("/secrets/weather", data={"value": "abc"}).text


def test_a_task_chooses_a_secret_for_a_variable(signed_in: FlaskClient, weather: None, session: Session) -> None:
    make_backend(session)
    rows = {
        "variables-0-name": "API_KEY",
        "variables-0-secret": "weather",
        "variables-1-name": "LC_ALL",
        "variables-1-value": "C",
    }

    assert signed_in.post("/tasks/new", data={**TASK, **rows}).status_code == 303

    draft = tasks.draft_of(tasks.get(session, "fetch").current)
    assert (draft.variables, draft.secrets) == ((("LC_ALL", "C"),), (("API_KEY", "weather"),))
    page = signed_in.get("/tasks/fetch").text
    assert 'value="weather"' in page
    assert "API_KEY=(the secret weather)" in signed_in.get("/tasks/fetch/revisions/1").text
    assert "fetch" in signed_in.get("/secrets").text
    refusal = signed_in.post("/secrets/weather/delete", follow_redirects=True)
    assert "used by fetch" in refusal.text


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"variables-1-secret": "other"}, "You have no secret &#39;other&#39;: make it first"),
        ({"variables-1-secret": "weather", "variables-1-value": "x"}, "A variable has a value or a secret"),
    ],
)
def test_it_says_beside_the_row_what_is_wrong_with_it(
    row: dict[str, str], sentence: str, signed_in: FlaskClient, weather: None, session: Session
) -> None:
    make_backend(session)
    rows = {"variables-0-name": "A", "variables-0-value": "x", "variables-1-name": "API_KEY"}

    answer = signed_in.post("/tasks/new", data={**TASK, **rows, **row})

    assert answer.status_code == 422
    assert 'id="variables-1-secret-error">' in answer.text
    assert sentence in answer.text


def test_the_keys_are_renewed_from_the_command_line(
    app: Flask, signed_in: FlaskClient, weather: None, session: Session, admin: Account
) -> None:
    before = secrets.get(session, admin, "weather").value

    done = app.test_cli_runner().invoke(args=["secrets", "rotate"])

    session.rollback()
    assert done.stdout == "Secrets that the first key encrypts now: 1\n"
    assert secrets.get(session, admin, "weather").value != before
    assert len(app.test_cli_runner().invoke(args=["secrets", "key"]).stdout.strip()) == 44
