"""Composing jobs, and what a person must know to run one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.drafts import ParameterDraft
from portal.domain.errors import Invalid, NotFound
from portal.domain.parameters import Kind
from portal.domain.policy import Role
from portal.models import Account, Task, Worker
from portal.services import backends, jobs
from portal.services.jobs import JobDraft, StepDraft
from tests.making import make_backend, make_job, make_task


@pytest.fixture
def three_tasks(session: Session) -> None:
    make_task(session, "clean", "python", "pass", inputs=(".csv",), outputs=(".clean.csv",))
    level = ParameterDraft("alpha", "Level", "Help.", "--alpha", Kind.DECIMAL, "0.05", minimum=0, maximum=1)
    make_task(session, "fit", "r", "1", inputs=(".clean.csv",), outputs=(".fit.csv",), parameters=(level,))
    make_task(session, "report", "command", "true", inputs=(".fit.csv",), stdout=".txt")


STEPS = (StepDraft(20, "fit"), StepDraft(10, "clean"), StepDraft(30, "report"), StepDraft(20, "clean"))


def save(session: Session, draft: JobDraft) -> Any:
    with transaction(session):
        return jobs.save(session, draft, None, jobs.named(session, draft.name))


def test_it_gives_back_what_was_saved_with_its_steps_in_order(session: Session, three_tasks: None) -> None:
    draft = JobDraft("flow", "Flows.", True, False, ("csv",), STEPS, 30)

    save(session, draft)

    found = jobs.draft_of(jobs.get(session, "flow"))
    assert (found.name, found.description, found.public, found.enabled) == ("flow", "Flows.", True, False)
    assert (found.validators, found.keep_days) == (("csv",), 30)
    assert [(step.order, step.task) for step in found.steps] == [
        (10, "clean"),
        (20, "fit"),
        (20, "clean"),
        (30, "report"),
    ]


def test_it_adds_a_revision_with_every_save(session: Session, three_tasks: None) -> None:
    save(session, JobDraft("flow", steps=STEPS))
    save(session, JobDraft("flow", steps=STEPS[:1]))

    first, second = jobs.get(session, "flow").revisions

    assert [first.number, second.number] == [1, 2]
    assert [len(first.steps), len(second.steps)] == [4, 1]


def test_it_keeps_the_days_with_the_job_whatever_the_revision(session: Session) -> None:
    save(session, JobDraft("flow", keep_days=36_500))
    save(session, JobDraft("flow"))

    assert jobs.get(session, "flow").keep_days is None
    assert jobs.draft_of(jobs.get(session, "flow")).keep_days is None


@pytest.mark.parametrize(
    ("draft", "field"),
    [
        (JobDraft(""), "name"),
        (JobDraft("a/b"), "name"),
        (JobDraft("flow", validators=("magic",)), "validators-0-name"),
        (JobDraft("flow", validators=("csv", "csv year:number")), "validators-1-options"),
        (JobDraft("flow", validators=("png large",)), "validators-0-options"),
        (JobDraft("flow", validators=("regex a\0",)), "validators-0-options"),
        (JobDraft("flow", validators=("regex " + "a" * 2001,)), "validators-0-options"),
        (JobDraft("flow", steps=(StepDraft(1, "clean"), StepDraft(1, "nothing"))), "steps-1-task"),
        (JobDraft("flow", steps=(StepDraft(-1, "clean"),)), "steps-0-order"),
        (JobDraft("flow", steps=(StepDraft(1, "cle\0an"),)), "steps-0-task"),
        (JobDraft("flow", steps=(StepDraft(1, "clean"),) * 501), "steps"),
        (JobDraft("flow", "x" * 10_001), "description"),
        (JobDraft("flow", "a\0b"), "description"),
        (JobDraft("flow", keep_days=0), "keep_days"),
        (JobDraft("flow", keep_days=36_501), "keep_days"),
    ],
)
def test_it_names_the_field_that_is_wrong(session: Session, three_tasks: None, draft: JobDraft, field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        save(session, draft)

    assert list(refusal.value.fields) == [field]
    assert jobs.every(session) == []


def test_it_takes_as_many_steps_as_a_job_may_have(session: Session, three_tasks: None) -> None:
    assert len(save(session, JobDraft("flow", steps=(StepDraft(1, "clean"),) * 500)).steps) == 500


def test_it_draws_no_more_than_a_job_may_have(session: Session, three_tasks: None) -> None:
    draft = JobDraft("flow", steps=tuple(StepDraft(number, "clean") for number in range(1000)))

    assert len(jobs.picture(session, draft).drawing.boxes) == 500
    assert (
        jobs.picture(session, draft).warnings == jobs.picture(session, replace(draft, steps=draft.steps[:500])).warnings
    )


def test_it_refuses_two_parameters_of_one_public_name_and_names_both(session: Session) -> None:
    make_task(session, "a", "command", "true", parameters=(ParameterDraft("b_c"),))
    make_task(session, "a_b", "command", "true", parameters=(ParameterDraft("c"),))

    with pytest.raises(Invalid) as refusal:
        save(session, JobDraft("flow", steps=(StepDraft(1, "a"), StepDraft(1, "a"), StepDraft(2, "a_b"))))

    sentence = "“b_c” of a and “c” of a_b would both be called a_b_c: give one of them another name."
    assert refusal.value.fields == {"steps": sentence}


def test_it_knows_a_job_and_its_tasks_however_their_names_were_typed(session: Session) -> None:
    make_task(session, "\u00e9", "command", "true")
    save(session, JobDraft("e\u0301", steps=(StepDraft(1, "e\u0301"),)))

    assert jobs.get(session, "e\u0301").name == jobs.get(session, "\u00e9").name == "\u00e9"
    assert jobs.named(session, "a\0b") is None
    with pytest.raises(Invalid, match="exists"), transaction(session):
        jobs.save(session, JobDraft("e\u0301"), None)


def test_it_bears_a_step_whose_task_is_deleted(session: Session, three_tasks: None) -> None:
    save(session, JobDraft("flow", steps=STEPS[:2]))
    with transaction(session):
        session.execute(delete(Task).where(Task.name == "fit"))
    job = jobs.get(session, "flow")

    draft = jobs.draft_of(job)

    assert [step.task for step in draft.steps] == ["clean", ""]
    assert (jobs.fields(job), jobs.picture(session, draft).warnings) == ([], [])
    assert [box.node.label for box in jobs.picture(session, draft).drawing.boxes] == ["clean", "deleted"]
    assert jobs.obstacles(session, job) == ["The task of a step is deleted: take the step out of the job."]


def test_it_says_that_a_backend_does_not_run_a_language_any_more(session: Session, three_tasks: None) -> None:
    save(session, JobDraft("flow", steps=STEPS[:2]))
    with transaction(session):
        here = backends.named(session, "here")
        backends.save(session, backends.BackendDraft("here", "local", "here", ("r",)), here)

    found = jobs.obstacles(session, jobs.get(session, "flow"))

    assert found == ["Step clean: The backend here does not run Python any more."]


def test_it_refuses_the_name_of_another_job(session: Session, three_tasks: None) -> None:
    save(session, JobDraft("flow"))

    with pytest.raises(Invalid, match="exists"), transaction(session):
        jobs.save(session, JobDraft("flow"), None)


def test_it_asks_for_a_parameter_once_under_its_public_name(session: Session, three_tasks: None) -> None:
    save(session, JobDraft("flow", steps=(StepDraft(1, "fit"), StepDraft(2, "fit"))))

    [field] = jobs.fields(jobs.get(session, "flow"))

    assert (field.name, field.label, field.help, field.task) == ("fit_alpha", "Level", "Help.", "fit")
    assert (field.rule.kind, field.rule.minimum, field.rule.maximum) == (Kind.DECIMAL, 0, 1)


def test_it_says_that_a_job_without_steps_cannot_run(session: Session) -> None:
    save(session, JobDraft("empty"))

    assert jobs.obstacles(session, jobs.get(session, "empty")) == ["The job empty has no steps yet."]


def test_it_says_why_a_step_cannot_run(session: Session, three_tasks: None) -> None:
    save(session, JobDraft("flow", steps=STEPS))
    with transaction(session):
        told = {"here": {"command": None, "python": None, "r": "Rscript is not installed."}}
        backends.report(session, Worker(name="w", queues=["here"], obstacles=told))

    found = jobs.obstacles(session, jobs.get(session, "flow"))

    assert found == ["Step fit: The backend here cannot run it: Rscript is not installed."]


def test_it_says_each_reason_once_when_the_backend_is_off(session: Session, three_tasks: None) -> None:
    save(session, JobDraft("flow", steps=STEPS))
    with transaction(session):
        make = backends.BackendDraft("here", "local", "here", ("command", "python", "r"), enabled=False)
        backends.save(session, make, backends.named(session, "here"))

    found = jobs.obstacles(session, jobs.get(session, "flow"))

    assert len(found) == 3
    assert all("switched off" in sentence for sentence in found)


def test_it_refuses_an_input_that_no_earlier_step_gives_and_warns_of_it_before(
    session: Session, three_tasks: None
) -> None:
    right = JobDraft("flow", steps=(StepDraft(1, "clean"), StepDraft(2, "fit"), StepDraft(3, "report")))
    wrong = JobDraft("flow", steps=(StepDraft(1, "clean"), StepDraft(2, "fit"), StepDraft(2, "report")))
    sentence = (
        "report takes .fit.csv, which no earlier step gives: "
        "put a step that gives it before, or take it out of the task's inputs."
    )

    assert jobs.picture(session, right).warnings == []
    assert jobs.picture(session, wrong).warnings == [sentence]
    with pytest.raises(Invalid) as refusal:
        save(session, wrong)
    assert refusal.value.fields == {"steps-2-task": sentence}


def test_it_draws_a_draft_as_it_would_run(session: Session, three_tasks: None) -> None:
    drawing = jobs.picture(session, JobDraft("flow", steps=(*STEPS, StepDraft(40, "not written yet")))).drawing

    assert {(box.node.label, box.node.stage, box.node.word) for box in drawing.boxes} == {
        ("clean", 1, "Python"),
        ("fit", 2, "R"),
        ("clean 2", 2, "Python"),
        ("report", 3, "Command"),
        ("not written yet", 4, ""),
    }
    assert len(drawing.arrows) == 2 + 2 + 1


def test_it_offers_public_jobs_to_everybody_and_others_to_accounts(session: Session, three_tasks: None) -> None:
    make_job(session, "open", [(1, "clean")])
    save(session, JobDraft("closed", steps=STEPS))
    save(session, JobDraft("off", public=True, enabled=False, steps=STEPS))
    save(session, JobDraft("empty", public=True))
    somebody = Account(name="ann", role=Role.SUBMITTER, active=True)

    assert [job.name for job in jobs.runnable_by(session, None)] == ["open"]
    assert [job.name for job in jobs.runnable_by(session, somebody)] == ["closed", "open"]


def test_it_deletes_a_job(session: Session) -> None:
    make_backend(session)
    save(session, JobDraft("flow"))
    with transaction(session):
        jobs.delete(session, jobs.get(session, "flow"))

    with pytest.raises(NotFound):
        jobs.get(session, "flow")
