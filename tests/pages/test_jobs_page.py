"""The job composer: steps are ordered, drawn, checked and kept."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from portal.domain.drafts import ParameterDraft
from portal.domain.parameters import Kind
from portal.services import jobs
from tests.making import make_job, make_task
from tests.pages.sent_back import fields_of

NEW = {
    "name": "birds",
    "description": "Cleans, then fits.",
    "public": "y",
    "enabled": "y",
    "validators-0-name": "csv",
    "validators-0-options": " species:text year:integer ",
    "steps-0-order": "1",
    "steps-0-task": "clean",
    "steps-1-order": "2",
    "steps-1-task": "body_mass",
    "steps-2-order": "2",
    "steps-2-task": "bill_length",
}
SPARE = {"steps-3-order": "3", "steps-3-task": "", "steps-4-order": "4", "steps-4-task": ""}


def steps_of(session: Session, name: str) -> list[tuple[int, str]]:
    session.rollback()
    return [(step.order, step.task) for step in jobs.draft_of(jobs.get(session, name)).steps]


def test_it_lists_each_job_with_its_steps(signed_in: FlaskClient, examples: object) -> None:
    page = signed_in.get("/jobs").text
    assert "body_mass + bill_length" in page
    assert 'href="/jobs/penguins/run"' in page
    assert 'href="/runs?job=penguins"' in page


def test_it_gives_the_list_as_json_and_csv(signed_in: FlaskClient, examples: object) -> None:
    listed = signed_in.get("/jobs.json").json["jobs"]
    penguins = next(job for job in listed if job["name"] == "penguins")
    assert penguins["steps"] == [["clean"], ["body_mass", "bill_length"], ["report"]]
    assert "clean > body_mass + bill_length > report" in signed_in.get("/jobs.csv").text


def test_it_saves_a_job_with_its_steps(signed_in: FlaskClient, examples: object, session: Session) -> None:
    answer = signed_in.post("/jobs/new", data={**NEW, **SPARE})
    assert (answer.status_code, answer.location) == (303, "/jobs/birds")
    assert steps_of(session, "birds") == [(1, "clean"), (2, "body_mass"), (2, "bill_length")]
    draft = jobs.draft_of(jobs.get(session, "birds"))
    assert (draft.public, draft.enabled, draft.validators) == (True, True, ("csv species:text year:integer",))


def test_it_saves_a_job_unchanged_when_its_form_is_sent_back(
    signed_in: FlaskClient, examples: object, session: Session
) -> None:
    before = jobs.draft_of(jobs.get(session, "penguins"))
    signed_in.post("/jobs/penguins", data=fields_of(signed_in.get("/jobs/penguins").text, "job-form"))
    session.rollback()
    assert jobs.get(session, "penguins").current.number == 2
    assert jobs.draft_of(jobs.get(session, "penguins")) == before


def test_it_shows_an_old_revision_and_edits_from_it(signed_in: FlaskClient, examples: object, session: Session) -> None:
    signed_in.post("/jobs/new", data=NEW)
    signed_in.post("/jobs/birds", data={**NEW, "revision": "1", "steps-1-task": "", "steps-2-task": ""})
    assert steps_of(session, "birds") == [(1, "clean")]

    assert 'href="/jobs/birds?revision=1"' in signed_in.get("/jobs/birds").text
    old = signed_in.get("/jobs/birds?revision=1").text
    signed_in.post("/jobs/birds", data=fields_of(old, "job-form"))

    assert steps_of(session, "birds") == [(1, "clean"), (2, "body_mass"), (2, "bill_length")]
    assert jobs.get(session, "birds").current.number == 3
    assert signed_in.get("/jobs/birds?revision=7").status_code == 404


def test_it_has_a_row_for_each_validator_with_what_its_options_say(
    signed_in: FlaskClient, examples: object, session: Session
) -> None:
    more = {"validators-1-name": "size", "validators-1-options": "1 kB..10 MB", "validators-2-name": ""}
    signed_in.post("/jobs/new", data={**NEW, **more})

    page = signed_in.get("/jobs/birds").text
    sent_back = fields_of(page, "job-form")
    assert [sent_back[f"validators-{row}-name"] for row in range(3)] == ["csv", "size", ""]
    assert sent_back["validators-1-options"] == "1 kB..10 MB"
    assert page.count("The largest size, such as 10 MB; or both ends, such as 1 kB..10 MB.</p>") == 1
    assert "csv species:text year:integer; size 1 kB..10 MB" in signed_in.get("/jobs.csv").text


@pytest.fixture
def with_files(examples: object, session: Session) -> None:
    """A task with a file in its name's two spellings, and a job that has it as a step."""
    for name in ("My fit", "plot"):
        parameters = (ParameterDraft("table", kind=Kind.FILE), ParameterDraft("who", default="Ann"))
        make_task(session, name, "command", "true", parameters=parameters)
    make_job(session, "inner", [(1, "plot")])


def test_it_offers_the_files_that_its_steps_take(signed_in: FlaskClient, with_files: None) -> None:
    steps = {"steps-0-task": "My fit", "steps-1-task": "job/inner", "steps-2-task": ""}

    drawn = signed_in.post("/jobs/graph", data={**NEW, **steps}).text
    page = signed_in.post("/jobs/new", data={**NEW, **steps, "rearrange": ""}).text

    for text in (drawn, page):
        [offered] = re.findall(r'<datalist id="files">(.*?)</datalist>', text, re.S)
        assert re.findall(r'value="([^"]*)"', offered) == ["My fit_table", "plot_table"]


def test_it_saves_which_file_a_validator_reads(signed_in: FlaskClient, with_files: None, session: Session) -> None:
    rows = {"validators-1-file": " My fit_table ", "validators-1-name": "csv", "validators-1-options": "a:text"}
    rows |= {"validators-2-file": "plot_table", "validators-2-name": "png", "steps-0-task": "My fit"}

    assert signed_in.post("/jobs/new", data={**NEW, **rows, "steps-1-task": "job/inner"}).status_code == 303

    draft = jobs.draft_of(jobs.get(session, "birds"))
    assert draft.validators[1:] == ('"My fit_table": csv a:text', "plot_table: png")
    sent_back = fields_of(signed_in.get("/jobs/birds").text, "job-form")
    assert [sent_back[f"validators-{row}-file"] for row in range(3)] == ["", "My fit_table", "plot_table"]
    signed_in.post("/jobs/birds", data=sent_back)
    session.rollback()
    assert jobs.draft_of(jobs.get(session, "birds")) == draft
    assert '""My fit_table"": csv a:text; plot_table: png' in signed_in.get("/jobs.csv").text


def test_it_refuses_a_file_that_no_step_takes_beside_its_field(signed_in: FlaskClient, with_files: None) -> None:
    answer = signed_in.post("/jobs/new", data={**NEW, "steps-0-task": "plot", "validators-0-file": "plot_who"})

    assert answer.status_code == 422
    beside = re.search(r'id="validators-0-file-error">(.*?)</p>', answer.text, re.S)
    assert beside and "No task of this job takes a file plot_who: name plot_table, or no file" in beside[1]


def test_it_moves_and_removes_a_validator(signed_in: FlaskClient, examples: object) -> None:
    rows = {**NEW, "validators-1-name": "png"}
    moved = fields_of(signed_in.post("/jobs/new", data={**rows, "rearrange": "validators-1-up"}).text, "job-form")
    left = fields_of(signed_in.post("/jobs/new", data={**rows, "rearrange": "validators-0-remove"}).text, "job-form")

    assert [moved[f"validators-{row}-name"] for row in range(2)] == ["png", "csv"]
    assert [left[f"validators-{row}-name"] for row in range(2)] == ["png", ""]


def test_it_keeps_results_for_some_days_and_says_so(signed_in: FlaskClient, examples: object, session: Session) -> None:
    signed_in.post("/jobs/new", data={**NEW, "keep_days": "30"})

    assert jobs.get(session, "birds").keep_days == 30
    assert fields_of(signed_in.get("/jobs/birds").text, "job-form")["keep_days"] == "30"
    form = signed_in.get("/jobs/birds/run").text
    assert "Input, results and logs are kept for 30 days after the run has ended." in form
    listed = signed_in.get("/jobs.json").json["jobs"]
    assert {each["name"]: each["keep_days"] for each in listed}["birds"] == 30
    assert "keep_days" in signed_in.get("/jobs.csv").text


@pytest.mark.parametrize(("days", "words"), [(None, "Empty: for ever."), (1, "Empty: 1 day, as the settings say.")])
def test_it_says_how_long_results_are_kept_otherwise(
    app: Flask, signed_in: FlaskClient, examples: object, days: int | None, words: str
) -> None:
    settings = app.config["PORTAL"]
    app.config["PORTAL"] = settings.model_copy(update={"portal_keep_days": days})

    assert words in signed_in.get("/jobs/penguins").text
    assert ("Input, results and logs are kept for 1 day" in signed_in.get("/jobs/penguins/run").text) == bool(days)


def test_it_switches_a_job_off(signed_in: FlaskClient, examples: object, session: Session) -> None:
    signed_in.post("/jobs/new", data={key: value for key, value in NEW.items() if key != "enabled"})
    assert not jobs.draft_of(jobs.get(session, "birds")).enabled
    assert "Switched off" in signed_in.get("/jobs").text
    page = signed_in.get("/jobs/birds/run").text
    assert "The job birds is switched off." in page
    assert "disabled" in page


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "new"}, "The name new is the portal"),
        ({"keep_days": "0"}, "Keep results for 1 to 36,500 days, or leave it empty."),
        ({"keep_days": "soon"}, "“soon” is not a whole number"),
        ({"validators-0-options": "year:number"}, "“year:number” is no column with a type"),
        ({"validators-0-name": "png"}, "PNG image takes no options: leave them out."),
        ({"validators-0-name": "magic"}, "The validator magic is not installed: choose another."),
        ({"validators-0-name": ""}, "Choose what the file must be."),
        ({"steps-1-task": "nobody"}, "Choose one of the tasks: there is no nobody."),
        ({"steps-1-order": "second"}, "“second” is not a whole number"),
        ({"steps-1-order": ""}, "Give the step its order number."),
    ],
)
def test_it_says_what_is_wrong_and_keeps_what_was_typed(
    signed_in: FlaskClient, examples: object, change: dict[str, str], sentence: str
) -> None:
    answer = signed_in.post("/jobs/new", data={**NEW, **change})
    assert answer.status_code == 422
    assert sentence in answer.text
    assert "Cleans, then fits." in answer.text


def test_it_says_a_rows_sentence_once_and_in_words(signed_in: FlaskClient, examples: object) -> None:
    page = signed_in.post("/jobs/new", data={**NEW, "steps-1-order": ""}).text
    assert "&#39;order&#39;" not in page
    assert page.count("Give the step its order number.") == 1


def test_it_moves_a_step_up_and_leaves_the_numbers(signed_in: FlaskClient, examples: object) -> None:
    answer = signed_in.post("/jobs/new", data={**NEW, "rearrange": "steps-1-up"})
    assert answer.status_code == 200
    sent_back = fields_of(answer.text, "job-form")
    assert [sent_back[f"steps-{row}-task"] for row in range(3)] == ["body_mass", "clean", "bill_length"]
    assert [sent_back[f"steps-{row}-order"] for row in range(3)] == ["1", "2", "2"]


def test_it_removes_a_step(signed_in: FlaskClient, examples: object) -> None:
    answer = signed_in.post("/jobs/new", data={**NEW, "rearrange": "steps-0-remove"})
    sent_back = fields_of(answer.text, "job-form")
    assert [sent_back[f"steps-{row}-task"] for row in range(3)] == ["body_mass", "bill_length", ""]


def test_it_draws_the_steps_as_they_are_chosen(signed_in: FlaskClient, examples: object) -> None:
    fragment = signed_in.post("/jobs/graph", data={**NEW, **SPARE}).text
    assert "<svg" in fragment
    assert "Side by side:" in fragment
    assert "<html" not in fragment


def test_its_graph_bears_with_a_step_that_cannot_be_read_yet(signed_in: FlaskClient, examples: object) -> None:
    fragment = signed_in.post("/jobs/graph", data={**NEW, "steps-1-order": "x", "steps-2-task": "nobody"})
    assert fragment.status_code == 200
    assert "body_mass" not in fragment.text


def test_it_warns_of_an_input_that_no_earlier_step_gives(signed_in: FlaskClient, examples: object) -> None:
    lonely = {**NEW, "steps-3-order": "3", "steps-3-task": "word_count"}
    fragment = signed_in.post("/jobs/graph", data=lonely).text
    assert "word_count takes .txt, which no earlier step gives: put a step that gives it before" in fragment
    answer = signed_in.post("/jobs/new", data=lonely)
    assert (answer.status_code, "word_count takes .txt" in answer.text) == (422, True)


def test_it_deletes_a_job(signed_in: FlaskClient, examples: object) -> None:
    assert signed_in.post("/jobs/fibonacci/delete").location == "/jobs"
    assert signed_in.get("/jobs/fibonacci").status_code == 404


def test_it_asks_to_sign_in(client: FlaskClient, examples: object) -> None:
    for address in ("/jobs", "/jobs.json", "/jobs.csv", "/jobs/new", "/jobs/penguins"):
        assert client.get(address).location.startswith("/sign-in")


FULL = {
    "name": "survey",
    "steps-0-order": "1",
    "steps-0-task": "clean",
    "steps-1-order": "2",
    "steps-1-task": "job/inner",
    "steps-1-name": "models",
    "steps-1-needs": "clean",
    "steps-1-condition": "parameter",
    "steps-1-condition_of": "report_rows",
    "steps-1-condition_is": "10\r\n20",
    "steps-2-order": "3",
    "steps-2-task": "report",
    "steps-2-needs": "models, clean",
    "steps-2-condition": "exit_status_of",
    "steps-2-condition_of": "clean",
    "steps-2-condition_is": "0",
    "steps-3-order": "4",
    "steps-3-task": "report",
    "steps-3-needs": "models",
    "steps-3-condition": "no_file",
    "steps-3-condition_of": "bad",
}


@pytest.fixture
def inner(session: Session, examples: object) -> None:
    make_job(session, "inner", [(1, "body_mass"), (1, "bill_length")])


def test_it_saves_needs_conditions_and_jobs_as_steps_and_shows_them_again(
    signed_in: FlaskClient, inner: None, session: Session
) -> None:
    assert signed_in.post("/jobs/new", data=FULL).location == "/jobs/survey"

    draft = jobs.draft_of(jobs.get(session, "survey"))
    rows = {"parameter": "report_rows", "is": ["10", "20"]}
    assert draft.steps == (
        jobs.StepDraft(1, "clean"),
        jobs.StepDraft(2, "", "models", ("clean",), rows, "inner"),
        jobs.StepDraft(3, "report", "", ("models", "clean"), {"exit_status_of": "clean", "is": [0]}),
        jobs.StepDraft(4, "report", "", ("models",), {"file": ".bad", "exists": False}),
    )
    page = signed_in.get("/jobs/survey").text
    assert '<optgroup label="Jobs">' in page
    assert "models, needs clean, if report_rows is 10 or 20" in page
    assert signed_in.post("/jobs/survey", data=fields_of(page, "job-form")).status_code == 303
    session.rollback()
    assert jobs.draft_of(jobs.get(session, "survey")) == draft
    assert "clean</span>" in signed_in.get("/jobs").text
    listed = {job["name"]: job["steps"] for job in signed_in.get("/jobs.json").json["jobs"]}
    assert listed["survey"] == [["clean"], ["models"], ["report", "report 2"]]
    assert signed_in.get("/tasks").status_code == 200


def test_its_graph_draws_the_steps_of_jobs_with_their_conditions(signed_in: FlaskClient, inner: None) -> None:
    fragment = signed_in.post("/jobs/graph", data=FULL).text

    assert "models/bill_length" in fragment
    assert "report 2 (Command), if there is no .bad file, after models/body_mass, models/bill_length" in fragment
    assert fragment.count('class="graph-arrow"') == 6


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"steps-1-needs": "report"}, "These steps wait for each other"),
        ({"steps-1-needs": "cleaner"}, "No step is called cleaner"),
        ({"steps-1-task": "job/nobody"}, "There is no job nobody"),
        ({"steps-2-name": "models"}, "Another step is called models"),
        ({"steps-1-condition_of": "rows"}, "No task of this job has the parameter rows"),
        ({"steps-1-condition_is": "ten"}, "“ten” is not a whole number"),
        ({"steps-2-condition_is": "zero"}, "An exit status is a whole number from 0 to 255."),
        ({"steps-3-condition_of": ""}, "Say which parameter, which step or which ending"),
    ],
)
def test_it_says_what_is_wrong_with_needs_and_conditions_beside_them(
    signed_in: FlaskClient, inner: None, change: dict[str, str], sentence: str
) -> None:
    answer = signed_in.post("/jobs/new", data={**FULL, **change})

    assert answer.status_code == 422
    assert answer.text.count(sentence) in (1, 2)
    assert '<details class="more step-more" open>' in answer.text or "job/" in change.get("steps-1-task", "")


def test_it_says_which_job_a_job_is_a_step_of_when_it_is_to_be_deleted(signed_in: FlaskClient, inner: None) -> None:
    signed_in.post("/jobs/new", data=FULL)

    answer = signed_in.post("/jobs/inner/delete", follow_redirects=True)

    assert "The job inner is a step of survey: take it out there first." in answer.text
    assert signed_in.get("/jobs/inner").status_code == 200
