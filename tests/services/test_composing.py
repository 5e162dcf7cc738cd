"""Jobs whose steps name what they need, have conditions or are jobs themselves: what is refused, and what runs.

No program runs here: the tests are workers.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal import queue, storage
from portal.api import shapes
from portal.database import transaction
from portal.domain.drafts import ParameterDraft, TaskDraft
from portal.domain.errors import Conflict, Invalid
from portal.domain.parameters import Kind
from portal.domain.states import State
from portal.domain.verdict import Outcome
from portal.models import Job, Run, Submission
from portal.services import jobs, progress, resuming, submissions, tasks, views
from portal.services.jobs import JobDraft, StepDraft
from portal.services.progress import Found, Kept
from tests.making import make_task, order, submitted

WELL = Outcome("exited", 0)
Ending = Callable[..., None]


@pytest.fixture(autouse=True)
def four_tasks(session: Session) -> None:
    mode = ParameterDraft("mode", kind=Kind.CHOICE, default="fast", choices=("fast", "slow"))
    make_task(session, "clean", "python", "pass", inputs=(".csv",), outputs=(".csv",), parameters=(mode,))
    make_task(session, "fit", "r", "1", inputs=(".csv",), outputs=(".fit",), exit_statuses=(3,))
    make_task(session, "plot", "command", "true", inputs=(".csv",), outputs=(".png",))
    make_task(session, "report", "command", "true", stdout=".txt")


def save(session: Session, name: str, *steps: StepDraft, **more: Any) -> Job:
    with transaction(session):
        jobs.save(session, JobDraft(name, public=True, steps=steps, **more), None, jobs.named(session, name))
    return jobs.get(session, name)


def refusal(session: Session, *steps: StepDraft, name: str = "job") -> dict[str, str]:
    with pytest.raises(Invalid) as wrong:
        save(session, name, *steps)
    session.expire_all()
    return wrong.value.fields


def step(thing: str, *needs: str, when: Any = None, order: int = 1, **more: Any) -> StepDraft:
    return StepDraft(order, thing, needs=needs or None, condition=when, **more)


SLOW = {"parameter": "clean_mode", "is": ["slow"]}
FITTED = {"exit_status_of": "fit", "is": [3]}


@pytest.fixture
def end(session: Session) -> Ending:
    """Ends the due run of a step, as a worker would, with a file of each of these endings."""

    def end_of(label: str, status: int = 0, *endings: str) -> None:
        run = session.scalars(select(Run).where(Run.step == label, Run.state == State.QUEUED)).one()
        with transaction(session):
            session.execute(update(Run).values(priority=Run.id == run.id))
        with transaction(session):
            claim = progress.claim(session, [queue.EVERY], "worker", "host")
        assert claim is not None and claim.run_id == run.id
        with transaction(session):
            progress.started(session, claim, {"host": "host"})
        kept = [
            Kept(f"{claim.work.identity}{each}", storage.put(f"runs/{claim.uuid}/1/{each}", io.BytesIO(b"x")))
            for each in endings
        ]
        with transaction(session):
            progress.finish(session, claim, Outcome("exited", status), Found(kept))
        session.expire_all()

    return end_of


def states(submission: Submission) -> dict[str, str]:
    return {run.step: run.state.value for run in submission.runs}


def told(submission: Submission) -> list[str]:
    return [message.sentence for message in submission.messages]


def test_it_gives_back_the_needs_conditions_and_jobs_that_were_saved(session: Session) -> None:
    save(session, "inner", step("fit"))
    steps = (
        step("clean", when=SLOW, name="first"),
        StepDraft(2, name="again", needs=("first",), condition={"file": ".csv", "exists": True}, job="inner"),
    )

    assert jobs.draft_of(save(session, "job", *steps)).steps == steps


@pytest.mark.parametrize(
    ("steps", "field", "words"),
    [
        ([StepDraft(1, job="nobody")], "steps-0-task", "There is no job nobody: choose one of the jobs, or a task."),
        ([StepDraft(1, "fit", job="x")], "steps-0-task", "not both"),
        ([step("clean", name="a"), step("fit", name="a")], "steps-1-name", "Another step is called a"),
        ([step("clean", name="a/b")], "steps-0-name", "cannot hold '/'"),
        ([step("clean"), step("fit", "cleen")], "steps-1-needs", "No step is called cleen: the steps are clean, fit."),
        ([step("clean", "clean")], "steps-0-needs", "clean cannot need itself"),
        ([step("clean", when="mode == slow")], "steps-0-condition", "two fields"),
        (
            [step("clean", when={"parameter": "mode", "is": ["slow"]})],
            "steps-0-condition",
            "No task of this job has the parameter mode: there is clean_mode.",
        ),
        (
            [step("clean", when={"parameter": "clean_mode", "is": ["idle"]})],
            "steps-0-condition",
            "clean_mode: “idle” is not one of fast, slow.",
        ),
        (
            [step("fit"), step("plot", when=FITTED)],
            "steps-1-condition",
            "fit is not a step before plot: there is none.",
        ),
        (
            [step("fit"), step("plot", "fit", when={"exit_status_of": "fit", "is": [0, 4]})],
            "steps-1-condition",
            "After the exit status 4 of fit no step follows",
        ),
    ],
)
def test_it_refuses_what_cannot_run_and_names_the_field(
    session: Session, steps: list[StepDraft], field: str, words: str
) -> None:
    fields = refusal(session, *steps)

    assert list(fields) == [field]
    assert words in fields[field]


def test_it_names_the_steps_that_wait_for_each_other(session: Session) -> None:
    fields = refusal(session, step("clean", "plot"), step("fit", "clean"), step("plot", "fit"))

    [(field, sentence)] = fields.items()
    assert field == "steps-0-needs"
    assert "clean needs plot; plot needs fit; fit needs clean. Take one of the needs out, or give" in sentence
    fields = refusal(session, step("clean", "fit"), step("fit", order=2))
    assert "fit comes after clean by its order number" in fields["steps-0-needs"]


def test_it_refuses_a_job_in_itself_over_any_number_of_jobs_and_names_the_way(session: Session) -> None:
    save(session, "a", step("clean"))
    save(session, "b", StepDraft(1, job="a"))
    save(session, "c", StepDraft(1, job="b"))

    assert "a → c → b → a" in refusal(session, StepDraft(1, job="c"), name="a")["steps-0-task"]
    assert "a → a" in refusal(session, StepDraft(1, job="a"), name="a")["steps-0-task"]
    drawn = jobs.picture(session, JobDraft("a", steps=(StepDraft(1, job="c"),))).drawing
    assert [box.node.label for box in drawn.boxes] == ["c"]


def test_it_counts_the_steps_of_jobs_in_it_and_those_around_it(session: Session) -> None:
    save(session, "part", *[step("report") for _ in range(25)])
    save(session, "outer", *[StepDraft(1, job="part") for _ in range(20)])

    assert "this has 525" in refusal(session, *[StepDraft(1, job="part") for _ in range(21)])["steps"]
    fields = refusal(session, *[step("report") for _ in range(26)], name="part")
    assert fields == {"steps": "The job outer has this one as a step: it would have 520, at most 500."}
    save(session, "none")
    assert "has no steps yet" in refusal(session, StepDraft(1, job="none"))["steps-0-task"]


def test_it_refuses_inputs_of_a_job_in_it_that_nothing_before_gives(session: Session) -> None:
    make_task(session, "sum", "command", "true", inputs=(".fit",))
    save(session, "inner", step("sum"))

    fields = refusal(session, step("clean"), StepDraft(2, job="inner"))
    assert fields["steps-1-task"].startswith("inner/sum takes .fit, which no earlier step gives")
    save(session, "job", step("clean"), step("fit", order=2), StepDraft(3, job="inner"))
    fields = refusal(session, step("clean"), step("fit", order=2), StepDraft(1, job="inner", needs=("clean",)))
    assert list(fields) == ["steps-2-task"]


def test_it_knows_that_files_can_be_called_more_than_their_ending(session: Session) -> None:
    make_task(session, "many", "command", "true", inputs=(".txt",), outputs=(".csv", ".graph.out", "log.txt"))
    for ending in (".clean.csv", ".out", "graph.out", ".txt", "log.txt"):
        make_task(session, f"takes {ending}", "command", "true", inputs=(ending,))
        save(session, ending.strip("."), step("many"), step(f"takes {ending}", order=2))


def test_a_job_that_is_a_step_of_another_is_not_deleted(session: Session) -> None:
    inner = save(session, "inner", step("fit"))
    outer = save(session, "outer", StepDraft(1, job="inner"))

    with pytest.raises(Conflict, match="The job inner is a step of outer: take it out there first"):
        jobs.delete(session, inner)
    save(session, "outer", step("fit"))
    with transaction(session):
        jobs.delete(session, inner)

    session.expire_all()
    assert [revision.steps[0].subjob for revision in outer.revisions] == [None, None]


def test_a_job_that_was_submitted_keeps_its_revisions(session: Session) -> None:
    job = save(session, "job", step("fit"), step("plot", "fit"))
    submission = submitted(session, "job")

    save(session, "job", step("clean"))

    old = next(each for each in job.revisions if each.number == submission.job_revision)
    assert [(each.task and each.task.name, each.needs) for each in old.steps] == [("fit", None), ("plot", ["fit"])]
    assert list(states(submission)) == ["fit", "plot"]


def test_each_step_begins_when_what_it_needs_has_ended(session: Session, end: Ending) -> None:
    save(session, "job", step("clean"), step("plot"), step("fit", "clean"), step("report", "fit", "plot"))
    submission = submitted(session, "job")

    assert [(run.step, run.stage, run.needs) for run in submission.runs] == [
        ("clean", 1, []),
        ("plot", 1, []),
        ("fit", 2, [0]),
        ("report", 3, [1, 2]),
    ]
    end("clean", 0, ".csv")
    assert states(submission) == {"clean": "COMPLETE", "plot": "QUEUED", "fit": "QUEUED", "report": "WAITING"}
    end("fit", 0, ".fit")
    assert states(submission)["report"] == "WAITING"
    end("plot", 0, ".png")
    end("report")
    assert submission.state is State.COMPLETE
    assert told(submission)[-1] == "Completed job at step #3"


def test_a_step_whose_condition_does_not_hold_is_skipped_and_the_rest_goes_on_by_the_rule(
    session: Session, end: Ending
) -> None:
    save(
        session,
        "job",
        step("clean"),
        step("plot", order=2, when=SLOW),
        step("fit", "plot", order=3),
        step("report", order=3),
    )
    fast, slow = submitted(session, "job"), submitted(session, "job", values={"clean_mode": "slow"})
    with transaction(session):
        session.execute(update(Run).where(Run.submission_id == slow.id, Run.state == State.QUEUED).values(step="mine"))

    end("clean", 0, ".csv")

    assert states(fast) == {"clean": "COMPLETE", "plot": "SKIPPED", "fit": "SKIPPED", "report": "QUEUED"}
    assert "Step 2 (plot) is skipped: clean_mode is fast, not slow" in told(fast)
    assert "Step 3 (fit) is skipped: plot, which it needs, was skipped" in told(fast)
    assert fast.runs[1].reason == "Because clean_mode is fast, not slow"
    end("mine", 0, ".csv")
    assert states(slow)["plot"] == "QUEUED"
    end("report")
    assert (fast.state, told(fast)[-1]) == (State.COMPLETE, "Completed job at step #3")


@pytest.mark.parametrize(("status", "state"), [(0, "SKIPPED"), (3, "QUEUED")])
def test_a_step_waits_for_an_exit_status(session: Session, end: Ending, status: int, state: str) -> None:
    save(session, "job", step("fit"), step("plot", "fit", when=FITTED, order=2), step("report", order=2))
    submission = submitted(session, "job")

    end("fit", status, ".fit")

    assert states(submission) == {
        "fit": "COMPLETE",
        "plot": state,
        "report": "QUEUED",
    }


@pytest.mark.parametrize(("endings", "state"), [((".fit",), "SKIPPED"), ((".fit", ".bad"), "QUEUED")])
def test_a_step_waits_for_a_file(session: Session, end: Ending, endings: tuple[str, ...], state: str) -> None:
    save(session, "job", step("fit"), step("report", "fit", when={"file": ".bad", "exists": True}))
    submission = submitted(session, "job")

    end("fit", 0, *endings)

    assert states(submission)["report"] == state


def test_a_job_all_of_whose_steps_are_skipped_is_complete_at_once(session: Session) -> None:
    upload = {"file": ".csv", "exists": False}
    save(session, "job", step("clean", when=SLOW), step("fit", when=upload), step("report", "fit"))

    submission = submitted(session, "job")

    assert set(states(submission).values()) == {"SKIPPED"}
    assert (submission.state, submission.batch.state) == (State.COMPLETE, State.COMPLETE)
    assert submission.ended is not None
    assert told(submission)[-1] == "Completed job at step #0"


def test_a_failure_leaves_out_what_waits_and_skipped_steps_fail_nothing(session: Session, end: Ending) -> None:
    save(session, "job", step("clean", when=SLOW), step("fit", order=2), step("report", order=3))
    submission = submitted(session, "job")

    end("fit", 9)

    assert states(submission) == {"clean": "SKIPPED", "fit": "ERROR", "report": "SKIPPED"}
    assert submission.state is State.ERROR


def test_the_steps_of_a_job_in_a_job_run_in_its_place(session: Session, end: Ending) -> None:
    save(session, "inner", step("fit"), step("plot", order=2))
    save(
        session,
        "job",
        step("clean"),
        StepDraft(2, name="model", job="inner", condition=SLOW),
        step("report", "model", order=3),
    )
    fast = submitted(session, "job")

    end("clean", 0, ".csv")

    assert states(fast) == {
        "clean": "COMPLETE",
        "model/fit": "SKIPPED",
        "model/plot": "SKIPPED",
        "report": "SKIPPED",
    }
    slow = submitted(session, "job", values={"clean_mode": "slow"})
    end("clean", 0, ".csv")
    end("model/fit", 0, ".fit")
    assert states(slow)["report"] == "WAITING"
    end("model/plot", 0, ".png")
    end("report")
    assert slow.state is State.COMPLETE
    assert [field.name for field in jobs.fields(jobs.get(session, "job"))] == ["clean_mode"]


def test_it_says_what_a_later_change_made_wrong(session: Session) -> None:
    save(session, "inner", step("fit"))
    save(session, "job", StepDraft(1, job="inner"), step("clean", order=2, when=SLOW))
    with transaction(session):
        clean = tasks.named(session, "clean")
        tasks.save(session, TaskDraft("clean", "python", "here", "pass", inputs=(".csv",)), None, clean)
    job = jobs.get(session, "job")

    assert "No task of this job has the parameter clean_mode" in jobs.obstacles(session, job)[0]
    save(session, "inner", step("fit"), enabled=False)
    assert "The job inner is switched off." in jobs.obstacles(session, job)
    save(session, "inner")
    assert "The job inner has no steps yet." in jobs.obstacles(session, job)


def test_it_refuses_namesakes_over_jobs_in_jobs(session: Session) -> None:
    make_task(session, "a", "command", "true", parameters=(ParameterDraft("b_c"),))
    make_task(session, "a_b", "command", "true")
    save(session, "inner", step("a_b"))
    save(session, "job", step("a"), StepDraft(1, job="inner"))
    a_b = tasks.named(session, "a_b")

    with pytest.raises(Invalid, match=r"In the job job, .* would both be called a_b_c"), transaction(session):
        draft = TaskDraft("a_b", "command", "here", "true", parameters=(ParameterDraft("c"),))
        tasks.save(session, draft, None, a_b)


def test_what_did_not_complete_is_resumed_with_all_that_comes_after_it(session: Session, end: Ending) -> None:
    plan = (
        step("clean"),
        step("plot"),
        step("fit", "clean"),
        step("report", "plot", name="about plot"),
        step("report", "fit", name="about fit", when=FITTED),
        step("report", "plot", name="never", when=SLOW),
    )
    save(session, "job", *plan)
    source = submitted(session, "job")
    end("clean", 0, ".csv")
    end("plot", 0, ".png")
    end("about plot", 0, ".txt")
    end("fit", 9)
    assert states(source) == {
        "clean": "COMPLETE",
        "plot": "COMPLETE",
        "fit": "ERROR",
        "about plot": "COMPLETE",
        "about fit": "SKIPPED",
        "never": "SKIPPED",
    }

    new = resuming.resume(session, resuming.Resumption(source.uuid, None))

    assert states(new) == {**states(source), "fit": "QUEUED", "about fit": "WAITING"}
    assert [run.step for run in resuming.starts(source)] == ["fit", "clean", "plot", "about plot"]
    end("fit", 3, ".fit")
    end("about fit", 0, ".txt")
    assert new.state is State.COMPLETE

    plotted = next(run for run in source.runs if run.step == "plot")
    other = resuming.resume(session, resuming.Resumption(source.uuid, None, step=plotted.uuid))
    assert [run.step for run in other.runs if run.state is State.COMPLETE] == ["clean"]


def test_a_submission_of_several_jobs_says_the_jobs_steps_once(session: Session) -> None:
    save(session, "inner", step("fit"), step("fit", order=2))
    save(session, "job", StepDraft(1, job="inner"))

    batch = submissions.submit(session, order("job", "inner"))

    assert [list(states(each)) for each in batch.submissions] == [["inner/fit", "inner/fit 2"], ["fit", "fit 2"]]


def test_the_first_system_sees_the_tasks_of_a_job_in_a_job(session: Session) -> None:
    save(session, "inner", step("fit"), step("plot", order=2))
    job = save(session, "job", step("clean"), StepDraft(7, job="inner"))

    assert [each["ordering"] for each in shapes.described(job)["steps"]] == [1, 7, 7]


def test_a_runs_picture_has_its_needs_and_conditions(session: Session, end: Ending) -> None:
    save(session, "job", step("clean"), step("plot", order=2, when=SLOW), step("fit", "clean", order=2))
    submission = submitted(session, "job")
    end("clean", 0, ".csv")

    drawing = views.drawing(submission, datetime.now(UTC))

    told = {box.node.label: (box.node.word, box.node.note) for box in drawing.boxes if box.node.stage == 2}
    assert told == {"plot": ("Skipped", "if clean_mode is slow"), "fit": ("Queued", "")}
    assert len(drawing.arrows) == 2
