"""/api/v1: jobs and tasks, read and changed without losing anybody's change."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.drafts import ParameterDraft
from portal.domain.parameters import Kind
from portal.domain.policy import Role
from portal.models import Account
from portal.services import accounts
from tests.api.service import MakeJob
from tests.api.signing import basic, refused
from tests.conftest import PASSWORD
from tests.making import make_backend, make_task

V1 = "/api/v1"
TASK: dict[str, Any] = {
    "name": "sort",
    "language": "command",
    "backend": "here",
    "code": "sort $I1",
    "inputs": [".txt"],
}


@pytest.fixture
def task(client: FlaskClient, session: Session, admin: Account) -> Any:
    """A task that was made by REST."""
    make_backend(session)
    return client.post(f"{V1}/tasks", headers=basic(), json=TASK)


def test_it_makes_a_task_and_shows_it(client: FlaskClient, task: Any) -> None:
    assert (task.status_code, task.headers["Location"]) == (201, f"{V1}/tasks/sort")

    shown = client.get(f"{V1}/tasks/sort", headers=basic())

    assert shown.get_json() == task.get_json() and shown.headers["ETag"] == task.headers["ETag"]
    told = shown.get_json()
    assert told["revision"] == 1 and {name: told["draft"][name] for name in TASK} == TASK


def test_what_is_shown_can_be_sent_back(client: FlaskClient, task: Any) -> None:
    draft = {**task.get_json()["draft"], "code": "sort -n $I1"}
    headers = {**basic(), "If-Match": task.headers["ETag"]}

    changed = client.put(f"{V1}/tasks/sort", headers=headers, json=draft)

    assert changed.status_code == 200
    assert (changed.get_json()["revision"], changed.get_json()["draft"]) == (2, draft)


def test_a_job_says_which_files_are_checked_and_can_be_sent_back(
    client: FlaskClient, session: Session, admin: Account
) -> None:
    make_task(session, "My fit", "command", "true", parameters=(ParameterDraft("table", kind=Kind.FILE),))
    entries = ["size 1 kB", '"My fit_table": csv species:text']
    steps = [{"order": 1, "task": "My fit"}]

    made = client.post(f"{V1}/jobs", headers=basic(), json={"name": "j", "steps": steps, "validators": entries})
    draft = made.get_json()["draft"]
    headers = {**basic(), "If-Match": made.headers["ETag"]}
    changed = client.put(f"{V1}/jobs/j", headers=headers, json=draft)

    assert (made.status_code, draft["validators"]) == (201, entries)
    assert (changed.status_code, changed.get_json()["draft"]) == (200, draft)
    wrong = client.post(f"{V1}/jobs", headers=basic(), json={**draft, "name": "k", "validators": ["fit_table: csv"]})
    assert list(refused(wrong, 422)["fields"]) == ["validators-0-file"]


def test_it_lets_no_change_be_lost(client: FlaskClient, task: Any) -> None:
    where, draft = f"{V1}/tasks/sort", task.get_json()["draft"]
    old = {**basic(), "If-Match": task.headers["ETag"]}
    refused(client.put(where, headers=basic(), json=draft), 428)
    assert client.put(where, headers=old, json={**draft, "description": "mine"}).status_code == 200

    refused(client.put(where, headers=old, json={**draft, "description": "yours"}), 412)
    refused(client.delete(where, headers=old), 412)
    refused(client.delete(where, headers=basic()), 428)

    assert client.get(where, headers=basic()).get_json()["draft"]["description"] == "mine"


def test_it_sends_nothing_twice(client: FlaskClient, task: Any) -> None:
    answer = client.get(f"{V1}/tasks/sort", headers={**basic(), "If-None-Match": task.headers["ETag"]})

    assert (answer.status_code, answer.data) == (304, b"")


def test_it_deletes(client: FlaskClient, task: Any) -> None:
    assert client.delete(f"{V1}/tasks/sort", headers={**basic(), "If-Match": "*"}).status_code == 204
    refused(client.get(f"{V1}/tasks/sort", headers=basic()), 404)
    refused(client.delete(f"{V1}/tasks/sort", headers={**basic(), "If-Match": "*"}), 404)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"language": "cobol"}, "language"),
        ({"code": 1}, "code"),
        ({"inputs": ".txt"}, "inputs"),
        ({"inputs": [".txt", 1]}, "inputs-1"),
        ({"exit_statuses": [True]}, "exit_statuses-0"),
        ({"exit_statuses": [300]}, "exit_statuses"),
        ({"exit_statuses": [-1]}, "exit_statuses"),
        ({"on_exit_status": "stop"}, "on_exit_status"),
        ({"on_missing_output": None}, "on_missing_output"),
        ({"parameters": [{"alias": "a"}, {"alias": "a"}]}, "parameters-1-alias"),
        ({"parameters": [{"alias": "a", "kind": "colour"}]}, "parameters-0-kind"),
        ({"parameters": [{"alias": "a", "minimun": 1}]}, "parameters-0"),
        ({"parameters": [{}]}, "parameters-0-alias"),
        ({"description": "\0"}, "description"),
        ({"colour": "red"}, "body"),
    ],
)
def test_it_names_what_is_wrong(client: FlaskClient, task: Any, change: dict[str, Any], field: str) -> None:
    problem = refused(client.post(f"{V1}/tasks", headers=basic(), json={**TASK, "name": "other", **change}), 422)

    assert field in problem["fields"]


def test_it_keeps_a_task_that_a_job_needs(client: FlaskClient, task: Any) -> None:
    steps = [{"order": 0, "task": "sort"}]
    assert client.post(f"{V1}/jobs", headers=basic(), json={"name": "sorting", "steps": steps}).status_code == 201

    problem = refused(client.delete(f"{V1}/tasks/sort", headers={**basic(), "If-Match": "*"}), 409)

    assert "sorting" in problem["detail"]


def test_it_tells_what_a_job_wants_to_know(client: FlaskClient, admin: Account, make_job: MakeJob) -> None:
    make_job("counting", parameters=(ParameterDraft("depth", label="How deep", default="3"),))

    told = client.get(f"{V1}/jobs/counting").get_json()

    assert told["draft"]["steps"][0]["task"] == "count" and told["draft"]["public"]
    [field] = told["parameters"]
    assert (field["name"], field["label"], field["rule"]["default"]) == ("count_depth", "How deep", "3")


def test_it_changes_a_job(client: FlaskClient, admin: Account, make_job: MakeJob) -> None:
    make_job("counting")
    read = client.get(f"{V1}/jobs/counting", headers=basic())
    draft = {**read.get_json()["draft"], "enabled": False}

    headers = {**basic(), "If-Match": read.headers["ETag"]}
    changed = client.put(f"{V1}/jobs/counting", headers=headers, json=draft)

    assert (changed.status_code, changed.get_json()["draft"]["enabled"]) == (200, False)
    assert client.get(f"{V1}/jobs/counting").headers["ETag"] == changed.headers["ETag"]


def test_it_lists_page_by_page(client: FlaskClient, admin: Account, make_job: MakeJob) -> None:
    for name in ("a", "b", "c", "d", "e"):
        make_job(name)

    found, where = [], f"{V1}/jobs?limit=2"
    while where:
        answer = client.get(where)
        found.append([job["name"] for job in answer.get_json()["jobs"]])
        where = answer.headers.get("Link", "").partition(">")[0].removeprefix("<")

    assert found == [["a", "b"], ["c", "d"], ["e"]]


def test_it_shows_a_private_job_to_accounts_only(client: FlaskClient, admin: Account, make_job: MakeJob) -> None:
    make_job("secret", public=False)

    refused(client.get(f"{V1}/jobs/secret"), 404)
    assert client.get(f"{V1}/jobs").get_json() == {"jobs": []}
    assert client.get(f"{V1}/jobs/secret", headers=basic()).status_code == 200


def test_it_lets_submitters_change_nothing(client: FlaskClient, session: Session, task: Any) -> None:
    with transaction(session):
        accounts.create(session, "sam", PASSWORD, Role.SUBMITTER)

    refused(client.post(f"{V1}/jobs", headers=basic("sam"), json={"name": "x"}), 403)
    refused(client.get(f"{V1}/tasks/sort", headers=basic("sam")), 403)
    refused(client.get(f"{V1}/tasks"), 401)
