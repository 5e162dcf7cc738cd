"""Parameters as clients send them: files as file parts, and refusals that name the field, the rule and the value."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from portal import storage
from portal.domain.drafts import ParameterDraft
from portal.domain.parameters import Kind
from portal.models import Batch
from tests.api.service import A, MakeJob, Send, upload

PARAMETERS = (
    ParameterDraft("day", kind=Kind.DATE, default="2026-11-21"),
    ParameterDraft("code", pattern="[A-Z]{2}[0-9]+", default="AB1"),
    ParameterDraft("size", kind=Kind.INTEGER, default="3", minimum=1, maximum=9),
    ParameterDraft("colour", kind=Kind.CHOICE, choices=("red", "blue"), default="red"),
    ParameterDraft("on", kind=Kind.BOOLEAN, default="TRUE"),
    ParameterDraft("table", kind=Kind.FILE, choices=(".csv", ".tsv")),
)


@pytest.fixture(autouse=True)
def job(make_job: MakeJob) -> None:
    make_job("count_lines", parameters=PARAMETERS)


def test_it_takes_a_parameters_file_as_a_file_part(send: Send, session: Session) -> None:
    answer = send(count_table=upload(b"a\tb\n", "table.tsv"), count_day="2024-02-29")

    assert answer.status_code == 201
    batch = session.query(Batch).one()
    assert [(each.field, each.name) for each in batch.uploads] == [("", "in.txt"), ("count_table", "table.tsv")]
    assert storage.open_blob(batch.uploads[1].key).read() == b"a\tb\n"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("count_day", "2026-02-30", "“2026-02-30” is not a date, such as 2026-11-21."),
        ("count_code", "ab1", "“ab1” is not of the form [A-Z]{2}[0-9]+"),
        ("count_size", "10", "10 is too large, the largest is 9."),
        ("count_size", "3.5", "“3.5” is not a whole number, such as 10 or -3."),
        ("count_colour", "green", "“green” is not one of red, blue."),
        ("count_on", "maybe", "“maybe” is neither TRUE nor FALSE."),
        ("count_table", upload(b"x", "table.txt"), "“table.txt” does not end in .csv or .tsv."),
        ("count_table", "a,b", "this takes a file: send it as a file part, with a file name."),
        ("count_day", upload(b"2026-11-21", "day"), "this takes a value and no file: send it as a form field."),
    ],
)
def test_it_refuses_naming_the_field_the_rule_and_the_value(send: Send, name: str, value: Any, sentence: str) -> None:
    answer = send(**{name: value})

    assert (answer.status_code, answer.get_json()) == (400, {"error": {name: [f"{name}: {sentence}"]}})


def test_a_required_file_that_is_not_sent_is_a_missing_parameter(send: Send, make_job: MakeJob) -> None:
    make_job("must", parameters=(ParameterDraft("table", kind=Kind.FILE, required=True),), steps=((0, "send"),))

    refused = send(job="must")
    taken = send(job="must", send_table=upload(b"x", "any"))

    assert refused.get_json()["error"].startswith("Required Parameter for must Missing.")
    assert (refused.status_code, taken.status_code) == (400, 201)


def test_the_list_of_endpoints_says_where_a_file_goes(client: FlaskClient) -> None:
    [endpoint] = client.get(f"{A}/endpoints.json").get_json()["jobs"]

    assert endpoint.endswith("&count_on=[TRUE/FALSE]&count_table=[FILE]")
