"""The first system's REST contract where all goes well: its addresses, its keys in its order, its words."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.database import engine, transaction
from portal.domain.drafts import ParameterDraft
from portal.domain.policy import Role
from portal.models import Account, Batch, Share, Submission
from portal.services import accounts, jobs
from portal.settings import settings
from tests.api.service import A, MakeJob, Send, finish_step, submission_of, upload

TWO_STAGES = ((0, "count"), (3, "sum"))


def get(client: FlaskClient, path: str) -> Any:
    return client.get(f"{A}/{path}", headers={"Accept": "application/json"}).get_json()


def test_it_accepts_a_submission_with_its_batch_and_name(send: Send, make_job: MakeJob, session: Session) -> None:
    make_job("count_lines")
    answer = send(submission_name='"Ö" <b>')
    batch = session.scalars(select(Batch)).one()
    assert answer.status_code == 201
    assert answer.text == f'{{"UUID":"{batch.uuid}","submission_name":"\\"Ö\\" <b>"}}'
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Allow"] == "POST, OPTIONS"
    assert "Accept" in answer.headers["Vary"]


@pytest.mark.parametrize("path", ["submission", "submission/", "submission.json", "submission/.json"])
def test_it_accepts_every_spelling_of_the_address(send: Send, make_job: MakeJob, path: str) -> None:
    make_job("count_lines")
    assert send(f"{A}/{path}").status_code == 201


def test_the_last_value_of_a_repeated_field_wins(send: Send, make_job: MakeJob) -> None:
    make_job("count_lines")
    assert send(submission_name=["first", "last"]).get_json()["submission_name"] == "last"


def test_it_shows_a_batch_from_its_acceptance_to_its_end(
    client: FlaskClient, send: Send, make_job: MakeJob, session: Session
) -> None:
    make_job("count_lines", steps=TWO_STAGES)
    uuid = send().get_json()["UUID"]
    one = submission_of(session, uuid)
    seen = get(client, f"submission/{uuid}")
    assert (seen["state"], seen["submissions"][0]["last_message"]) == ("Submitted", "Submitted")
    finish_step(session)
    assert get(client, f"submission/{uuid}")["state"] == "Running"
    finish_step(session)
    tasks = [run.task_id for run in submission_of(session, uuid).runs]
    assert client.get(f"{A}/submission/{uuid}.json").text == json.dumps(
        {
            "UUID": uuid,
            "state": "Complete",
            "submissions": [
                {
                    "submission_name": "probe",
                    "job_name": "count_lines",
                    "UUID": one.uuid,
                    "state": "Complete",
                    "last_message": "Completed job at step #2",
                    "email": "a@b.com",
                    "input_file": f"/submissions/{one.uuid}_input.txt",
                    "results": [
                        _result(tasks[0], "count", 1, one.uuid),
                        _result(tasks[1], "sum", 2, one.uuid),
                    ],
                }
            ],
        },
        separators=(",", ":"),
    )


def _result(task: int | None, name: str, step: int, uuid: str) -> dict[str, Any]:
    return {
        "task": task,
        "name": name,
        "message": "Result",
        "step": step,
        "data_path": f"/submissions/{uuid}.{name}",
    }


def test_a_single_submission_is_one_element_of_its_batch(
    client: FlaskClient, send: Send, make_job: MakeJob, session: Session
) -> None:
    make_job("count_lines")
    batch = get(client, f"submission/{send().get_json()['UUID']}")
    uuid = batch["submissions"][0]["UUID"]
    for path in (f"submission/single/{uuid}", f"submission/single/{uuid}/", f"submission/single/{uuid}.json"):
        assert get(client, path) == batch["submissions"][0]
    assert client.head(f"{A}/submission/single/{uuid}").status_code == 200
    assert get(client, f"submission/single/{batch['UUID']}") == {"detail": "Not found."}


def test_a_failed_step_is_an_error_with_its_reason(
    client: FlaskClient, send: Send, make_job: MakeJob, session: Session
) -> None:
    make_job("count_lines")
    uuid = send().get_json()["UUID"]
    finish_step(session, exit_status=3)
    seen = get(client, f"submission/{uuid}")
    assert (seen["state"], seen["submissions"][0]["state"]) == ("Error", "Error")
    assert "3" in seen["submissions"][0]["last_message"]


@pytest.mark.parametrize("root", ["", A])
def test_it_serves_results_and_inputs_as_data(
    client: FlaskClient, send: Send, make_job: MakeJob, session: Session, root: str
) -> None:
    make_job("count_lines")
    uuid = send(input_data=upload(b"in\n")).get_json()["UUID"]
    path = f"/submissions/{submission_of(session, uuid).uuid}.count"
    assert client.get(root + path).status_code == 404
    finish_step(session, b"<script>1</script>")
    answer = client.get(root + path)
    assert (answer.status_code, answer.data) == (200, b"<script>1</script>")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.content_length == 18
    given = get(client, f"submission/{uuid}")["submissions"][0]["input_file"]
    assert client.get(root + given).data == b"in\n"


@pytest.mark.parametrize("name", ["nothing.txt", "..%2f..%2fetc%2fpasswd", "%00", "x.json"])
def test_it_has_no_other_files(client: FlaskClient, name: str) -> None:
    assert client.get(f"/submissions/{name}").status_code == 404


def test_it_tells_what_a_submission_must_hold(
    client: FlaskClient, make_job: MakeJob, two_parameters: tuple[ParameterDraft, ...]
) -> None:
    make_job("zebra")
    make_job("aardvark", steps=((0, "task1"),), parameters=two_parameters)
    make_job("switched_off", enabled=False)
    make_job("private", public=False)
    fixed = "submission_name=[STRING]&email=[EMAIL_STRING]&input_data=[FILE]"
    assert get(client, "endpoints/") == {
        "jobs": [
            f"/submission/&job=zebra&{fixed}",
            f"/submission/&job=aardvark&{fixed}&task1_all=[TRUE/FALSE]&task1_number=[VALUE]",
        ]
    }


def test_a_password_opens_private_jobs(client: FlaskClient, send: Send, make_job: MakeJob, app: Flask) -> None:
    make_job("private", public=False)
    headers = _with_account(app)
    assert send(job="private", headers=headers).status_code == 201
    assert client.get(f"{A}/job/private.json", headers=headers).status_code == 200
    assert client.get(f"{A}/job/private.json").status_code == 404


def _with_account(app: Flask) -> dict[str, str]:
    with Session(engine()) as session, transaction(session):
        carol = accounts.create(session, "carol", "a long password of hers", Role.SUBMITTER)
        session.add(Share(job_id=jobs.get(session, "private").id, account_id=carol.id))
    return {"Authorization": "Basic " + base64.b64encode(b"carol:a long password of hers").decode()}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Origin": "http://localhost"}, 201),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, 400),
        ({"Origin": "http://elsewhere.example"}, 400),
        ({"Origin": "null"}, 400),
        ({"Origin": "http://["}, 400),
        ({}, 400),
    ],
)
def test_a_session_counts_only_when_the_portals_own_page_sends(
    client: FlaskClient, send: Send, make_job: MakeJob, admin: Account, headers: dict[str, str], status: int
) -> None:
    make_job("private", public=False)
    with client.session_transaction() as cookie:
        cookie["_user_id"] = admin.session_key
        cookie["_fresh"] = True
        cookie["began"] = cookie["seen"] = int(time.time())
    assert send(job="private", headers=headers).status_code == status


def test_a_configured_origin_may_read_and_no_other(client: FlaskClient, app: Flask) -> None:
    app.config["PORTAL"] = app.config["PORTAL"].model_copy(
        update={"portal_cors_origins": "http://react.example:3000, http://other.example"}
    )
    for origin, allowed in [("http://react.example:3000", True), ("http://evil.example", False)]:
        answer = client.get(f"{A}/endpoints.json", headers={"Origin": origin})
        assert answer.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
        assert "Origin" in answer.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in answer.headers


def test_it_answers_a_request_that_comes_again_under_its_key_with_the_same_batch(
    send: Send, make_job: MakeJob, session: Session, data: Path
) -> None:
    make_job("count_lines")
    answers = [send(headers={"Idempotency-Key": "once"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].get_json() == answers[1].get_json()
    assert session.query(Submission).count() == 1
    assert len(list((data / "files" / "uploads").iterdir())) == 1


def test_it_answers_a_request_that_comes_again_though_nothing_new_is_taken(
    send: Send, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_job("count_lines")
    first = send(headers={"Idempotency-Key": "once"})
    monkeypatch.setenv("PORTAL_QUEUE_HARD_LIMIT", "1")
    settings.cache_clear()
    assert send().status_code == 429
    assert send(headers={"Idempotency-Key": "once"}).get_json() == first.get_json()


def test_requests_without_a_key_are_each_their_own(send: Send, make_job: MakeJob) -> None:
    make_job("count_lines")
    assert send().get_json()["UUID"] != send(headers={"Idempotency-Key": ""}).get_json()["UUID"]
