"""The run form: made from a job's parameters, it submits what stands in it."""

from __future__ import annotations

import errno
import html
import io
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from portal import storage
from portal.database import transaction
from portal.domain.drafts import ParameterDraft, TaskDraft
from portal.domain.parameters import Kind
from portal.models import Batch
from portal.pages import snippets
from portal.services import jobs, tasks
from tests.making import make_job, make_task

TABLE = b"species,island\nAdelie,Torgersen\n"


@pytest.fixture
def typed(examples: object, session: Session) -> str:
    """A private job with a parameter of each type."""
    parameters = (
        ParameterDraft("greeting", label="Greeting", default="hello", maximum=20),
        ParameterDraft("loud", flag="-l", kind=Kind.BOOLEAN, default="TRUE"),
        ParameterDraft("times", kind=Kind.INTEGER, required=True, minimum=1, maximum=9),
        ParameterDraft("colour", kind=Kind.CHOICE, choices=("red", "sea green"), default="red"),
    )
    with transaction(session):
        draft = TaskDraft("greet", "command", "localhost", "cat $I1", inputs=(".txt",), parameters=parameters)
        tasks.save(session, draft, None)
        jobs.save(session, jobs.JobDraft("greet", steps=(jobs.StepDraft(1, "greet"),)), None)
    return "/jobs/greet/run"


def order(**more: object) -> dict[str, object]:
    return {"submission_name": "a run", "email": "ann@example.org", "input_data": (io.BytesIO(TABLE), "a.csv"), **more}


def only_batch(session: Session) -> Batch:
    session.rollback()
    return session.query(Batch).one()


def values_of(batch: Batch) -> dict[str, object]:
    return {each["name"]: each["value"] for run in batch.submissions[0].runs for each in run.work["arguments"]}


def test_it_draws_each_parameter_with_its_default_and_bounds(client: FlaskClient, examples: object) -> None:
    page = client.get("/jobs/penguins/run").text
    assert "Significance level" in page
    assert 'max="1" min="0" name="p.bill_length_alpha" step="any" type="number" value="0.05"' in page
    assert 'value="Body mass by flipper length"' in page


def test_it_runs_a_public_job_without_an_account(client: FlaskClient, examples: object, session: Session) -> None:
    answer = client.post("/jobs/penguins/run", data=order(**{"p.bill_length_alpha": "0.01"}))
    batch = only_batch(session)
    assert (answer.status_code, answer.location) == (303, f"/runs/{batch.submissions[0].uuid}")
    assert batch.account is None
    assert values_of(batch) == {"title": "Body mass by flipper length", "alpha": 0.01, "rows": 10}


def test_it_sends_each_type_of_value(signed_in: FlaskClient, typed: str, session: Session) -> None:
    values = {"p.greet_greeting": "hi; rm -rf ~", "p.greet_times": "3", "p.greet_colour": "sea green"}
    assert signed_in.post(typed, data=order(**values, **{"p.greet_loud": "FALSE"})).status_code == 303
    batch = only_batch(session)
    assert batch.account.name == "admin"
    assert values_of(batch) == {"greeting": "hi; rm -rf ~", "loud": False, "times": 3, "colour": "sea green"}


def test_it_takes_pasted_text_for_a_file(client: FlaskClient, examples: object, session: Session) -> None:
    pasted = TABLE.decode().replace("\n", "\r\n")
    answer = client.post("/jobs/penguins/run", data=order(input_data=(io.BytesIO(), ""), pasted=pasted))
    assert answer.status_code == 303
    [upload] = only_batch(session).uploads
    assert upload.name == "pasted.csv"
    with storage.open_blob(upload.key) as stream:
        assert stream.read() == TABLE


def test_it_says_what_is_wrong_and_keeps_what_was_typed(signed_in: FlaskClient, typed: str, session: Session) -> None:
    values = {"p.greet_times": "99", "p.greet_greeting": "hi <b>", "p.greet_loud": "FALSE", "pasted": "some\nlines"}
    answer = signed_in.post(typed, data=order(**values, email="nobody", input_data=(io.BytesIO(), "")))
    assert answer.status_code == 422
    assert "99 is too large, the largest is 9" in answer.text
    assert "Enter a valid email address." in answer.text
    for kept in ('value="99"', 'value="hi &lt;b&gt;"', "some\nlines", 'value="nobody"'):
        assert kept in answer.text
    assert 'checked id="value-1"' not in answer.text
    assert session.query(Batch).count() == 0


@pytest.mark.parametrize(
    ("typed_value", "sentence"), [("many", "“many” is not a whole number"), ("", "This is required: give it a value.")]
)
def test_it_refuses_a_value_without_repeating_its_public_name(
    signed_in: FlaskClient, typed: str, typed_value: str, sentence: str
) -> None:
    page = signed_in.post(typed, data=order(**{"p.greet_times": typed_value})).text
    assert f"<span>{sentence}" in page


@pytest.fixture
def with_files(examples: object, session: Session) -> str:
    parameters = (
        ParameterDraft("day", kind=Kind.DATE, required=True),
        ParameterDraft("code", help="A plate.", pattern="[A-Z][0-9]+", default="A1"),
        ParameterDraft("table", label="Table", kind=Kind.FILE, choices=(".csv", ".tsv"), required=True),
        ParameterDraft("mask", kind=Kind.FILE),
    )
    with transaction(session):
        tasks.save(session, TaskDraft("fit", "command", "localhost", "true", parameters=parameters), None)
        jobs.save(session, jobs.JobDraft("fit", steps=(jobs.StepDraft(1, "fit"),), public=True), None)
    return "/jobs/fit/run"


def test_it_draws_dates_files_and_patterns(client: FlaskClient, with_files: str) -> None:
    page = client.get(f"{with_files}?p.fit_day=2026-11-21&p.fit_table=x").text
    assert 'name="p.fit_day" required type="date" value="2026-11-21"' in page
    assert 'accept=".csv,.tsv"' in page
    assert "A file that ends in .csv or .tsv." in page
    assert "A plate. Of the form [A-Z][0-9]+" in page
    assert "-F fit_table=@fit_table.csv" in page
    assert "fit_mask" not in page.partition("Use it from")[2]


def test_it_sends_the_files_of_parameters(client: FlaskClient, with_files: str, session: Session) -> None:
    chosen = {
        "p.fit_day": "2026-11-21",
        "p.fit_table": (io.BytesIO(b"1\t2"), "t.tsv"),
        "p.fit_mask": (io.BytesIO(), ""),
    }
    assert client.post(with_files, data=order(**chosen)).status_code == 303
    uploads = only_batch(session).uploads
    assert [(each.field, each.name, each.size) for each in uploads] == [
        ("", "a.csv", len(TABLE)),
        ("fit_table", "t.tsv", 3),
    ]


def test_its_run_shows_the_files_that_were_sent(client: FlaskClient, with_files: str, session: Session) -> None:
    chosen = {"p.fit_day": "2026-11-21", "p.fit_table": (io.BytesIO(b"1\t2"), "my table.tsv")}
    page = client.get(client.post(with_files, data=order(**chosen)).location).text
    uuid = only_batch(session).submissions[0].uuid
    assert "<dd>my_table.tsv</dd>" in page
    assert client.get(f"/runs/{uuid}/results/{uuid}_input_2.table.tsv").data == b"1\t2"
    assert "p.fit_table" not in page and "p.fit_day=2026-11-21" in page


def test_it_names_a_file_that_is_wrong_and_asks_for_all_again(client: FlaskClient, with_files: str) -> None:
    chosen = {"p.fit_day": "21.11.2026", "p.fit_table": (io.BytesIO(b"x"), "t.txt")}
    answer = client.post(with_files, data=order(**chosen))
    assert answer.status_code == 422
    assert "“t.txt” does not end in .csv or .tsv. Choose the file again." in answer.text
    assert "“21.11.2026” is not a date, such as 2026-11-21." in answer.text
    assert answer.text.count("Choose the file again.") == 2
    assert "This is required: send a file." in client.post(with_files, data=order()).text


def test_a_file_in_a_text_field_counts_for_nothing(client: FlaskClient, with_files: str) -> None:
    answer = client.post(with_files, data=order(**{"p.fit_day": (io.BytesIO(b"2026-11-21"), "day")}))
    assert answer.status_code == 422
    assert "This is required: give it a value." in answer.text


def test_it_asks_for_the_file_again(signed_in: FlaskClient, typed: str) -> None:
    page = signed_in.post(typed, data=order(**{"p.greet_times": "99"})).text
    assert "Choose the file again." in page
    assert "Choose the file again." not in signed_in.get(typed).text


def test_it_goes_back_to_the_form_of_a_job_that_was_switched_off(
    signed_in: FlaskClient, typed: str, session: Session
) -> None:
    with transaction(session):
        jobs.get(session, "greet").enabled = False
    answer = signed_in.post(typed, data=order())
    assert (answer.status_code, answer.location) == (303, typed)
    assert "greet is present but currently disabled." in signed_in.get(typed).text


def test_it_asks_for_a_file(client: FlaskClient, examples: object) -> None:
    answer = client.post("/jobs/penguins/run", data=order(input_data=(io.BytesIO(), "")))
    assert answer.status_code == 422
    assert 'id="input_data-error"' in answer.text


def test_its_address_fills_it_in(signed_in: FlaskClient, typed: str) -> None:
    page = signed_in.get(f"{typed}?p.greet_greeting=good+day&p.greet_loud=FALSE&p.greet_colour=sea+green").text
    assert 'value="good day"' in page
    assert 'checked id="value-1"' not in page
    assert '<option selected value="sea green">' in page
    assert 'checked id="value-1"' in signed_in.get(typed).text


def test_it_fills_in_the_accounts_address(signed_in: FlaskClient, typed: str) -> None:
    assert 'value="admin@example.org"' in signed_in.get(typed).text


def shown(client: FlaskClient) -> str:
    found = re.search(r'name="shown" type="hidden" value="([^"]+)"', client.get("/jobs/penguins/run").text)
    assert found
    return found[1]


def test_a_double_click_runs_once(client: FlaskClient, examples: object, session: Session) -> None:
    form = shown(client)
    answers = [client.post("/jobs/penguins/run", data=order(shown=form)) for _ in range(2)]
    assert answers[0].location == answers[1].location == f"/runs/{only_batch(session).submissions[0].uuid}"


def test_who_goes_back_and_changes_a_field_gets_another_run(client: FlaskClient, examples: object) -> None:
    form = shown(client)
    changes: list[dict[str, object]] = [{}, {"p.bill_length_alpha": "0.01"}, {"submission_name": "another"}]
    answers = [client.post("/jobs/penguins/run", data=order(shown=form, **change)) for change in changes]
    assert [answer.status_code for answer in answers] == [303, 303, 303]
    assert len({answer.location for answer in answers}) == 3
    assert shown(client) != form


def test_it_says_that_the_database_is_away(client: FlaskClient, data: Path, examples: object) -> None:
    (data / "portal.db").rename(data / "elsewhere.db")
    (data / "portal.db").mkdir()
    answer = client.get("/jobs/penguins/run")
    style = client.get("/static/portal.css")
    assert (answer.status_code, style.status_code) == (503, 200)
    assert int(answer.headers["Retry-After"]) > 0
    assert "The portal&#39;s database does not answer: try again in a minute." in answer.text

    (data / "portal.db").rmdir()
    (data / "elsewhere.db").rename(data / "portal.db")
    assert client.get("/jobs/penguins/run").status_code == 200


def test_it_says_that_the_disk_is_full(
    client: FlaskClient, data: Path, examples: object, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "fsync", fsync)
    answer = client.post("/jobs/penguins/run", data=order())
    assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (507, True)
    assert "The portal&#39;s disk is full: try again later." in answer.text
    assert (session.query(Batch).count(), [*data.glob("files/uploads/*")]) == (0, [])


def test_it_says_why_a_job_cannot_run(signed_in: FlaskClient, session: Session, examples: object) -> None:
    with transaction(session):
        jobs.save(session, jobs.JobDraft("bare"), None)
    page = signed_in.get("/jobs/bare/run").text
    assert "The job bare has no steps yet." in page
    assert 'class="button primary" disabled' in page
    assert signed_in.post("/jobs/bare/run", data=order(pasted="kept")).status_code == 503
    assert "kept" in signed_in.post("/jobs/bare/run", data=order(pasted="kept")).text


def test_it_tells_strangers_nothing_of_private_jobs(client: FlaskClient, typed: str) -> None:
    private, missing = client.get(typed), client.get("/jobs/missing/run")
    assert private.status_code == missing.status_code == 302
    assert private.location.startswith("/sign-in")


def test_it_is_not_found_for_a_job_that_does_not_exist(signed_in: FlaskClient) -> None:
    assert signed_in.get("/jobs/missing/run").status_code == 404


def test_it_shows_the_call_with_the_values_of_the_form(client: FlaskClient, examples: object) -> None:
    page = client.get("/jobs/penguins/run?p.bill_length_alpha=0.2").text
    assert "-F bill_length_alpha=0.2" in page
    assert "-F input_data=@input.csv" in page
    assert "/analytics_automated/submission.json" in page


def test_it_names_in_the_call_what_must_be_sent_and_is_not_there_yet(client: FlaskClient, session: Session) -> None:
    parameters = (
        ParameterDraft("times", kind=Kind.INTEGER, required=True),
        ParameterDraft("colour", kind=Kind.CHOICE, choices=("red", "sea green"), required=True),
        ParameterDraft("note"),
    )
    make_task(session, "t", "command", "true", inputs=(".csv",), parameters=parameters)
    make_job(session, "j", [(1, "t")])

    page = html.unescape(client.get("/jobs/j/run?p.t_times=3").text)
    empty = html.unescape(client.get("/jobs/j/run").text)

    assert "-F t_times=3 " in page
    assert "--form-string 't_times=<integer>'" in empty
    assert "--form-string 't_colour=<red or sea green>'" in empty
    assert "t_note" not in empty[empty.index("curl") :]


def test_it_shows_the_account_in_the_call_of_a_private_job(signed_in: FlaskClient, typed: str) -> None:
    page = signed_in.get(typed).text
    assert "-u admin" in page
    assert "auth=(&#34;admin&#34;, getpass())" in page
    assert "req_auth_basic(&#34;admin&#34;)" in page
    assert "-u admin" not in signed_in.get("/jobs/penguins/run").text


HARD = {"job": "a b", "first": "it's; \"1\" > 'é' \\n", "second": "@file", "third": "<x", "fourth": "two\nlines"}
REQUEST = snippets.Request("http://127.0.0.1:9/submission.json", HARD, "in put.csv")


def test_its_curl_line_passes_any_text_as_it_is() -> None:
    words = shlex.split(snippets.curl(REQUEST))
    sent = dict(word.split("=", 1) for word in words if "=" in word)
    assert sent == {**HARD, "input_data": "@in put.csv"}
    taken_literally = [words[at + 1].split("=")[0] for at, word in enumerate(words) if word == "--form-string"]
    assert taken_literally == ["first", "second", "third"]


@pytest.mark.parametrize("further", [{}, {"fit_table": "a table.tsv", "fit mask": "mask"}])
def test_its_python_snippet_sends_the_fields(tmp_path: Path, further: dict[str, str]) -> None:
    request = replace(REQUEST, files=further)
    for name in request.every_file().values():
        (tmp_path / name).write_bytes(TABLE)
    (tmp_path / "requests.py").write_text(
        "import json\n"
        "class Answer:\n"
        "    def __init__(self, sent): self.sent = sent\n"
        "    def raise_for_status(self): pass\n"
        "    def json(self): return {'UUID': json.dumps(self.sent)}\n"
        "def post(url, data, files, timeout):\n"
        "    return Answer([url, data, {name: file.read().decode() for name, file in files.items()}])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", snippets.python(request)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout) == [REQUEST.url, HARD, dict.fromkeys(request.every_file(), TABLE.decode())]


def test_its_other_snippets_send_every_file() -> None:
    request = replace(REQUEST, files={"fit_table": "a table.tsv"})
    words = shlex.split(snippets.curl(request))
    assert {"input_data=@in put.csv", "fit_table=@a table.tsv"} <= set(words)
    assert '`fit_table` = curl::form_file("a table.tsv")\n' in snippets.r(request)


def test_it_says_what_the_input_must_be(client: FlaskClient, session: Session) -> None:
    make_task(session, "t", "command", "true", inputs=(".csv",))
    make_job(session, "j", [(1, "t")], validators=("csv species:text", "size 10 MB"))

    page = client.get("/jobs/j/run").text

    assert "CSV table (here: species:text): A table with a header" in page
    assert "Size (here: 10 MB): A file that is neither too small nor too large." in page


def test_it_says_beside_its_field_what_a_file_must_be_and_is_not(client: FlaskClient, session: Session) -> None:
    table = ParameterDraft("table", help="Of the birds.", kind=Kind.FILE)
    make_task(session, "t", "command", "true", inputs=(".csv",), parameters=(table,))
    make_job(session, "j", [(1, "t")], validators=("t_table: csv mass:integer",))

    page = client.get("/jobs/j/run").text
    sent = {"p.t_table": (io.BytesIO(b"mass\nheavy\n"), "t.csv"), "input_data": (io.BytesIO(b"x"), "x.csv")}
    answer = client.post("/jobs/j/run", data={"submission_name": "x", "email": "a@b.com", **sent})

    [about] = re.findall(r'id="value-0-help">(.*?)</p>', page)
    assert about.startswith("Of the birds. CSV table (here: mass:integer): A table with a header")
    assert "CSV table" not in page[: page.index("value-0-help")]
    assert answer.status_code == 422
    [wrong] = re.findall(r'id="value-0-error">(.*?)</p>', answer.text, re.S)
    assert "This file could not be validated: line 2: “heavy” in the column mass is not a whole number." in wrong
