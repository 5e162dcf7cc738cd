"""REST for new programs: what became of a submission; stop, delete and resume it."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.policy import Role
from portal.models import Account, Submission
from portal.services import accounts, submissions
from tests.api.service import MakeJob, finish_step
from tests.api.signing import basic, refused
from tests.conftest import PASSWORD
from tests.making import order

V1 = "/api/v1/submissions"
NOBODYS = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def submission(session: Session, make_job: MakeJob, admin: Account) -> Submission:
    """The administrator's, of two steps."""
    make_job("counting", ((0, "count"), (1, "count_again")))
    return submissions.submit(session, order("counting", account=admin)).submissions[0]


@pytest.fixture
def failed(session: Session, submission: Submission) -> Submission:
    finish_step(session)
    finish_step(session, exit_status=3)
    session.expire_all()
    return submission


def test_it_tells_what_became_of_a_submission(client: FlaskClient, failed: Submission) -> None:
    told = client.get(f"{V1}/{failed.uuid}").get_json()

    assert (told["uuid"], told["batch"], told["job"], told["state"]) == (
        failed.uuid,
        failed.batch.uuid,
        "counting",
        "ERROR",
    )
    first, second = told["steps"]
    assert (first["state"], first["attempts"], first["exit_status"]) == ("COMPLETE", 1, 0)
    assert (second["state"], second["stage"], second["exit_status"]) == ("ERROR", 2, 3)
    assert "exit status 3" in second["reason"]
    [result] = [each for each in told["results"] if each["step"] == first["uuid"]]
    assert (result["size"], len(result["sha256"])) == (2, 64)
    assert client.get(result["url"]).data == b"1\n"
    assert told["resumed_from"] is None and told["expires"] is None


def test_it_does_not_know_a_guessed_name(client: FlaskClient, admin: Account) -> None:
    refused(client.get(f"{V1}/{NOBODYS}"), 404)
    refused(client.post(f"{V1}/{NOBODYS}/stop", headers=basic()), 404)
    refused(client.delete(f"{V1}/{NOBODYS}", headers=basic()), 404)
    refused(client.post(f"{V1}/{NOBODYS}/resume", headers=basic()), 404)


def test_it_stops_with_the_same_answer_however_often(
    client: FlaskClient, session: Session, submission: Submission
) -> None:
    answers = [client.post(f"{V1}/{submission.uuid}/stop", headers=basic()) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert [answer.get_json()["state"] for answer in answers] == ["STOPPED", "STOPPED"]


def test_it_deletes(client: FlaskClient, submission: Submission) -> None:
    answer = client.delete(f"{V1}/{submission.uuid}", headers=basic())

    assert (answer.status_code, answer.get_json()) == (202, {"uuid": submission.uuid, "deleting": True})


@pytest.mark.parametrize("body", [None, {}, {"step": 2}, {"step": 2, "current": True}, {"step": None}])
def test_it_resumes(client: FlaskClient, failed: Submission, body: dict[str, Any] | None) -> None:
    answer = client.post(f"{V1}/{failed.uuid}/resume", headers=basic(), json=body)

    made = answer.get_json()
    assert answer.status_code == 202 and answer.headers["Location"] == f"{V1}/{made['uuid']}"
    assert made["resumed_from"] == failed.uuid
    assert [step["state"] for step in made["steps"]] == ["COMPLETE", "QUEUED"]
    assert made["steps"][0]["taken_from"] == failed.runs[0].uuid
    assert client.get(answer.headers["Location"]).get_json() == made


def test_it_resumes_from_a_step_that_is_named(client: FlaskClient, failed: Submission) -> None:
    made = client.post(f"{V1}/{failed.uuid}/resume", headers=basic(), json={"step": failed.runs[0].uuid}).get_json()

    assert [step["state"] for step in made["steps"]] == ["QUEUED", "WAITING"]


def test_it_takes_a_stage_in_quotes_for_its_number(client: FlaskClient, failed: Submission) -> None:
    stage = failed.runs[0].stage

    answer = client.post(f"{V1}/{failed.uuid}/resume", headers=basic(), json={"step": str(stage)})

    assert answer.status_code == 202


def test_it_says_plainly_that_a_body_is_no_json(client: FlaskClient, failed: Submission) -> None:
    for body in (b"{no", b"\xff\xfe", b"[" * 5000):
        answer = client.post(f"{V1}/{failed.uuid}/resume", headers=basic(), data=body, content_type="application/json")
        assert "not JSON" in refused(answer, 400)["detail"]


def test_it_resumes_once_under_one_key(client: FlaskClient, failed: Submission) -> None:
    headers = {**basic(), "Idempotency-Key": "my request"}

    first, second = (client.post(f"{V1}/{failed.uuid}/resume", headers=headers) for _ in "12")

    assert first.get_json()["uuid"] == second.get_json()["uuid"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"step": 1.5}, "step"),
        ({"step": True}, "step"),
        ({"step": [2]}, "step"),
        ({"step": 3}, "step"),
        ({"step": "x"}, "step"),
        ({"current": 1}, "current"),
        ({"current": "true"}, "current"),
        ({"curent": True}, "body"),
        ({"self": True}, "body"),
        ([], "body"),
        ("step", "body"),
    ],
)
def test_it_names_the_field_that_is_wrong(client: FlaskClient, failed: Submission, body: Any, field: str) -> None:
    problem = refused(client.post(f"{V1}/{failed.uuid}/resume", headers=basic(), json=body), 422)

    assert list(problem["fields"]) == [field]


@pytest.mark.parametrize(("kind", "status"), [("application/json", 400), ("text/plain", 415)])
def test_it_refuses_what_is_no_json(client: FlaskClient, failed: Submission, kind: str, status: int) -> None:
    refused(client.post(f"{V1}/{failed.uuid}/resume", headers=basic(), data=b"{", content_type=kind), status)


def test_it_says_why_a_submission_cannot_be_resumed(client: FlaskClient, submission: Submission) -> None:
    problem = refused(client.post(f"{V1}/{submission.uuid}/resume", headers=basic()), 409)

    assert "wait for its end" in problem["detail"]


def test_it_asks_who_asks(client: FlaskClient, submission: Submission) -> None:
    for answer in (
        client.post(f"{V1}/{submission.uuid}/stop"),
        client.delete(f"{V1}/{submission.uuid}"),
        client.post(f"{V1}/{submission.uuid}/resume"),
        client.post(f"{V1}/{submission.uuid}/stop", headers=basic(password="wrong password")),
    ):
        refused(answer, 401)
        assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_it_lets_nobody_change_what_is_somebody_elses(
    client: FlaskClient, session: Session, submission: Submission
) -> None:
    with transaction(session):
        accounts.create(session, "eve", PASSWORD, Role.ANALYST)

    refused(client.post(f"{V1}/{submission.uuid}/stop", headers=basic("eve")), 403)
    refused(client.delete(f"{V1}/{submission.uuid}", headers=basic("eve")), 403)
    refused(client.post(f"{V1}/{submission.uuid}/resume", headers=basic("eve")), 403)
    session.expire_all()
    assert not submission.stop_asked and not submission.delete_asked


def test_it_takes_a_browsers_session_with_the_token_of_its_forms_only(
    app: Flask, signed_in: FlaskClient, session: Session, submission: Submission
) -> None:
    app.config["WTF_CSRF_ENABLED"] = True
    where = f"{V1}/{submission.uuid}/stop"
    token = signed_in.get(f"/runs/{submission.uuid}").text.split('name="csrf_token" value="')[1].split('"')[0]

    refused(signed_in.post(where), 400)

    session.expire_all()
    assert not submission.stop_asked
    assert signed_in.post(where, headers=basic()).status_code == 202
    assert signed_in.post(where, headers={"X-CSRFToken": token}).status_code == 202


def test_it_says_why_a_step_waits_that_no_worker_can_take(client: FlaskClient, submission: Submission) -> None:
    first, second = client.get(f"{V1}/{submission.uuid}").get_json()["steps"]

    assert first["reason"] == "Waits for a worker of the queue high_contract: none has reported for 2 minutes."
    assert second["reason"] == ""
