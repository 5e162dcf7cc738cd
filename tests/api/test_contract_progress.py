"""Section 3 of the first system's contract: what is told of a batch and its submissions, done by real runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.verdict import Then
from portal.models import Job, Task
from portal.services import jobs, tasks
from tests.api.service import A, Send, upload
from tests.making import make_job, make_task

Told = Callable[..., dict[str, Any]]
KEYS = ["submission_name", "job_name", "UUID", "state", "last_message", "email", "input_file", "results"]


@pytest.fixture
def told(client: FlaskClient, send: Send, work: Callable[[], None]) -> Told:
    """Submit to a job, let a worker do what is due, and ask for the batch."""

    def told(job: str, **fields: Any) -> dict[str, Any]:
        uuid = send(job=job, **fields).get_json()["UUID"]
        work()
        answer: dict[str, Any] = client.get(f"{A}/submission/{uuid}.json").get_json()
        return answer

    return told


def endings(submission: dict[str, Any]) -> list[tuple[int, str, str]]:
    """Each result's step, task and ending, in the order told."""
    return [
        (each["step"], each["name"], each["data_path"].removeprefix(f"/submissions/{submission['UUID']}"))
        for each in submission["results"]
    ]


def test_results_stand_in_run_order_and_then_as_their_task_names_them(session: Session, told: Told) -> None:
    make_task(session, "zoo", "command", "echo 1 > $O1; echo 2 > $O2", outputs=(".zz", ".aa"), stdout=".said")
    make_task(session, "ant", "command", "echo 3 > $O1", outputs=(".side",))
    make_task(session, "end", "command", "cat $I1 $I2 > $O1", inputs=(".aa", ".side"), outputs=(".all",))
    make_job(session, "zoos", [(0, "zoo"), (0, "ant"), (7, "end")])

    batch = told("zoos")
    [one] = batch["submissions"]

    assert (batch["state"], one["state"], one["last_message"]) == ("Complete", "Complete", "Completed job at step #2")
    assert [ending for _, name, ending in endings(one) if name == "zoo"] == [".zz", ".aa"]
    assert [(step, name) for step, name, _ in endings(one)] == [(1, "zoo")] * 2 + [(1, "ant"), (2, "end")]
    assert {each["message"] for each in one["results"]} == {"Result"}


@pytest.mark.parametrize(
    ("language", "code", "outputs", "listed"),
    [
        ("command", "echo 1 > $O1; echo said", (".one",), [".one"]),
        ("command", "echo 1 > $O1; echo said", (".one", ".said"), [".one", ".said"]),
        ("command", "echo said", (), [".said"]),
        ("python", "O1.write('1'); print('said')", (".one",), [".one", ".said"]),
    ],
)
def test_what_a_command_prints_is_listed_where_its_task_names_it_an_output(
    language: str, code: str, outputs: tuple[str, ...], listed: list[str], session: Session, told: Told
) -> None:
    make_task(session, "says", language, code, outputs=outputs, stdout=".said")
    make_job(session, "saying", [(0, "says")])

    [one] = told("saying")["submissions"]

    assert [ending for _, _, ending in endings(one)] == listed


def test_its_keys_are_the_first_systems_in_their_order_and_no_other(session: Session, told: Told) -> None:
    """A `modified` above all: a published client takes it for the age of the results."""
    make_task(session, "ls", "command", "ls", stdout=".contents")
    make_job(session, "lists", [(0, "ls")])

    batch = told("lists")
    [one] = batch["submissions"]

    assert list(batch) == ["UUID", "state", "submissions"]
    assert list(one) == KEYS
    assert list(one["results"][0]) == ["task", "name", "message", "step", "data_path"]
    assert one["results"][0]["data_path"] == f"/submissions/{one['UUID']}.contents"
    assert re.fullmatch(r"/submissions/[^/]+", one["input_file"])


def test_the_number_of_a_task_that_is_deleted_is_null(client: FlaskClient, session: Session, told: Told) -> None:
    make_task(session, "ls", "command", "ls", stdout=".contents")
    make_job(session, "lists", [(0, "ls")])
    batch = told("lists")
    assert batch["submissions"][0]["results"][0]["task"] == session.scalars(select(Task.id)).one()

    with transaction(session):
        jobs.delete(session, session.scalars(select(Job)).one())
        tasks.delete(session, session.scalars(select(Task)).one())

    [one] = client.get(f"{A}/submission/{batch['UUID']}.json").get_json()["submissions"]
    assert (one["results"][0]["task"], one["results"][0]["name"], one["job_name"]) == (None, "ls", "lists")


@pytest.mark.parametrize(
    ("code", "rules", "state", "listed"),
    [
        ("echo 1 > $O1; exit 3", {}, "Error", []),
        ("echo 1 > $O1; kill -9 $$", {}, "Error", []),
        ("echo 1 > $O1", {"outputs": (".one", ".two")}, "Error", [".one"]),
        ("echo 1 > $O1; exit 3", {"exit_statuses": (3,), "on_exit_status": Then.FINISH}, "Complete", [".one"]),
        ("echo 1 > $O1; exit 3", {"exit_statuses": (3,), "on_exit_status": Then.CONTINUE}, "Complete", [".one", ".b"]),
        ("true", {"on_missing_output": Then.CONTINUE}, "Complete", [".b"]),
        ("true", {"on_missing_output": Then.FINISH}, "Complete", []),
    ],
    ids=["bad exit", "signal", "missing output", "custom stop", "custom go on", "incomplete go on", "incomplete stop"],
)
def test_what_a_step_gave_is_listed_as_the_first_system_did(
    session: Session, told: Told, code: str, rules: dict[str, Any], state: str, listed: list[str]
) -> None:
    make_task(session, "first", "command", code, **{"outputs": (".one",), **rules})
    make_task(session, "then", "command", "echo b", stdout=".b")
    make_job(session, "both", [(0, "first"), (1, "then")])

    batch = told("both")
    [one] = batch["submissions"]

    assert (batch["state"], one["state"]) == (state, state)
    assert [ending for _, _, ending in endings(one)] == listed
    if state == "Complete":
        assert one["last_message"].startswith("Completed job at step #")


def test_what_earlier_steps_gave_stays_listed_when_a_later_one_fails(session: Session, told: Told) -> None:
    make_task(session, "first", "command", "echo a", stdout=".a")
    make_task(session, "fails", "command", "echo b > $O1; exit 1", outputs=(".b",))
    make_job(session, "both", [(0, "first"), (1, "fails")])

    [one] = told("both")["submissions"]

    assert one["state"] == "Error" and endings(one) == [(1, "first", ".a")]


def test_a_batch_is_an_error_as_soon_as_one_failed_while_others_go_on_and_finish(
    client: FlaskClient, session: Session, send: Send, told: Told
) -> None:
    make_task(session, "fails", "command", "exit 1")
    make_task(session, "works", "command", "echo a", stdout=".a")
    make_job(session, "bad", [(0, "fails")])
    make_job(session, "good", [(0, "works")])

    batch = told("bad,good")

    assert batch["state"] == "Error"
    assert [each["state"] for each in batch["submissions"]] == ["Error", "Complete"]
    assert len(batch["submissions"][1]["results"]) == 1


@pytest.mark.parametrize("path", ["submission/x", "submission/single/x", "job/x", "endpoints/"])
def test_a_detail_is_read_only(client: FlaskClient, path: str) -> None:
    for method in ("PUT", "PATCH", "DELETE", "POST"):
        answer = client.open(f"{A}/{path}?format=json", method=method)
        assert (answer.status_code, answer.get_json()) == (405, {"detail": f'Method "{method}" not allowed.'})


@pytest.mark.parametrize("path", ["submission", "submission/single"])
def test_what_is_unknown_or_malformed_is_not_found(client: FlaskClient, path: str) -> None:
    for uuid in ("f175c10a-0000-1000-8000-000000000000", "nonsense", "F175", "%20", "ä", "a" * 36):
        answer = client.get(f"{A}/{path}/{uuid}.json")
        assert (answer.status_code, answer.get_json()) == (404, {"detail": "Not found."}), uuid


def test_its_input_and_its_results_are_found_below_the_server_and_below_the_api(
    client: FlaskClient, session: Session, told: Told
) -> None:
    make_task(session, "copy", "command", "cat $I1 > $O1", inputs=(".txt",), outputs=(".copy",))
    make_job(session, "copies", [(0, "copy")])
    content = bytes(range(256))

    [one] = told("copies", input_data=upload(content, "my input.bin"))["submissions"]

    for path in (one["input_file"], one["results"][0]["data_path"]):
        assert client.get(path).data == content
        assert client.get(f"{A}{path}").data == content
    assert "my" not in one["input_file"]
