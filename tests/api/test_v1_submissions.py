"""/api/v1: ordering a submission, waiting for its end, and fetching what it gave."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import web
from portal.database import transaction
from portal.domain.drafts import ParameterDraft
from portal.domain.parameters import Kind
from portal.domain.policy import Role
from portal.models import Account, LogChunk, Run, Submission
from portal.services import accounts, checking, submissions, waiting
from tests.api.service import MakeJob, finish_step, upload
from tests.api.signing import basic, refused
from tests.conftest import PASSWORD, forget_settings
from tests.making import order
from tests.servers import eventually

V1 = "/api/v1/submissions"


@pytest.fixture
def job(make_job: MakeJob) -> str:
    make_job("counting", parameters=(ParameterDraft("depth", required=True),))
    return "counting"


@pytest.fixture
def complete(session: Session, make_job: MakeJob, admin: Account) -> Submission:
    """The administrator's, of two steps that gave a file each and wrote a log."""
    make_job("twice", ((0, "count"), (1, "count_again")))
    made = submissions.submit(session, order("twice", account=admin)).submissions[0]
    finish_step(session, b"one\n")
    finish_step(session, b"two\n")
    session.expire_all()
    write(session, made.runs[0], b"0123456789", b"abcdefghij")
    return made


def write(session: Session, run: Run, *chunks: bytes) -> None:
    with transaction(session):
        start = 0
        for chunk in chunks:
            session.add(LogChunk(run_id=run.id, attempt=run.attempt, stream="stdout", start=start, data=chunk))
            start += len(chunk)


def send(client: FlaskClient, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    """A field given as None is left out."""
    usual = {"job": "counting", "name": "probe", "input_data": upload(b"one\n"), "count_depth": "3"}
    data = {name: value for name, value in {**usual, **fields}.items() if value is not None}
    return client.post(V1, data=data, headers=headers or basic(), content_type="multipart/form-data")


def test_it_takes_an_order(client: FlaskClient, session: Session, admin: Account, job: str) -> None:
    answer = send(client)

    made = answer.get_json()
    assert (answer.status_code, answer.headers["Location"]) == (202, f"{V1}/{made['uuid']}")
    assert int(answer.headers["Retry-After"]) > 0
    assert (made["name"], made["job"], made["state"]) == ("probe", "counting", "QUEUED")
    batch = submissions.get(session, made["uuid"]).batch
    assert (batch.email, batch.account) == ("admin@example.org", admin)


def test_it_takes_an_order_for_a_public_job_from_anybody(client: FlaskClient, job: str) -> None:
    headers = {"Accept": "application/json"}

    assert send(client, headers, email="ann@example.org").status_code == 202
    assert "email" in refused(send(client, headers), 422)["fields"]


def test_it_makes_one_of_a_request_that_comes_twice(client: FlaskClient, admin: Account, job: str) -> None:
    headers = {**basic(), "Idempotency-Key": "my request"}

    first, second = (send(client, headers) for _ in "12")

    assert first.status_code == second.status_code == 202
    assert first.get_json()["uuid"] == second.get_json()["uuid"]
    refused(send(client, headers, count_depth="4"), 409)
    refused(send(client, {**basic(), "Idempotency-Key": "x" * 201}), 422)


@pytest.mark.parametrize(
    ("fields", "status", "names"),
    [
        ({"job": "unknown"}, 404, None),
        ({"job": None}, 422, {"job"}),
        ({"job": ""}, 422, {"job"}),
        ({"name": None}, 422, {"name"}),
        ({"name": "x" * 65, "email": "nobody"}, 422, {"name", "email"}),
        ({"name": "a\0b"}, 422, {"name"}),
        ({"name": " "}, 422, {"name"}),
        ({"input_data": None}, 422, {"input_data"}),
        ({"input_data": "text"}, 422, {"input_data"}),
        ({"input_data": upload(b"")}, 422, {"input_data"}),
        ({"count_depth": None}, 422, {"count_depth"}),
        ({"count_depth": "\x1b"}, 422, {"count_depth"}),
    ],
)
def test_it_names_what_is_wrong_with_an_order(
    client: FlaskClient, admin: Account, job: str, fields: dict[str, Any], status: int, names: set[str] | None
) -> None:
    problem = refused(send(client, **fields), status)

    assert set(problem.get("fields", {})) == (names or set())


def test_it_refuses_another_kind_of_body(client: FlaskClient, admin: Account) -> None:
    refused(client.post(V1, headers=basic(), json={"job": "counting"}), 415)
    refused(client.post(V1, headers=basic()), 415)
    binary = b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n\xff\r\n--x--\r\n'
    unreadable = {"data": binary, "content_type": "multipart/form-data; boundary=x"}
    assert list(refused(client.post(V1, headers=basic(), **unreadable), 422)["fields"]) == ["name"]
    cut = {"data": b"--x\r\nContent-Dis", "content_type": "multipart/form-data; boundary=x"}
    refused(client.post(V1, headers=basic(), **cut), 400)


def test_it_refuses_a_file_that_is_too_large(
    client: FlaskClient, admin: Account, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_MAX_UPLOAD_BYTES", "99")
    forget_settings()

    problem = refused(send(client, input_data=upload(b"x" * 100)), 413)

    assert list(problem["fields"]) == ["input_data"]


def test_it_answers_as_soon_as_the_submission_has_ended(
    app: Flask, session: Session, client: FlaskClient, admin: Account, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuid = send(client).get_json()["uuid"]
    looked = threading.Event()
    really = waiting._over

    def over(asking: Session, asked: str) -> bool:
        found = really(asking, asked)
        looked.set()
        return found

    monkeypatch.setattr(waiting, "_over", over)
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(app.test_client().get(f"{V1}/{uuid}?wait=60")))
    asking.start()
    assert looked.wait(30)
    with app.app_context():
        eventually(lambda: web.db.engine.pool.checkedout() == 0)  # type: ignore[attr-defined]

    finish_step(session)
    asking.join(30)

    [answer] = answers
    assert answer.get_json()["state"] == "COMPLETE" and "Retry-After" not in answer.headers


def test_it_does_not_let_all_of_the_portal_wait(
    client: FlaskClient, admin: Account, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_places", threading.BoundedSemaphore(1))
    uuid = send(client).get_json()["uuid"]
    assert waiting._places.acquire(blocking=False)

    answer = client.get(f"{V1}/{uuid}?wait=60")

    assert answer.get_json()["state"] == "QUEUED" and int(answer.headers["Retry-After"]) > 0


def test_it_names_the_file_that_a_validator_refuses(client: FlaskClient, admin: Account, make_job: MakeJob) -> None:
    table = ParameterDraft("table", kind=Kind.FILE)
    make_job("tables", parameters=(table,), validators=("size 1 kB", "count_table: csv mass:integer"))

    answer = send(client, job="tables", count_depth=None, count_table=upload(b"mass\nheavy\n", "t.csv"))

    wrong = refused(answer, 422)["fields"]
    reason = "this file could not be validated: line 2: “heavy” in the column mass is not a whole number."
    assert wrong == {"count_table": f"count_table: {reason}"}


@pytest.fixture
def all_places_taken() -> Iterator[None]:
    for _ in range(checking.MOST_AT_ONCE):
        assert checking._places.acquire(blocking=False)
    yield
    for _ in range(checking.MOST_AT_ONCE):
        checking._places.release()


@pytest.mark.parametrize("path", [V1, "/analytics_automated/submission.json", "/jobs/large/run"])
def test_it_asks_to_come_again_while_it_is_busy_checking(
    client: FlaskClient, make_job: MakeJob, all_places_taken: None, path: str
) -> None:
    make_job("large", validators=("text",))
    large = upload(b"x" * (checking.SMALL + 1))
    name = "name" if path == V1 else "submission_name"
    form = {"job": "large", name: "n", "email": "a@b.com", "input_data": large}

    answer = client.post(path, data=form)

    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
    assert "The portal is busy checking files: send it again in a minute." in answer.text


def test_it_sends_an_unchanged_submission_once(client: FlaskClient, session: Session, complete: Submission) -> None:
    first = client.get(f"{V1}/{complete.uuid}")

    again = client.get(f"{V1}/{complete.uuid}", headers={"If-None-Match": first.headers["ETag"]})

    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    refused(client.get(f"{V1}/{complete.uuid}?wait=61"), 422)


def test_it_lists_an_accounts_own_runs(client: FlaskClient, session: Session, complete: Submission, job: str) -> None:
    made = [send(client).get_json()["uuid"] for _ in range(3)]
    with transaction(session):
        accounts.create(session, "eve", PASSWORD, Role.ANALYST)

    first = client.get(f"{V1}?limit=2", headers=basic())
    link = first.headers["Link"].partition(">")[0].removeprefix("<")
    second = client.get(link, headers=basic())

    found = [[each["uuid"] for each in answer.get_json()["submissions"]] for answer in (first, second)]
    assert found == [[made[2], made[1]], [made[0], complete.uuid]] and "Link" not in second.headers
    [only] = client.get(f"{V1}?job=twice&state=COMPLETE", headers=basic()).get_json()["submissions"]
    assert only["uuid"] == complete.uuid
    assert client.get(V1, headers=basic("eve")).get_json() == {"submissions": []}
    refused(client.get(V1), 401)
    refused(client.get(f"{V1}?state=SLEEPING", headers=basic()), 422)


def test_it_runs_the_same_again(client: FlaskClient, session: Session, admin: Account, job: str) -> None:
    first = send(client, input_data=upload(b"the same\n", "notes.txt")).get_json()
    finish_step(session)

    answer = client.post(f"{V1}/{first['uuid']}/rerun", headers=basic())

    again = answer.get_json()
    assert (answer.status_code, answer.headers["Location"]) == (202, f"{V1}/{again['uuid']}")
    assert again["uuid"] != first["uuid"] and (again["name"], again["state"]) == ("probe", "QUEUED")
    old, new = (submissions.get(session, each["uuid"]) for each in (first, again))
    assert new.runs[0].work["arguments"] == old.runs[0].work["arguments"]
    assert [(each.name, each.sha256) for each in new.batch.uploads] == [
        (each.name, each.sha256) for each in old.batch.uploads
    ]


@pytest.mark.parametrize("sent", [{"json": {"priority": 9}}, {"json": [1]}, {"data": {"probe_size": "9"}}])
def test_it_runs_the_same_again_and_nothing_else(
    client: FlaskClient, session: Session, complete: Submission, sent: dict[str, Any]
) -> None:
    problem = refused(client.post(f"{V1}/{complete.uuid}/rerun", headers=basic(), **sent), 422)

    assert problem["fields"] == {"body": "Leave the body out: the same input and values are submitted again."}
    assert session.scalars(select(Submission)).all() == [complete]
    assert client.post(f"{V1}/{complete.uuid}/rerun", headers=basic(), json={}).status_code == 202


def test_it_reruns_for_its_owner_only(client: FlaskClient, session: Session, complete: Submission) -> None:
    with transaction(session):
        accounts.create(session, "eve", PASSWORD, Role.ANALYST)

    refused(client.post(f"{V1}/{complete.uuid}/rerun", headers=basic("eve")), 403)
    refused(client.post(f"{V1}/{complete.uuid}/rerun"), 401)


def test_it_says_that_an_input_is_gone(client: FlaskClient, session: Session, complete: Submission) -> None:
    with transaction(session):
        session.get_one(Submission, complete.id).batch.uploads.clear()

    problem = refused(client.post(f"{V1}/{complete.uuid}/rerun", headers=basic()), 409)

    assert "not kept" in problem["detail"]


def log_of(submission: Submission, stream: str = "stdout") -> str:
    return f"{V1}/{submission.uuid}/steps/{submission.runs[0].uuid}/logs/{stream}"


@pytest.mark.parametrize(
    ("asked", "status", "sent"),
    [
        (None, 200, b"0123456789abcdefghij"),
        ("bytes=8-11", 206, b"89ab"),
        ("bytes=12-", 206, b"cdefghij"),
        ("bytes=-2", 206, b"ij"),
        ("bytes=0-999", 206, b"0123456789abcdefghij"),
    ],
)
def test_it_gives_a_log_or_a_part_of_it(
    client: FlaskClient, complete: Submission, asked: str | None, status: int, sent: bytes
) -> None:
    answer = client.get(log_of(complete), headers={"Range": asked} if asked else {})

    assert (answer.status_code, answer.data, answer.mimetype) == (status, sent, "text/plain")


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=x", "lines=1-2", "bytes=0-1,3-4"])
def test_it_gives_all_to_who_asks_for_another_kind_of_range(
    client: FlaskClient, complete: Submission, asked: str
) -> None:
    answer = client.get(log_of(complete), headers={"Range": asked})

    assert (answer.status_code, answer.data) == (200, b"0123456789abcdefghij")


@pytest.mark.parametrize("asked", ["bytes=20-", "bytes=99999999999999999999-"])
def test_it_refuses_a_range_that_is_not_there(client: FlaskClient, complete: Submission, asked: str) -> None:
    answer = client.get(log_of(complete), headers={"Range": asked})

    refused(answer, 416)
    assert answer.headers["Content-Range"] == "bytes */20"


def test_an_empty_log_is_empty(client: FlaskClient, complete: Submission) -> None:
    answer = client.get(log_of(complete, "stderr"))

    assert (answer.status_code, answer.data) == (200, b"")
    refused(client.get(log_of(complete, "stdlog")), 422)
    refused(client.get(log_of(complete).replace(complete.runs[0].uuid, complete.uuid)), 404)


def test_it_gives_results_one_by_one_and_together(client: FlaskClient, complete: Submission) -> None:
    listed = client.get(f"{V1}/{complete.uuid}/results").get_json()["results"]
    assert [client.get(each["url"]).data for each in listed] == [b"one\n", b"two\n"]
    part = client.get(listed[0]["url"], headers={"Range": "bytes=1-2"})
    assert (part.status_code, part.data, part.headers["Content-Range"]) == (206, b"ne", "bytes 1-2/4")
    refused(client.get(listed[0]["url"], headers={"Range": "bytes=9-"}), 416)
    refused(client.get(f"{V1}/{complete.uuid}/results/nothing"), 404)

    answer = client.get(f"{V1}/{complete.uuid}/results.zip")

    assert answer.mimetype == "application/zip" and answer.is_streamed
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            listed[0]["name"]: b"one\n",
            listed[1]["name"]: b"two\n",
        }


def test_it_takes_further_files_and_takes_them_again(
    client: FlaskClient, session: Session, admin: Account, make_job: MakeJob
) -> None:
    make_job("joining", parameters=(ParameterDraft("table", kind=Kind.FILE, required=True, choices=(".csv",)),))
    files = {"job": "joining", "count_depth": None, "count_table": upload(b"a,b\n", "table.csv")}

    first = send(client, **files).get_json()
    again = client.post(f"{V1}/{first['uuid']}/rerun", headers=basic()).get_json()

    for made in (first, again):
        uploads = submissions.get(session, made["uuid"]).batch.uploads
        assert [(each.field, each.name) for each in uploads] == [("", "in.txt"), ("count_table", "table.csv")]
