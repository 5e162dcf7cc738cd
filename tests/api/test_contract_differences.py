"""Section 6 of the first system's contract: what was wrong with it and is not kept, row by row as ours is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.database import now, transaction
from portal.domain.drafts import ParameterDraft
from portal.domain.parameters import Kind
from portal.models import Batch, Letter, Submission
from portal.settings import settings
from tests.api.service import A, MakeJob, Send, finish_step, upload
from tests.making import make_job as job_of
from tests.making import make_task

Work = Callable[[], None]


def told(client: FlaskClient, answer: Any) -> dict[str, Any]:
    batch: dict[str, Any] = client.get(f"{A}/submission/{answer.get_json()['UUID']}.json").get_json()
    return batch


def paths(batch: dict[str, Any]) -> list[str]:
    """What is listed of each submission, without its UUID."""
    return [each["data_path"].replace(one["UUID"], "<uuid>") for one in batch["submissions"] for each in one["results"]]


def test_row_1_a_post_without_its_slash_is_taken(send: Send, make_job: MakeJob) -> None:
    make_job("count_lines")
    assert send(f"{A}/submission", headers={"Accept": "application/json"}).status_code == 201


def test_row_2_the_address_of_its_own_script_is_taken(send: Send, make_job: MakeJob) -> None:
    make_job("count_lines")
    assert send(f"{A}/submission/.json").status_code == 201


def test_row_3_get_where_only_post_is_and_head_of_a_detail_are_no_faults(
    client: FlaskClient, send: Send, make_job: MakeJob
) -> None:
    make_job("count_lines")
    uuid = send().get_json()["UUID"]
    assert client.get(f"{A}/submission/").status_code == 405
    assert client.head(f"{A}/submission/{uuid}").status_code == 200
    assert client.head(f"{A}/job/count_lines").status_code == 200


@pytest.mark.parametrize("spelling", ["job/count_lines.json", "job/count_lines/", "submission/{}/", "submission/{}"])
def test_row_4_a_detail_is_found_by_every_spelling(
    client: FlaskClient, send: Send, make_job: MakeJob, spelling: str
) -> None:
    make_job("count_lines")
    assert client.get(f"{A}/{spelling.format(send().get_json()['UUID'])}").status_code == 200


@pytest.mark.parametrize("wrong", ["count_all", "count_number"])
def test_row_5_what_cannot_be_valid_is_named_whichever_field_it_is(
    send: Send, make_job: MakeJob, two_parameters: tuple[ParameterDraft, ...], wrong: str
) -> None:
    make_job("count_lines", parameters=two_parameters)
    answer = send(**{"count_all": "TRUE", "count_number": "1", wrong: "a;b"})
    assert (answer.status_code, list(answer.get_json()["error"])) == (400, [wrong])


@pytest.mark.parametrize(
    ("kind", "text"), [(Kind.INTEGER, "-7"), (Kind.DECIMAL, "1e-5"), (Kind.BOOLEAN, "True"), (Kind.TEXT, "ls; $(id)")]
)
def test_row_6_values_are_typed_and_may_be_whatever_their_type_allows(
    send: Send, make_job: MakeJob, kind: Kind, text: str
) -> None:
    make_job("count_lines", parameters=(ParameterDraft("value", kind=kind, required=True, flag="-v"),))
    assert send(count_value=text, some_other_field="; of nobody").status_code == 201


@pytest.mark.parametrize(
    ("validator", "content"), [("text", b"\xff\xfe\0\x80"), ("csv", b"a,b\n1\n"), ("csv", b"\xff")]
)
def test_row_7_data_of_another_kind_is_refused_in_the_usual_words(
    send: Send, make_job: MakeJob, validator: str, content: bytes
) -> None:
    make_job("count_lines", validators=(validator,))
    answer = send(input_data=upload(content))
    assert answer.status_code == 400
    assert answer.get_json() == {"error": {"input_data": ["Input data could not be validated"]}}


def test_row_7_a_file_of_a_parameter_is_refused_under_its_name(send: Send, make_job: MakeJob) -> None:
    table = ParameterDraft("table", kind=Kind.FILE, flag="-t")
    make_job("count_lines", parameters=(table,), validators=("count_table: csv mass:integer",))

    answer = send(count_table=upload(b"mass\nheavy\n", "t.csv"))

    assert answer.status_code == 400
    reason = "this file could not be validated: line 2: “heavy” in the column mass is not a whole number."
    assert answer.get_json() == {"error": {"count_table": [f"count_table: {reason}"]}}
    assert send(count_table=upload(b"mass\n7\n", "t.csv")).status_code == 201
    assert send().status_code == 201


def test_row_8_a_name_with_an_apostrophe_is_no_fault(
    client: FlaskClient, send: Send, session: Session, work: Work
) -> None:
    make_task(session, "it's", "command", "echo said", stdout=".said")
    job_of(session, "bob's", [(0, "it's")])
    answer = send(job="bob's")
    work()
    assert told(client, answer)["state"] == "Complete"


def test_row_8_a_fault_tells_nothing_but_its_number_and_counts_against_nobody(
    send: Send, make_job: MakeJob, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_job("count_lines")
    monkeypatch.setattr("portal.services.submissions.freeze", lambda *_: 1 / 0)
    answer = send()
    assert answer.status_code == 500
    assert "ZeroDivision" not in answer.text and "Traceback" not in answer.text
    assert session.scalars(select(func.count(Submission.id))).one() == 0


def test_row_9_all_jobs_of_a_batch_are_tested_before_any_is_begun(
    send: Send, make_job: MakeJob, session: Session
) -> None:
    make_job("count_lines")
    make_job("empty", steps=())
    assert send(job="count_lines,empty").status_code == 400
    assert session.scalars(select(func.count(Batch.id))).one() == 0


def test_row_10_submissions_keep_the_order_of_the_request_while_they_run(
    client: FlaskClient, send: Send, make_job: MakeJob, session: Session
) -> None:
    for name in ("one", "two", "three"):
        make_job(name)
    answer = send(job="three,one,two,one")
    for _ in range(4):
        finish_step(session)
        assert [each["job_name"] for each in told(client, answer)["submissions"]] == ["three", "one", "two", "one"]


def test_row_11_a_batch_is_complete_when_all_of_it_is(
    client: FlaskClient, send: Send, make_job: MakeJob, session: Session
) -> None:
    make_job("parallel", steps=((0, "left"), (0, "right")))
    make_job("other")
    answer = send(job="parallel,other")
    seen = []
    for _ in range(3):
        finish_step(session)
        seen.append(told(client, answer)["state"])
    assert seen == ["Running", "Running", "Complete"]


def test_row_12_parallel_tasks_have_a_directory_each(
    client: FlaskClient, send: Send, session: Session, work: Work
) -> None:
    for name in ("left", "right"):
        make_task(session, name, "command", "ls > $O1; touch made_by_one", outputs=(f".{name}",), inputs=(".txt",))
    job_of(session, "both", [(0, "left"), (0, "right")])
    answer = send(job="both")
    work()
    [one] = told(client, answer)["submissions"]
    assert one["state"] == "Complete"
    assert all(b"made_by_one" not in client.get(each["data_path"]).data for each in one["results"])


@pytest.mark.parametrize(
    ("language", "code"),
    [("python", 'open(outputs[".out.txt"], "w").write("done")'), ("r", 'cat("done", file = outputs[[".out.txt"]])')],
)
def test_row_13_python_and_r_tasks_run(
    client: FlaskClient, send: Send, session: Session, work: Work, language: str, code: str
) -> None:
    if language == "r" and not shutil.which("Rscript"):
        pytest.skip("R is not installed")
    make_task(session, "coded", language, code, outputs=(".out.txt",))
    job_of(session, "codes", [(0, "coded")])
    answer = send(job="codes")
    work()
    batch = told(client, answer)
    assert batch["state"] == "Complete"
    assert client.get(batch["submissions"][0]["results"][0]["data_path"]).data == b"done"


@pytest.mark.parametrize(("proxies", "status"), [("0", 429), ("1", 201)])
def test_row_14_only_trusted_proxies_are_believed_about_the_client(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, data: object, proxies: str, status: int
) -> None:
    monkeypatch.setenv("PORTAL_TRUSTED_PROXIES", proxies)
    monkeypatch.setenv("PORTAL_QUEUE_HARD_LIMIT", "1")
    settings.cache_clear()
    request.getfixturevalue("make_job")("count_lines")
    send: Send = request.getfixturevalue("send")
    assert send(headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 201
    assert send(headers={"X-Forwarded-For": "192.0.2.2"}).status_code == status


def test_row_15_the_address_is_shown_no_more_once_the_letter_is_sent_and_inputs_cannot_be_guessed(
    client: FlaskClient, send: Send, make_job: MakeJob, session: Session
) -> None:
    make_job("count_lines")
    answer = send(input_data=upload(b"mine", "input.txt"))
    assert told(client, answer)["submissions"][0]["email"] == "a@b.com"
    with transaction(session):
        session.add(Letter(batch=session.scalars(select(Batch)).one(), sent=now()))
    [one] = told(client, answer)["submissions"]
    assert one["email"] == ""
    assert client.get("/submissions/input.txt").status_code == 404
    assert one["UUID"] in one["input_file"] and client.get(one["input_file"]).data == b"mine"


def test_row_16_only_what_can_be_run_is_offered(client: FlaskClient, make_job: MakeJob) -> None:
    make_job("works")
    make_job("disabled", enabled=False)
    make_job("empty", steps=())
    [offer] = client.get(f"{A}/endpoints.json").get_json()["jobs"]
    assert "job=works&" in offer


def test_row_17_a_result_that_is_a_page_is_data_to_save(
    client: FlaskClient, send: Send, session: Session, work: Work
) -> None:
    make_task(session, "page", "command", "echo '<script>alert(1)</script>'", stdout=".html")
    job_of(session, "pages", [(0, "page")])
    answer = send(job="pages")
    work()
    file = client.get(told(client, answer)["submissions"][0]["results"][0]["data_path"])
    assert file.mimetype == "application/octet-stream"
    assert file.headers["Content-Disposition"].startswith("attachment")


def test_row_18_whole_suffixes_count(client: FlaskClient, send: Send, session: Session, work: Work) -> None:
    code = "touch a.ss b.ss2; echo 1 > x.tar.gz; echo 2 > graph.out"
    make_task(session, "many", "command", code, outputs=(".tar.gz", "graph.out", ".ss", ".ss2"))
    make_task(session, "sees", "command", "ls", inputs=(".ss",), stdout=".seen")
    job_of(session, "suffixes", [(0, "many"), (1, "sees")])
    answer = send(job="suffixes")
    work()
    batch = told(client, answer)
    assert batch["state"] == "Complete"
    seen = client.get(batch["submissions"][0]["results"][-1]["data_path"]).data
    assert b".ss\n" in seen and b"ss2" not in seen


def test_row_19_a_result_of_another_name_keeps_it_behind_the_uuid_every_time(
    client: FlaskClient, send: Send, session: Session, work: Work
) -> None:
    make_task(session, "plots", "command", "echo 1 > graph.out", outputs=("graph.out",))
    job_of(session, "plot", [(0, "plots")])
    answers = [send(job="plot") for _ in range(2)]
    work()
    for answer in answers:
        assert paths(told(client, answer)) == ["/submissions/<uuid>.graph.out"]


def test_row_20_who_is_refused_for_now_is_told_when_to_come_again(
    send: Send, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_QUEUE_HARD_LIMIT", "0")
    settings.cache_clear()
    make_job("count_lines")
    answer = send()
    assert answer.status_code == 429 and int(answer.headers["Retry-After"]) > 0


def test_last_sentence_no_submission_tells_when_it_was_modified(
    client: FlaskClient, send: Send, make_job: MakeJob
) -> None:
    make_job("count_lines")
    answer = send()
    [one] = told(client, answer)["submissions"]
    assert "modified" not in one
    assert "modified" not in client.get(f"{A}/submission/single/{one['UUID']}.json").get_json()
