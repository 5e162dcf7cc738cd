"""The page of the audit trail."""

from __future__ import annotations

import csv
import io

from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.policy import Role
from portal.pages import audit as page
from portal.services import accounts
from tests.conftest import PASSWORD
from tests.making import make_task


def sheet(client: FlaskClient, query: str = "") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(client.get(f"/audit.csv{query}").text)))


def test_it_shows_who_did_what_from_where(signed_in: FlaskClient) -> None:
    made = signed_in.post(
        "/backends/new", data={"name": "grid", "runner": "local", "queue": "grid", "languages": ["command"]}
    )
    assert made.status_code in (302, 303), made.text

    shown = signed_in.get("/audit").text

    [line] = sheet(signed_in, "?kind=backend")
    assert (line["actor"], line["action"], line["object"], line["address"]) == ("admin", "saved", "grid", "127.0.0.1")
    for word in ("admin", "saved", "backend <bdi>grid</bdi>", "127.0.0.1", f"request {line['request']}"):
        assert word in shown


def test_a_program_of_an_account_is_named_as_the_account(signed_in: FlaskClient, session: Session) -> None:
    signed_in.post("/sign-out")
    body = {"name": "count", "language": "command", "backend": "here", "code": "true", "public": False}
    make_task(session, "first", "command", "true")
    answer = signed_in.post("/api/v1/tasks", json=body, auth=("admin", PASSWORD))
    assert answer.status_code == 201, answer.text
    signed_in.post("/sign-in", data={"name": "admin", "password": PASSWORD})

    [line] = sheet(signed_in, "?text=count")

    assert (line["actor"], line["object"]) == ("admin", "count")


def test_it_says_in_words_how_a_group_was_before(signed_in: FlaskClient) -> None:
    signed_in.post("/groups/new", data={"name": "lab", "members": "admin"})
    signed_in.post("/groups/1", data={"name": "field", "members": ""})

    shown = signed_in.get("/audit?kind=group").text

    assert "now: (group: field); before: (group: lab; members: admin)" in shown


def test_it_is_filtered_and_leafed_through(signed_in: FlaskClient, session: Session) -> None:
    for number in range(page.PAGE + 2):
        make_task(session, f"task{number:03}", "command", "true", public=False)

    first = signed_in.get("/audit?kind=task").text

    assert "task101" in first and "<bdi>task001" not in first and "Older" in first
    before = first.rpartition("before=")[2].partition('"')[0]
    older = signed_in.get(f"/audit?kind=task&before={before}").text
    assert "<bdi>task001" in older and "task101" not in older and "Newest" in older
    assert "No line is like this" in signed_in.get("/audit?text=no-such-thing").text


def test_its_sheet_has_every_line(signed_in: FlaskClient, session: Session) -> None:
    for number in range(5):
        make_task(session, f"task{number}", "command", "true", public=False)
    page.SHEET, whole = 2, page.SHEET
    try:
        rows = sheet(signed_in, "?kind=task")
    finally:
        page.SHEET = whole

    assert [row["object"] for row in rows] == [f"task{number}" for number in reversed(range(5))]


def test_only_administrators_read_it(client: FlaskClient, session: Session) -> None:
    with transaction(session):
        accounts.create(session, "ann", PASSWORD, Role.ANALYST)
    assert client.get("/audit").status_code == 302
    client.post("/sign-in", data={"name": "ann", "password": PASSWORD})

    assert {client.get(path).status_code for path in ("/audit", "/audit.csv")} == {403}
    assert "Audit trail" not in client.get("/").text
