"""The refusals of the first system's table, in its order, word for word."""

from __future__ import annotations

import base64
import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.drafts import ParameterDraft
from portal.models import Account, Batch, Worker
from portal.services import backends
from portal.settings import settings
from tests.api.service import QUEUE, A, MakeJob, Send, upload

MISSING = (
    "Required Parameter for count_lines Missing.You are missing a required parameter in your web form submission. "
    "GET /analytics_automated/endpoints to discover all required options"
)


def refused(answer: Any, status: int, body: dict[str, Any]) -> None:
    assert (answer.status_code, answer.get_json()) == (status, body)


def test_it_refuses_a_multipart_body_without_its_boundary(client: FlaskClient) -> None:
    answer = client.post(f"{A}/submission.json", data=b"x", content_type="multipart/form-data")
    refused(answer, 415, {"detail": 'Unsupported media type "multipart/form-data" in request.'})


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'--B\r\nContent-Disposition: form-data; name="job"\r\n\r\nx\r\n', "multipart/form-data; boundary=B"),
        (
            b'--B\r\nContent-Disposition: form-data; name="f"; filename="\xe9"\r\n\r\nx\r\n--B--\r\n',
            "multipart/form-data; boundary=B",
        ),
        (b"job=\xe9", "application/x-www-form-urlencoded"),
    ],
)
def test_it_says_that_a_form_cannot_be_read(client: FlaskClient, body: bytes, kind: str) -> None:
    answer = client.post(f"{A}/submission.json", data=body, content_type=kind)
    refused(
        answer, 400, {"error": "The form cannot be read: it is cut off, or a field in it has no name in UTF-8 text."}
    )


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("submission_name", "This is not UTF-8 text."),
        ("email", "Enter a valid email address."),
        ("count_word", "count_word: this is not UTF-8 text."),
    ],
)
def test_it_names_the_field_whose_text_is_not_utf_8(send: Send, make_job: MakeJob, name: str, sentence: str) -> None:
    make_job("count_lines", parameters=(ParameterDraft("word", required=True),))
    fields = {"count_word": "x", name: (io.BytesIO(b"caf\xe9"), None)}
    refused(send(**fields), 400, {"error": {name: [sentence]}})


@pytest.mark.parametrize("name", ["job", "submission_name", "email"])
def test_it_refuses_a_form_in_which_a_field_is_absent(send: Send, name: str) -> None:
    refused(send(**{name: None}), 400, {"error": "Input does not contain all required fields"})


@pytest.mark.parametrize("names", ["", "nothing", "Count_lines", "count_lines,", "count_lines, count_lines", "a\0b"])
def test_it_refuses_a_job_that_does_not_exist(send: Send, make_job: MakeJob, names: str) -> None:
    make_job("count_lines")
    refused(send(job=names, email=""), 400, {"error": "Job name supplied does not exist"})


def test_it_knows_no_private_job_without_an_account(send: Send, make_job: MakeJob) -> None:
    make_job("count_lines", public=False)
    refused(send(), 400, {"error": "Job name supplied does not exist"})


@pytest.mark.parametrize("given", [{}, {"count_all": "TRUE"}, {"count_number": "3"}])
def test_it_refuses_a_form_in_which_a_parameter_is_absent(
    send: Send, make_job: MakeJob, two_parameters: tuple[ParameterDraft, ...], given: dict[str, str]
) -> None:
    make_job("count_lines", parameters=two_parameters)
    refused(send(email="", **given), 400, {"error": MISSING})


@pytest.mark.parametrize("value", ["; id", "3.5", "NaN", "$(id)", ""])
def test_it_refuses_a_parameter_that_cannot_be_valid_and_names_it(
    send: Send, make_job: MakeJob, two_parameters: tuple[ParameterDraft, ...], value: str
) -> None:
    make_job("count_lines", parameters=two_parameters)
    answer = send(email="", count_all="TRUE", count_number=value)
    assert answer.status_code == 400
    assert list(answer.get_json()["error"]) == ["count_number"]


@pytest.mark.parametrize("name", ["submission_name", "email"])
def test_it_refuses_a_blank_field(send: Send, make_job: MakeJob, name: str) -> None:
    make_job("count_lines")
    refused(send(**{name: " "}), 400, {"error": {name: ["This field is required."]}})


def test_it_reports_what_is_wrong_with_the_form_together(send: Send, make_job: MakeJob) -> None:
    make_job("count_lines")
    answer = send(email="nobody", submission_name="x" * 65, input_data=upload(b""))
    wrong = {
        "email": ["Enter a valid email address."],
        "submission_name": ["Ensure this value has at most 64 characters (it has 65)."],
        "input_data": ["The submitted file is empty."],
    }
    refused(answer, 400, {"error": wrong})


def test_it_refuses_a_file_beyond_the_limit(
    send: Send, make_job: MakeJob, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_job("count_lines")
    monkeypatch.setattr(settings(), "portal_max_upload_bytes", 3)
    answer = send(input_data=upload(b"1234"))
    assert answer.status_code == 413
    assert list(answer.get_json()["error"]) == ["input_data"]
    assert session.scalars(select(func.count(Batch.id))).one() == 0


def test_it_refuses_text_fields_beyond_the_limit(send: Send, make_job: MakeJob, app: Flask) -> None:
    make_job("count_lines")
    app.config["MAX_FORM_MEMORY_SIZE"] = 1000
    answer = send(submission_name="x" * 2000)
    assert (answer.status_code, list(answer.get_json())) == (413, ["detail"])


def test_it_says_later_when_no_worker_can_run_the_job_now(send: Send, make_job: MakeJob, session: Session) -> None:
    make_job("count_lines")
    with transaction(session):
        backends.report(
            session, Worker(name="w", queues=[QUEUE], obstacles={"contract": {"command": "sh is not installed"}})
        )
    answer = send()
    assert answer.status_code == 503
    assert "sh is not installed" in answer.get_json()["error"]
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    "path",
    ["endpoints.json", "job.json", "job/x.json", "jobtimes.json", "submission/x.json", "submission/single/x.json"],
)
def test_it_refuses_wrong_credentials_everywhere(client: FlaskClient, send: Send, path: str) -> None:
    headers = {"Authorization": "Basic " + base64.b64encode(b"admin:wrong").decode()}
    body = {"detail": "Invalid username/password."}
    refused(send(headers=headers), 403, body)
    refused(client.get(f"{A}/{path}", headers=headers), 403, body)


def test_it_refuses_to_go_on_guessing_passwords(client: FlaskClient, app: Flask, admin: Account) -> None:
    wrong = {"Authorization": "Basic " + base64.b64encode(b"admin:guess").decode()}
    statuses = [client.get(f"{A}/endpoints.json", headers=wrong).status_code for _ in range(15)]
    assert statuses[0] == 403 and statuses[-1] == 429
    assert client.get(f"{A}/endpoints.json").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "submission/f175c10a-0000-4000-8000-000000000000",
        "submission/single/x",
        "job/nothing",
        *(f"{kind}/{name}" for kind in ("submission", "submission/single", "job") for name in ("%00", "x" * 5000)),
    ],
)
def test_it_knows_what_it_does_not_know(client: FlaskClient, path: str) -> None:
    refused(client.get(f"{A}/{path}?format=json"), 404, {"detail": "Not found."})


def test_it_tells_nothing_of_an_unexpected_error_but_its_id(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr("portal.services.jobs.seen_by", break_down)
    answer = client.get(f"{A}/endpoints.json")
    assert answer.status_code == 500
    identity = answer.get_json()["error"].split()[-1].rstrip(".")
    assert identity in caplog.text and "secret" not in answer.text


@pytest.mark.parametrize("key", ["x" * 201, "a\tb", "\u00a0"])
def test_it_names_a_key_that_is_too_long_or_cannot_be_read(send: Send, make_job: MakeJob, key: str) -> None:
    make_job("count_lines")
    answer = send(headers={"Idempotency-Key": f"a{key}b"})
    refused(answer, 400, {"error": "Idempotency-Key: at most 200 printable characters are allowed."})


@pytest.mark.parametrize(
    "other",
    [{"submission_name": "another"}, {"email": "b@c.org"}, {"input_data": upload(b"other\n")}, {"count_number": "4"}],
)
def test_it_refuses_another_request_under_a_key_that_was_used(
    send: Send, make_job: MakeJob, two_parameters: tuple[ParameterDraft, ...], other: dict[str, Any]
) -> None:
    make_job("count_lines", parameters=two_parameters)
    values = {"count_all": "TRUE", "count_number": "3"}
    key = {"Idempotency-Key": "once"}
    assert send(headers=key, **values).status_code == 201
    answer = send(headers=key, **{**values, **other})
    refused(answer, 409, {"error": "This idempotency key was used for another request: choose a new one."})


def test_it_tells_nobody_else_what_was_sent_under_a_key(
    send: Send, make_job: MakeJob, client: FlaskClient, admin: Account
) -> None:
    make_job("count_lines")
    key = {"Idempotency-Key": "once"}
    mine = send(headers=key).get_json()["UUID"]

    password = base64.b64encode(b"admin:correct horse battery").decode()
    with_account = send(headers={**key, "Authorization": f"Basic {password}"})
    client.environ_base["REMOTE_ADDR"] = "192.0.2.9"
    elsewhere = send(headers=key)

    assert (with_account.status_code, elsewhere.status_code) == (201, 201)
    assert mine not in with_account.text + elsewhere.text


@pytest.mark.parametrize("path", ["endpoints.json", "job/count_lines.json", "submission/x.json"])
def test_it_asks_to_come_again_while_the_database_is_away(client: FlaskClient, data: Path, path: str) -> None:
    take_away(data)
    answer = client.get(f"{A}/{path}")
    refused(answer, 503, {"error": "The portal's database does not answer: try again in a minute."})
    assert int(answer.headers["Retry-After"]) > 0


def test_it_takes_nothing_while_the_database_is_away(send: Send, data: Path) -> None:
    take_away(data)
    assert send().status_code == 503
    assert not list((data / "files").rglob("*"))


def test_it_gives_no_file_while_the_database_is_away(client: FlaskClient, data: Path) -> None:
    take_away(data)
    answer = client.get("/submissions/in.txt")
    assert (answer.status_code, answer.mimetype) == (503, "text/plain")


def take_away(data: Path) -> None:
    """No database can be opened where a directory is."""
    (data / "portal.db").unlink()
    (data / "portal.db").mkdir()


def test_it_asks_to_come_again_while_the_disk_is_full(
    send: Send, make_job: MakeJob, data: Path, session: Session, full_disk: None
) -> None:
    make_job("count_lines")
    answer = send()
    refused(answer, 507, {"error": "The portal's disk is full: try again later."})
    assert int(answer.headers["Retry-After"]) > 0
    assert not [path for path in (data / "files").rglob("*") if path.is_file()]
    assert session.scalars(select(func.count(Batch.id))).one() == 0


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
