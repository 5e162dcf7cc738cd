"""Several files of input_data in one request, by each of its ways."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import storage
from portal.models import Submission, Upload
from tests.making import make_job, make_task
from tests.pages.test_statements import counting

CONTRACT, V1, PAGE = "/analytics_automated/submission.json", "/api/v1/submissions", "/jobs/counts/run"


@pytest.fixture(autouse=True)
def jobs(session: Session) -> None:
    make_task(session, "count", "command", "wc -c < $I1", inputs=(".txt",), stdout=".n")
    make_job(session, "counts", [(1, "count")], open_links=True)


def form(contents: Sequence[bytes], **more: Any) -> dict[str, Any]:
    files = [(io.BytesIO(content), f"in{number}.txt") for number, content in enumerate(contents)]
    fields = {"job": "counts", "submission_name": "many", "name": "many", "email": "ann@example.org"}
    return {**fields, "input_data": files, **more}


def kept(session: Session) -> list[bytes]:
    return [storage.open_blob(key).read() for key in session.scalars(select(Upload.key).order_by(Upload.id))]


def post(client: FlaskClient, address: str, data: dict[str, Any]) -> Any:
    taken = {CONTRACT: {"job", "submission_name", "email"}, V1: {"job", "name", "email"}}
    own = {name: value for name, value in data.items() if name == "input_data" or name in taken.get(address, data)}
    return client.post(address, data=own, content_type="multipart/form-data")


@pytest.mark.parametrize(("address", "status"), [(CONTRACT, 201), (V1, 202), (PAGE, 303)])
def test_it_takes_several_inputs(app: Flask, client: FlaskClient, session: Session, address: str, status: int) -> None:
    app.config["WTF_CSRF_ENABLED"] = False
    contents = [b"first\r\n", b"second\r\n--x", b"\0third\n"]

    answer = post(client, address, form(contents))

    assert answer.status_code == status, answer.text
    assert kept(session) == contents
    assert [each.input for each in session.scalars(select(Submission).order_by(Submission.position))] == [1, 2, 3]


def test_it_tells_of_all_members_in_as_many_statements_as_of_few(client: FlaskClient, session: Session) -> None:
    client.post(CONTRACT, data=form([b"0"]))
    found = []
    for count in (3, 14):
        uuid = post(client, CONTRACT, form([b"%d" % number for number in range(count)])).json["UUID"]
        with counting() as sent:
            told = client.get(f"/analytics_automated/submission/{uuid}.json").json
        found.append((len(told["submissions"]), len(sent)))

    assert found[0][0] == 3 and found[1][0] == 14
    assert found[0][1] == found[1][1] <= 10


def test_it_refuses_more_files_than_allowed(client: FlaskClient, session: Session, app: Flask) -> None:
    app.config["PORTAL"] = app.config["PORTAL"].model_copy(update={"portal_max_inputs": 3})

    answer = post(client, CONTRACT, form([b"x"] * 4))

    assert answer.status_code == 413
    assert "more than 3 files of input_data" in answer.json["detail"]
    assert session.scalar(select(Upload.id)) is None


def test_it_allows_no_more_other_parts_than_before(client: FlaskClient, app: Flask) -> None:
    app.config["MAX_FORM_PARTS"] = 20
    more = {f"other{number}": (io.BytesIO(b"x"), "o.txt") for number in range(20)}

    assert client.post(CONTRACT, data=form([b"x"], **more)).status_code == 413


def test_it_counts_inputs_apart_only_where_they_are_taken(client: FlaskClient, app: Flask) -> None:
    app.config["MAX_FORM_PARTS"] = 20

    assert client.post("/sign-in", data=form([b"x"] * 30), content_type="multipart/form-data").status_code == 413


def test_it_takes_a_submission_in_few_statements(client: FlaskClient) -> None:
    post(client, CONTRACT, form([b"x"]))
    with counting() as sent:
        answer = post(client, CONTRACT, form([b"x"]))

    assert answer.status_code == 201
    assert len([each for each in sent if not each.startswith("BEGIN")]) <= 13, "\n".join(sent)
