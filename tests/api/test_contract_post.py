"""Section 2 of the first system's contract: the fields of a submission, its success, and the queue rules."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.drafts import ParameterDraft
from portal.domain.parameters import Kind
from portal.models import Account, Batch, Run, Submission, Upload
from portal.settings import settings
from tests.api.service import A, MakeJob, Send, upload
from tests.conftest import PASSWORD

FAMILY = "👩\u200d🔬 & <b>\"'\\\t\n"


@pytest.mark.parametrize(
    ("row", "fields", "status", "wrong"),
    [
        ("job", {"job": "count_lines,other,count_lines"}, 201, None),
        ("job", {"job": "count_lines, other"}, 400, None),
        ("submission_name", {"submission_name": "x"}, 201, None),
        ("submission_name", {"submission_name": "é" * 64}, 201, None),
        ("submission_name", {"submission_name": FAMILY}, 201, None),
        ("submission_name", {"submission_name": "é" * 65}, 400, "submission_name"),
        ("submission_name", {"submission_name": "a\0b"}, 400, "submission_name"),
        ("email", {"email": "first.last+tag@sub.example.co.uk"}, 201, None),
        ("email", {"email": "a@machine.local"}, 201, None),
        ("email", {"email": "a@localhost"}, 201, None),
        ("email", {"email": "jörg@exämple.com"}, 201, None),
        ("email", {"email": "a@b"}, 400, "email"),
        ("email", {"email": "a b@c.org"}, 400, "email"),
        ("email", {"email": "a@b.com,c@d.com"}, 400, "email"),
        ("email", {"email": f"a@{'b' * 60}.{'c' * 250}.com"}, 400, "email"),
        ("input_data", {"input_data": upload(b"\0\xff", "bytes.bin")}, 201, None),
        ("input_data", {"input_data": upload(b"")}, 400, "input_data"),
        ("input_data", {"input_data": "a field, not a file"}, 400, "input_data"),
        ("<task>_<alias>", {"nobody_knows": "; rm -rf /", "count": "x"}, 201, None),
    ],
)
def test_it_takes_a_field_as_its_row_says(
    send: Send, make_job: MakeJob, row: str, fields: dict[str, Any], status: int, wrong: str | None
) -> None:
    make_job("count_lines")
    make_job("other")
    answer = send(**fields)
    assert answer.status_code == status, row
    if status == 201:
        assert answer.get_json()["submission_name"] == fields.get("submission_name", "probe")
    elif wrong:
        assert list(answer.get_json()["error"]) == [wrong]


def test_an_address_that_is_too_long_is_told_how_long(send: Send, make_job: MakeJob) -> None:
    make_job("count_lines")
    answer = send(email=f"{'a' * 300}@b.com")
    assert answer.get_json() == {"error": {"email": ["Ensure this value has at most 256 characters (it has 306)."]}}


@pytest.mark.parametrize(("name", "kept"), [("a dir/my file.txt", "my_file.txt"), ("in 1.csv", "in_1.csv")])
def test_a_file_name_is_reduced_to_its_last_segment(
    send: Send, make_job: MakeJob, session: Session, name: str, kept: str
) -> None:
    make_job("count_lines")
    send(input_data=upload(b"x", name))
    assert session.scalars(select(Upload.name)).one() == kept


def test_success_is_the_batch_and_the_name_in_this_order_and_nothing_else(send: Send, make_job: MakeJob) -> None:
    make_job("count_lines")
    answer = send(submission_name=" probe ")
    assert answer.status_code == 201
    assert re.fullmatch(r'\{"UUID":"[0-9a-f-]{36}","submission_name":" probe "\}', answer.text)


# Parameters


@pytest.mark.parametrize(
    ("sent", "status", "used"),
    [({}, 201, "7"), ({"count_number": ""}, 201, "7"), ({"count_number": "-3"}, 201, "-3")],
)
def test_a_parameter_whose_author_gave_a_default_need_not_be_sent(
    send: Send,
    make_job: MakeJob,
    session: Session,
    two_parameters: tuple[ParameterDraft, ...],
    sent: dict[str, str],
    status: int,
    used: str,
) -> None:
    number = replace(two_parameters[1], required=False, default="7")
    make_job("count_lines", parameters=(number,))
    assert send(**sent).status_code == status
    [argument] = session.scalars(select(Run)).one().work["arguments"]
    assert argument["text"] == used


@pytest.mark.parametrize(("text", "value"), [("TRUE", True), ("true", True), ("FALSE", False), ("False", False)])
def test_a_boolean_is_required_and_false_drops_its_flag(
    send: Send, make_job: MakeJob, session: Session, text: str, value: bool
) -> None:
    make_job("count_lines", parameters=(ParameterDraft("all", kind=Kind.BOOLEAN, required=True, flag="-a"),))
    assert send().status_code == 400
    assert send(count_all=text).status_code == 201
    assert session.scalars(select(Run)).one().work["arguments"][0]["value"] is value


@pytest.mark.parametrize(
    ("kind", "text"),
    [(Kind.INTEGER, "3.5"), (Kind.DECIMAL, "NaN"), (Kind.BOOLEAN, "maybe"), (Kind.CHOICE, "green")],
)
def test_what_cannot_be_valid_is_refused_with_its_field_its_rule_and_its_value(
    send: Send, make_job: MakeJob, kind: Kind, text: str
) -> None:
    choices = ("red", "blue") if kind is Kind.CHOICE else ()
    make_job("count_lines", parameters=(ParameterDraft("value", kind=kind, required=True, choices=choices),))
    answer = send(count_value=text)
    [(field, [sentence])] = answer.get_json()["error"].items()
    assert (answer.status_code, field) == (400, "count_value")
    assert "count_value" in sentence and text in sentence and sentence.endswith(".")


@pytest.mark.parametrize(
    "text", ["-1", "1e-5", "a_b", "2026-11-21", "import", "paste", "false", "x;id", "it's", "€ 🐧"]
)
def test_a_text_is_data_whatever_it_looks_like(send: Send, make_job: MakeJob, session: Session, text: str) -> None:
    make_job("count_lines", parameters=(ParameterDraft("word", required=True),))
    assert send(count_word=text).status_code == 201
    assert session.scalars(select(Run)).one().work["arguments"][0]["text"] == text


# Limits and priorities

Active = Callable[[int], None]


@pytest.fixture
def active(send: Send, session: Session) -> Active:
    """Have so many submissions of this client wait, beside those that do already."""

    def active(count: int) -> None:
        assert send().status_code == 201
        with transaction(session):
            batch = session.scalars(select(Batch).order_by(Batch.id.desc())).first()
            assert batch is not None
            for position in range(1, count):
                one = batch.submissions[0]
                batch.submissions.append(
                    Submission(uuid=f"{batch.id}-{position}", position=position, job_name=one.job_name, job_revision=1)
                )

    return active


def queue_of_last(session: Session) -> str:
    session.rollback()
    return session.scalars(select(Run.queue).order_by(Run.id.desc())).first() or ""


def as_admin(admin: Account) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{admin.name}:{PASSWORD}".encode()).decode()}


@pytest.mark.parametrize(
    ("already", "status", "queue"), [(1, 201, "contract"), (9, 201, "contract"), (10, 201, "low_contract"),
                                     (14, 201, "low_contract"), (15, 429, None), (17, 429, None)]
)  # fmt: skip
def test_a_client_is_served_later_from_ten_on_and_no_more_from_fifteen(
    send: Send, make_job: MakeJob, session: Session, active: Active, already: int, status: int, queue: str | None
) -> None:
    make_job("count_lines")
    active(already)
    answer = send()
    assert answer.status_code == status
    if queue:
        assert queue_of_last(session) == queue
    else:
        assert f"too many, {already}, concurrent" in answer.get_json()["error"]
        assert int(answer.headers["Retry-After"]) > 0


def test_an_account_is_served_sooner_and_has_a_count_of_its_own(
    send: Send, make_job: MakeJob, session: Session, active: Active, admin: Account
) -> None:
    make_job("count_lines")
    active(15)
    headers = as_admin(admin)
    assert send(headers=headers).status_code == 201
    assert queue_of_last(session) == "high_contract"


def test_a_browsers_session_counts_with_the_token_of_its_forms(
    client: FlaskClient, send: Send, make_job: MakeJob, session: Session, app: Flask, admin: Account
) -> None:
    app.config["WTF_CSRF_ENABLED"] = True
    make_job("count_lines")
    page = client.get("/sign-in").text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert token
    signed_in = client.post("/sign-in", data={"name": "admin", "password": PASSWORD, "csrf_token": token[1]})
    assert signed_in.status_code == 302
    fresh = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get("/").text)
    assert fresh
    assert send(headers={"X-CSRFToken": "made up"}).status_code == 201
    assert queue_of_last(session) == "contract"
    assert send(headers={"X-CSRFToken": fresh[1]}).status_code == 201
    assert queue_of_last(session) == "high_contract"


@pytest.mark.parametrize(
    ("name", "already", "queue"),
    [("PORTAL_QUEUE_HARD_LIMIT", 20, "low_contract"), ("PORTAL_QUEUE_HOG_SIZE", 14, "contract")],
)
def test_a_limit_that_is_empty_is_not_applied(
    send: Send, make_job: MakeJob, session: Session, active: Active, monkeypatch: pytest.MonkeyPatch,
    name: str, already: int, queue: str,
) -> None:  # fmt: skip
    monkeypatch.setenv(name, "")
    settings.cache_clear()
    make_job("count_lines")
    active(already)
    assert send().status_code == 201
    assert queue_of_last(session) == queue


def test_a_batch_is_tested_once_and_counts_one_for_each_job(
    send: Send, make_job: MakeJob, session: Session, active: Active
) -> None:
    make_job("count_lines")
    active(14)
    assert send(job="count_lines,count_lines,count_lines").status_code == 201
    assert "too many, 17, concurrent" in send().get_json()["error"]


def test_who_guesses_passwords_is_told_when_to_come_again(client: FlaskClient) -> None:
    answers = [client.get(f"{A}/endpoints.json", headers={"Authorization": "Basic eDp5"}) for _ in range(15)]
    assert answers[-1].status_code == 429
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
