"""The task editor: what is typed is shown, checked and kept."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.limits import Limits
from portal.domain.policy import Role
from portal.domain.retries import Retries
from portal.services import accounts, backends, jobs, tasks
from tests.pages.sent_back import fields_of

NEW: dict[str, str] = {
    "name": "longest",
    "language": "command",
    "backend": "localhost",
    "code": "sort $P1 $I1 | tail -n 1 > $O1\r\n",
    "inputs": ".txt, .tsv",
    "outputs": "out",
    "stdout": "",
    "exit_statuses": "1, 2",
    "on_exit_status": "finish",
    "on_missing_output": "fail",
    "wall_seconds": "60",
    "memory_bytes": "500 MB",
    "files": "10,000",
    "retries": "2",
    "retry_on_crash": "y",
    "retry_exit_statuses": "75, 76",
    "retry_wait": "1 min",
    "parameters-0-alias": "key",
    "parameters-0-kind": "integer",
    "parameters-0-flag": "-k",
    "parameters-0-default": "2",
    "parameters-0-minimum": "1",
    "parameters-0-maximum": "",
    "parameters-0-spacing": "y",
    "variables-0-name": "LC_ALL",
    "variables-0-value": "C",
    "configurations-0-kind": "Software",
    "configurations-0-name": "sort",
    "configurations-0-version": "9.1",
}
EMPTY_ROWS = {
    "parameters-1-alias": "",
    "parameters-1-kind": "text",
    "parameters-1-spacing": "y",
    "variables-1-name": " ",
    "configurations-1-kind": "Software",
    "configurations-1-name": "",
}


def text_of(response: Any) -> str:
    return " ".join(response.text.split())


def test_it_lists_each_task_with_what_it_takes_and_gives(signed_in: FlaskClient, examples: object) -> None:
    page = text_of(signed_in.get("/tasks"))
    assert "bill_length" in page
    assert ".anova.csv" in page
    assert 'href="/jobs/penguins/run"' in page


def test_it_gives_the_list_as_json_and_csv(signed_in: FlaskClient, examples: object) -> None:
    listed = signed_in.get("/tasks.json").json["tasks"]
    report = next(task for task in listed if task["name"] == "report")
    assert report["inputs"] == [".coefficients.csv", ".anova.csv"]
    assert report["outputs"] == [".report.txt"]
    assert report["jobs"] == ["penguins"]
    table = signed_in.get("/tasks.csv")
    assert table.mimetype == "text/csv"
    assert ".coefficients.csv .anova.csv" in table.text


def test_it_saves_everything_that_a_task_holds(signed_in: FlaskClient, examples: object, session: Session) -> None:
    answer = signed_in.post("/tasks/new", data={**NEW, **EMPTY_ROWS})
    assert (answer.status_code, answer.location) == (303, "/tasks/longest")
    draft = tasks.draft_of(tasks.get(session, "longest").current)
    assert draft.code == "sort $P1 $I1 | tail -n 1 > $O1\n"
    assert (draft.inputs, draft.outputs, draft.exit_statuses) == ((".txt", ".tsv"), (".out",), (1, 2))
    assert draft.on_exit_status == "finish"
    assert draft.limits == Limits(wall_seconds=60, memory_bytes=500_000_000, files=10_000)
    assert draft.retries == Retries(2, on_crash=True, exit_statuses=(75, 76), wait_seconds=60)
    [parameter] = draft.parameters
    assert (parameter.alias, parameter.kind, parameter.flag, parameter.default) == ("key", "integer", "-k", "2")
    assert (parameter.minimum, parameter.maximum, parameter.required) == (1, None, False)
    assert draft.variables == (("LC_ALL", "C"),)
    assert [(each.name, each.version) for each in draft.configurations] == [("sort", "9.1")]


@pytest.mark.parametrize("name", ["bill_length", "longest"])
def test_it_saves_a_task_unchanged_when_its_form_is_sent_back(
    signed_in: FlaskClient, examples: object, session: Session, name: str
) -> None:
    signed_in.post("/tasks/new", data=NEW)
    before = tasks.draft_of(tasks.get(session, name).current)
    answer = signed_in.post(f"/tasks/{name}", data=fields_of(signed_in.get(f"/tasks/{name}").text, "task-form"))
    assert answer.status_code == 303
    session.rollback()
    after = tasks.get(session, name).current
    assert after.number == 2
    assert tasks.draft_of(after) == before


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": ""}, "Give it a name"),
        ({"code": "sort $I3"}, "$I3 stands for nothing here"),
        ({"backend": "R"}, "does not run this language"),
        ({"parameters-0-default": "many"}, "is not a whole number"),
        ({"parameters-0-minimum": "low"}, "“low” is not a number"),
        ({"wall_seconds": "an hour"}, "“an hour” is not a time: write it like 90 s"),
        ({"memory_bytes": "1,5 GB"}, "“1,5 GB” is not a size: write it like 500 MB"),
        ({"log_bytes": "2 GB"}, "Log size: give at most 1 GB"),
        ({"exit_statuses": "one"}, "Give whole numbers"),
        ({"retries": "21"}, "Give a number of retries from 0 to 20."),
        ({"retries": "often"}, "“often” is not a whole number"),
        ({"retry_exit_statuses": "0"}, "0 is not the exit status of a failure"),
        ({"retry_exit_statuses": "2"}, "Exit status 2 is expected, so it is no failure"),
        ({"retry_wait": "2 d"}, "Give a first waiting time from 0 s to 1 d."),
        ({"variables-0-name": "PATH"}, "PATH is set by the portal"),
    ],
)
def test_it_says_what_is_wrong_and_keeps_what_was_typed(
    signed_in: FlaskClient, examples: object, change: dict[str, str], sentence: str
) -> None:
    typed = {**NEW, "description": "Finds <the> longest line", **change}
    answer = signed_in.post("/tasks/new", data=typed)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert "Finds &lt;the&gt; longest line" in answer.text
    [(name, text)] = change.items()
    if name not in ("backend", "code"):
        assert f'name="{name}"' in answer.text
        assert f'value="{text}"' in answer.text


def test_it_says_to_choose_what_is_tried_again(signed_in: FlaskClient, examples: object) -> None:
    causes = ("retry_on_crash", "retry_on_time", "retry_exit_statuses")
    answer = signed_in.post("/tasks/new", data={key: value for key, value in NEW.items() if key not in causes})
    assert answer.status_code == 422
    assert "Choose after which failures to try again: a crash, the time limit, or exit statuses." in answer.text


def test_it_refuses_more_than_the_backend_allows(signed_in: FlaskClient, examples: object, session: Session) -> None:
    with transaction(session):
        backends.named(session, "localhost").ceilings = {"wall_seconds": 7200}
    answer = signed_in.post("/tasks/new", data={**NEW, "wall_seconds": "3 h"})
    assert answer.status_code == 422
    assert "The backend localhost allows at most 2 h." in answer.text
    assert 'value="3 h"' in answer.text
    assert signed_in.post("/tasks/new", data={**NEW, "wall_seconds": "2 h"}).status_code == 303


def test_it_tells_how_far_a_run_may_go_as_it_is_typed(signed_in: FlaskClient, examples: object) -> None:
    fragment = text_of(signed_in.post("/tasks/preview", data=NEW))
    assert "<dt>Wall time</dt><dd>1 min</dd>" in fragment
    assert '<dt>Output size</dt><dd>2 GB <span class="muted">the backend\'s</span></dd>' in fragment
    assert "<dt>Processor time</dt><dd>no limit</dd>" in fragment
    assert "at most 2 times, after a crash or exit statuses 75, 76; the first after 1 min" in fragment
    assert "<dt>Wall time</dt><dd>1 h" in text_of(signed_in.get("/tasks/new"))


def test_a_revision_tells_how_far_it_may_go(signed_in: FlaskClient, examples: object) -> None:
    signed_in.post("/tasks/new", data=NEW)
    page = text_of(signed_in.get("/tasks/longest/revisions/1"))
    assert "<dt>Memory</dt><dd>500 MB</dd>" in page
    assert "<dt>Number of files</dt><dd>10,000</dd>" in page
    assert "<dt>Log size</dt><dd>the backend&#39;s</dd>" in page
    assert "<dt>Retries</dt><dd>at most 2 times, after a crash" in page


def test_it_puts_a_rows_sentence_beside_its_row_when_empty_rows_come_first(
    signed_in: FlaskClient, examples: object
) -> None:
    typed = {key.replace("parameters-0", "parameters-2"): value for key, value in NEW.items()}
    answer = signed_in.post("/tasks/new", data={**typed, "parameters-2-default": "many", "parameters-0-alias": ""})
    assert answer.status_code == 422
    assert 'id="parameters-0-default-error"' in answer.text
    assert "Some fields need another look" in answer.text


def test_it_removes_and_moves_rows_without_a_script(signed_in: FlaskClient, examples: object) -> None:
    second = {key.replace("-0-", "-1-"): value for key, value in NEW.items() if key.startswith("parameters")}
    typed = {**NEW, **second, "parameters-1-alias": "second"}
    moved = signed_in.post("/tasks/new", data={**typed, "rearrange": "parameters-1-up"})
    assert moved.status_code == 200
    assert moved.text.index('value="second"') < moved.text.index('value="key"')
    removed = signed_in.post("/tasks/new", data={**typed, "rearrange": "parameters-0-remove"})
    assert 'value="key"' not in removed.text
    assert 'value="second"' in removed.text


def test_it_shows_the_exact_command_and_the_form_as_they_are_typed(signed_in: FlaskClient, examples: object) -> None:
    fragment = text_of(signed_in.post("/tasks/preview", data=NEW))
    assert "sort -k 2" in fragment
    assert ".txt | tail -n 1 &gt;" in fragment
    assert 'name="p.longest_key"' in fragment
    assert 'form="drawn-form"' in fragment
    assert "<html" not in fragment


def test_it_marks_the_line_that_is_wrong(signed_in: FlaskClient, examples: object) -> None:
    answer = signed_in.post("/tasks/new", data={**NEW, "code": "sort $I1\r\nsort $I3\r\n"})
    assert 'data-error-line="2"' in answer.text
    assert "data-error-line" not in signed_in.get("/tasks/new").text


@pytest.mark.parametrize(
    ("language", "alias", "flag", "place"),
    [
        ("command", "key", "-k", "$P1"),
        ("command", "key", "VALUE", "$VALUE"),
        ("python", "key", "-k", "params[&#34;key&#34;]"),
        ("python", "", "-k", "params[&#34;name&#34;]"),
        ("r", "key", "-k", "params$key"),
        ("r", "sort key", "-k", "params$`sort key`"),
    ],
)
def test_it_says_how_the_code_has_each_parameter(
    signed_in: FlaskClient, examples: object, language: str, alias: str, flag: str, place: str
) -> None:
    typed = {**NEW, "language": language, "parameters-0-alias": alias, "parameters-0-flag": flag, "rearrange": ""}
    assert f"data-row-place>{place}</code>" in signed_in.post("/tasks/new", data=typed).text


def test_its_preview_says_what_code_of_each_language_finds(signed_in: FlaskClient, examples: object) -> None:
    for language, words in (("command", "the command"), ("python", "Python"), ("r", "R")):
        assert f"What {words} finds" in signed_in.post("/tasks/preview", data={**NEW, "language": language}).text


def test_it_keeps_patterns_dates_and_the_endings_of_files(
    signed_in: FlaskClient, examples: object, session: Session
) -> None:
    rows = {
        "parameters-0-kind": "text", "parameters-0-default": "AB", "parameters-0-minimum": "",
        "parameters-0-pattern": "[A-Z]+ ",
        "parameters-1-alias": "day", "parameters-1-kind": "date", "parameters-1-default": "2026-11-21",
        "parameters-2-alias": "table", "parameters-2-kind": "file", "parameters-2-choices": "csv\r\n.tsv",
        "parameters-2-flag": "--with", "parameters-2-spacing": "y",
    }  # fmt: skip
    data = {**NEW, **rows, "code": "fit $P1 $P3 $I1"}
    refused = signed_in.post("/tasks/new", data={**data, "parameters-0-pattern": "[A-"})
    preview = text_of(signed_in.post("/tasks/preview", data=data))
    saved = signed_in.post("/tasks/new", data={**data, "parameters-0-pattern": "[A-Z]+"})

    assert "This is not a regular expression that is known here: missing ]" in refused.text
    assert "--with 0d9f3a52.table.csv 0d9f3a52.txt" in preview
    assert 'type="date"' in preview and 'accept=".csv,.tsv"' in preview
    assert saved.status_code == 303
    kept = tasks.draft_of(tasks.get(session, "longest").current).parameters
    assert [(each.kind, each.pattern, each.choices) for each in kept] == [
        ("text", "[A-Z]+", ()), ("date", "", ()), ("file", "", (".csv", ".tsv")),
    ]  # fmt: skip
    assert "<code>[A-Z]+</code>" in signed_in.get("/tasks/longest/revisions/1").text


def test_its_preview_bears_with_what_cannot_be_read_yet(signed_in: FlaskClient, examples: object) -> None:
    unfinished = {**NEW, "parameters-0-kind": "nonsense", "wall_seconds": "x", "exit_statuses": "x", "code": "'$P9"}
    assert signed_in.post("/tasks/preview", data=unfinished).status_code == 200


def test_it_offers_only_the_backends_that_serve_the_language(signed_in: FlaskClient, examples: object) -> None:
    page = signed_in.get("/tasks/new?language=r").text
    assert '<option value="R">' in page
    assert '<option value="localhost">' not in page
    assert "Only the backends that serve R are listed." in page


def test_it_warns_once_when_somebody_else_has_saved_meanwhile(
    signed_in: FlaskClient, examples: object, session: Session
) -> None:
    signed_in.post("/tasks/new", data=NEW)
    theirs = signed_in.post("/tasks/longest", data={**NEW, "revision": "1"})
    assert theirs.status_code == 303
    mine = signed_in.post("/tasks/longest", data={**NEW, "revision": "1", "description": "mine"})
    assert mine.status_code == 422
    assert "Somebody saved revision 2" in mine.text
    assert 'name="revision" type="hidden" value="2"' in mine.text
    assert tasks.get(session, "longest").current.number == 2
    assert signed_in.post("/tasks/longest", data={**NEW, "revision": "2"}).status_code == 303


def test_it_shows_an_old_revision_and_edits_from_it(signed_in: FlaskClient, examples: object) -> None:
    signed_in.post("/tasks/new", data=NEW)
    signed_in.post("/tasks/longest", data={**NEW, "code": "sort -r $P1 $I1 > $O1"})
    assert "tail -n 1" in signed_in.get("/tasks/longest/revisions/1").text
    assert "tail -n 1" in signed_in.get("/tasks/longest?revision=1").text
    assert "tail -n 1" not in signed_in.get("/tasks/longest").text
    assert signed_in.get("/tasks/longest/revisions/7").status_code == 404


def test_it_deletes_a_task_that_no_job_uses(signed_in: FlaskClient, examples: object) -> None:
    signed_in.post("/tasks/new", data=NEW)
    assert signed_in.post("/tasks/longest/delete").location == "/tasks"
    assert signed_in.get("/tasks/longest").status_code == 404


def test_it_keeps_a_task_that_a_job_uses(signed_in: FlaskClient, examples: object, session: Session) -> None:
    answer = signed_in.post("/tasks/clean/delete")
    assert (answer.status_code, answer.location) == (303, "/tasks/clean")
    assert "is a step of penguins" in signed_in.get(answer.location).text
    assert tasks.get(session, "clean")
    assert jobs.get(session, "penguins")


def test_it_asks_to_sign_in(client: FlaskClient, examples: object) -> None:
    for address in ("/tasks", "/tasks.json", "/tasks.csv", "/tasks/new", "/tasks/clean", "/tasks/clean/revisions/1"):
        answer = client.get(address)
        assert answer.status_code == 302
        assert answer.location.startswith("/sign-in")


def test_it_shows_a_submitter_nothing_of_tasks(client: FlaskClient, examples: object, session: Session) -> None:
    with transaction(session):
        accounts.create(session, "sam", "a long password", Role.SUBMITTER)
    client.post("/sign-in", data={"name": "sam", "password": "a long password"})
    assert client.get("/tasks").status_code == 403
    assert client.get("/tasks/clean").status_code == 403
    assert 'href="/tasks"' not in client.get("/").text
    assert client.post("/tasks/new", data=NEW).status_code == 403
    assert client.post("/tasks/clean/delete").status_code == 403
