"""Section 2 of the first system's contract: its twelve tests in their order, each row by itself and beside the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.domain.drafts import ParameterDraft
from portal.domain.errors import Invalid
from portal.domain.parameters import Kind, Rule, read
from portal.models import Batch
from portal.settings import settings
from tests.api.service import A, MakeJob, Send, upload

RAGGED = b"a,b\n1\n"


@dataclass
class Request:
    """A submission to two jobs, `plain` and then `fit`, before it is sent: all is well until a row spoils it."""

    plain: dict[str, Any] = field(default_factory=dict)
    form: dict[str, Any] = field(
        default_factory=lambda: {"job": "plain,fit", "fit_all": "TRUE", "fit_number": "3", "input_data": upload(RAGGED)}
    )
    full: bool = False
    json: bool = False


@dataclass(frozen=True)
class Row:
    """One row of the table: what spoils a request, and what it is answered."""

    number: int
    spoil: Callable[[Request], object]
    status: int
    body: dict[str, Any]


def sentence_on(name: str, text: str) -> str:
    """What the rules say of a text that is no whole number."""
    with pytest.raises(Invalid) as wrong:
        read(name, Rule(Kind.INTEGER), text)
    return wrong.value.fields[name]


FRAME = (
    "Required Parameter for fit Missing.You are missing a required parameter in your web form submission. "
    "GET /analytics_automated/endpoints to discover all required options"
)
TOO_MANY = (
    "You have no authority to post jobs.Either you are not logged in you have too many, 1, concurrent jobs running"
)
ROWS = [
    Row(
        1,
        lambda request: setattr(request, "json", True),
        415,
        {"detail": 'Unsupported media type "application/json" in request.'},
    ),
    Row(
        2,
        lambda request: request.form.update(email=None),
        400,
        {"error": "Input does not contain all required fields"},
    ),
    Row(
        3,
        lambda request: request.form.update(job="plain,fit,nothing"),
        400,
        {"error": "Job name supplied does not exist"},
    ),
    Row(4, lambda request: setattr(request, "full", True), 429, {"error": TOO_MANY}),
    Row(
        5,
        lambda request: request.plain.update(enabled=False),
        403,
        {"error": "plain is present but currently disabled."},
    ),
    Row(
        6,
        lambda request: request.plain.update(steps=()),
        400,
        {"error": "Job Requested: plain appears to have no Steps"},
    ),
    Row(7, lambda request: request.form.update(fit_all=None), 400, {"error": FRAME}),
    Row(
        8,
        lambda request: request.form.update(fit_number="; id"),
        400,
        {"error": {"fit_number": [sentence_on("fit_number", "; id")]}},
    ),
    Row(
        9,
        lambda request: request.form.update(email=" "),
        400,
        {"error": {"email": ["This field is required."]}},
    ),
    Row(
        10,
        lambda request: request.form.update(submission_name="x" * 65),
        400,
        {"error": {"submission_name": ["Ensure this value has at most 64 characters (it has 65)."]}},
    ),
    Row(
        11,
        lambda request: request.form.update(input_data=None),
        400,
        {"error": {"input_data": ["This field is required."]}},
    ),
    Row(
        12,
        lambda request: request.plain.update(validators=("csv",)),
        400,
        {"error": {"input_data": ["Input data could not be validated"]}},
    ),
]

Answer = Callable[[Request], Any]


@pytest.fixture
def answer(
    client: FlaskClient,
    send: Send,
    make_job: MakeJob,
    two_parameters: tuple[ParameterDraft, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> Answer:
    """Make the two jobs, and what else a request finds, and send it."""

    def answer(request: Request) -> Any:
        make_job("plain", **request.plain)
        make_job("fit", steps=((0, "fit"),), parameters=two_parameters)
        if request.full:
            make_job("other")
            monkeypatch.setenv("PORTAL_QUEUE_HARD_LIMIT", "1")
            settings.cache_clear()
            assert send(job="other").status_code == 201
        if request.json:
            return client.post(f"{A}/submission.json", json={"job": "plain"})
        return send(**request.form)

    return answer


def batches(session: Session) -> int:
    session.rollback()
    return session.scalars(select(func.count(Batch.id))).one()


def test_it_takes_a_request_that_no_row_spoils(answer: Answer, session: Session) -> None:
    assert answer(Request()).status_code == 201
    assert batches(session) == 1


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"row {row.number}")
def test_it_refuses_what_a_row_names_with_its_status_and_body(answer: Answer, session: Session, row: Row) -> None:
    request = Request()
    row.spoil(request)
    given = answer(request)
    assert (given.status_code, given.get_json()) == (row.status, row.body)
    assert batches(session) == request.full


@pytest.mark.parametrize(("row", "next_row"), list(pairwise(ROWS)), ids=lambda row: f"row {row.number}")
def test_the_earlier_of_two_rows_is_the_answer(answer: Answer, row: Row, next_row: Row) -> None:
    """Rows 9 to 11 are one form: what is wrong with it is told together."""
    request = Request()
    row.spoil(request)
    next_row.spoil(request)
    given = answer(request)
    said, expected = given.get_json(), row.body
    assert given.status_code == row.status
    if row.number in (9, 10):
        assert said["error"] == {**expected["error"], **next_row.body["error"]}
    else:
        assert said == expected


@pytest.mark.parametrize("order", ["plain,fit", "fit,plain"])
def test_what_is_wrong_with_the_first_job_is_told_before_what_is_wrong_with_the_next(
    answer: Answer, order: str
) -> None:
    request = Request(plain={"enabled": False})
    request.form.update(job=order, fit_number="x")
    given = answer(request)
    assert given.status_code == (403 if order == "plain,fit" else 400)
    assert ("fit_number" in given.text) == (order == "fit,plain")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("application/json; charset=utf-8", b"{}"),
        ("text/plain", b"job=x"),
        ("application/xml", b"<job/>"),
    ],
)
def test_it_parses_forms_only(client: FlaskClient, content_type: str, body: bytes) -> None:
    given = client.post(f"{A}/submission.json", data=body, content_type=content_type)
    assert given.status_code == 415
    assert given.get_json() == {"detail": f'Unsupported media type "{content_type}" in request.'}


def test_a_form_without_parts_is_parsed_too_and_cannot_carry_the_file(client: FlaskClient, make_job: MakeJob) -> None:
    make_job("count_lines")
    fields = {"job": "count_lines", "submission_name": "probe", "email": "a@b.com", "input_data": "text"}
    given = client.post(f"{A}/submission.json", data=fields)
    assert (given.status_code, given.get_json()) == (400, {"error": {"input_data": ["This field is required."]}})
