"""Resuming: what failed or was stopped goes on as a new submission. No program runs here: the tests are workers."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from portal import queue, storage
from portal.database import now, transaction
from portal.domain.drafts import ParameterDraft, TaskDraft
from portal.domain.errors import Conflict, Invalid, NotAllowed, NotFound, TooMany, Unavailable
from portal.domain.parameters import Kind
from portal.domain.policy import Role
from portal.domain.states import State
from portal.domain.verdict import Outcome, Then
from portal.domain.work import Work
from portal.models import Account, Backend, Batch, Job, Run, Submission
from portal.services import accounts, progress, results, resuming, submissions, tasks
from portal.services.progress import Found, Kept
from portal.services.resuming import Resumption, resume, starts
from tests.making import make_job, make_task, order, submitted

WELL, BADLY = Outcome("exited", 0), Outcome("exited", 3)
Ending = Callable[..., None]


@pytest.fixture
def end(session: Session) -> Ending:
    """Ends the run of a task that is due, as a worker would: well with one file, or badly."""

    def end_of(task: str, outcome: Outcome = WELL, content: bytes | None = None) -> None:
        with transaction(session):
            session.execute(update(Run).where(Run.state == State.QUEUED).values(priority=Run.task_name == task))
        with transaction(session):
            claim = progress.claim(session, [queue.EVERY], "worker", "host")
        assert claim is not None and claim.work.task == task
        with transaction(session):
            progress.started(session, claim, {"host": "host"})
        with transaction(session):
            progress.finish(session, claim, outcome, Found(kept(claim, content) if outcome == WELL else []))

    return end_of


def kept(claim: progress.Claim, content: bytes | None) -> list[Kept]:
    name = f"{claim.work.identity}.{claim.work.task}"
    key = f"{storage.of_run(claim.uuid)}{claim.attempt}-1"
    return [Kept(name, storage.put(key, io.BytesIO(content or claim.work.task.encode())))]


@pytest.fixture
def job(session: Session) -> Job:
    """One step, two side by side, one last."""
    for name in ("first", "left", "right", "last"):
        make_task(session, name, "command", "echo", parameters=(ParameterDraft("who", required=False, default="Ann"),))
    make_job(session, "job", [(1, "first"), (2, "left"), (2, "right"), (3, "last")])
    return session.scalars(select(Job)).one()


@pytest.fixture
def failed(session: Session, job: Job, end: Ending) -> Submission:
    """Its right step has failed, its left one has not."""
    submission = submitted(session, "job", b"input\n", {"first_who": "Bob", "right_who": "Eve"})
    for task, outcome in (("first", WELL), ("left", WELL), ("right", BADLY)):
        end(task, outcome)
    session.expire_all()
    assert submission.state is State.ERROR
    return submission


def states(submission: Submission) -> str:
    return " ".join(run.state for run in submission.runs)


def of(submission: Submission, **more: Any) -> Resumption:
    return Resumption(submission.uuid, None, address="127.0.0.1", **more)


def files(data: Path) -> set[str]:
    root = data / "files"
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def everything(submission: Submission) -> list[Any]:
    runs = [(run.state, run.reason, run.attempt, run.exit_status, run.ended) for run in submission.runs]
    said = [message.sentence for message in submission.messages]
    return [submission.state, runs, said, [(result.name, result.key) for result in submission.results]]


def test_it_goes_on_where_it_failed_and_takes_over_the_rest(session: Session, failed: Submission, end: Ending) -> None:
    before = everything(failed)

    new = resume(session, of(failed))

    assert states(new) == "COMPLETE COMPLETE QUEUED WAITING"
    assert [message.sentence for message in new.messages] == [
        "Submitted",
        f"Goes on from step 2 of {failed.uuid[:8]}: 2 steps were taken over",
    ]
    assert [run.taken_from for run in new.runs] == [failed.runs[0].uuid, failed.runs[1].uuid, None, None]
    end("right")
    end("last")
    session.expire_all()
    assert (new.state, new.resumed_from, new.job_name) == (State.COMPLETE, failed.uuid, "job")
    assert everything(failed) == before


def test_it_has_files_of_its_own_under_its_own_names(session: Session, failed: Submission) -> None:
    new = resume(session, of(failed))

    assert [result.name for result in results.of_submission(new)] == [f"{new.uuid}.first", f"{new.uuid}.left"]
    for result in results.of_submission(failed):
        storage.delete(result.key)
    storage.delete(failed.batch.uploads[0].key)
    assert results.open_file(results.find(session, f"{new.uuid}.left")).read() == b"left"
    assert results.open_file(results.find(session, results.input_name(new))).read() == b"input\n"
    assert [result.run.task_name for result in results.of_submission(new)] == ["first", "left"]
    assert all(result.key == f"{storage.of_run(result.run.uuid)}0-1" for result in results.of_submission(new))


def test_it_keeps_name_mail_and_what_a_step_was(session: Session, failed: Submission) -> None:
    new = resume(session, of(failed))

    old_run, run = failed.runs[0], new.runs[0]
    assert (new.batch.name, new.batch.email) == ("a test", "ann@example.org")
    assert (run.started, run.ended, run.exit_status) == (old_run.started, old_run.ended, 0)
    assert (run.attempt, run.task_revision) == (0, old_run.task_revision)
    assert [each.work["identity"] for each in new.runs] == [new.uuid] * 4
    assert [each.work["arguments"][0]["text"] for each in new.runs] == ["Bob", "Ann", "Eve", "Ann"]


def test_it_can_be_resumed_from_an_earlier_step(session: Session, failed: Submission) -> None:
    new = resume(session, of(failed, step=1))

    assert states(new) == "QUEUED WAITING WAITING WAITING"
    assert results.of_submission(new) == []


def test_it_runs_a_complete_step_again_that_was_chosen_beside_what_failed(session: Session, failed: Submission) -> None:
    assert states(resume(session, of(failed, step=2))) == "COMPLETE COMPLETE QUEUED WAITING"
    assert states(resume(session, of(failed, step=failed.runs[1].uuid))) == "COMPLETE QUEUED QUEUED WAITING"


@pytest.mark.parametrize("step", [0, 3, 4, -1, "", "x", 2**70])
def test_it_names_the_steps_that_can_be_chosen(session: Session, failed: Submission, step: int | str) -> None:
    with pytest.raises(Invalid) as refusal:
        resume(session, of(failed, step=step))

    assert "stages 1 to 2" in refusal.value.fields["step"]


def test_it_offers_what_failed_first(failed: Submission) -> None:
    assert [run.task_name for run in starts(failed)] == ["right", "first", "left"]


def test_it_goes_on_with_what_was_stopped(session: Session, job: Job, end: Ending) -> None:
    stopped = submitted(session, "job")
    end("first")
    with transaction(session):
        progress.stop(session, submissions.get(session, stopped.uuid))
    session.expire_all()

    assert states(stopped) == "COMPLETE STOPPED STOPPED STOPPED"
    assert states(resume(session, of(stopped))) == "COMPLETE QUEUED QUEUED WAITING"


def test_it_is_resumed_again_when_it_fails_again(session: Session, failed: Submission, end: Ending) -> None:
    second = resume(session, of(failed))
    end("right", BADLY)
    session.expire_all()

    third = resume(session, of(second))

    assert states(third) == "COMPLETE COMPLETE QUEUED WAITING"
    assert third.runs[0].taken_from == second.runs[0].uuid
    assert [result.name for result in results.of_submission(third)] == [f"{third.uuid}.first", f"{third.uuid}.left"]
    assert resuming.continuations(session, failed) == [second]


def test_it_leaves_out_what_a_step_that_it_takes_over_had_ended(session: Session, end: Ending) -> None:
    """The left step had ended the job early by its rules, while the right one failed."""
    rules = {"exit_statuses": (7,), "on_exit_status": Then.FINISH}
    make_task(session, "left", "command", "echo", **rules)
    make_task(session, "right", "command", "echo")
    make_job(session, "early", [(1, "left"), (1, "right"), (2, "right")])
    submission = submitted(session, "early")
    end("right", BADLY)
    end("left", Outcome("exited", 7))
    session.expire_all()
    assert states(submission) == "COMPLETE ERROR SKIPPED"

    new = resume(session, of(submission))
    end("right")
    session.expire_all()

    assert states(new) == "COMPLETE COMPLETE SKIPPED"
    assert new.state is State.COMPLETE
    assert states(resume(session, of(submission, step=submission.runs[0].uuid))) == "QUEUED QUEUED WAITING"


def change(session: Session, name: str, **more: Any) -> None:
    with transaction(session):
        task = tasks.named(session, name)
        assert task is not None
        tasks.save(session, TaskDraft(name, "command", "here", "echo changed", **more), None, task)


def test_it_takes_a_task_as_it_was(session: Session, failed: Submission) -> None:
    change(session, "right")

    assert [run.work["code"] for run in resume(session, of(failed)).runs] == ["echo"] * 4


def test_it_takes_a_task_as_it_is_now_when_asked(session: Session, failed: Submission) -> None:
    new_one = ParameterDraft("loud", kind=Kind.BOOLEAN, default="TRUE")
    change(session, "right", parameters=(new_one, ParameterDraft("who", required=False, default="Ann")))
    change(session, "first")

    new = resume(session, of(failed, current=True))

    assert [run.work["code"] for run in new.runs] == ["echo", "echo", "echo changed", "echo"]
    right = new.runs[2]
    assert [(each["name"], each["text"]) for each in right.work["arguments"]] == [("loud", "TRUE"), ("who", "Eve")]
    assert (right.task_revision, right.stage, right.position) == (2, 2, 2)


@pytest.mark.parametrize(
    ("parameter", "sentence"),
    [
        (ParameterDraft("who", kind=Kind.INTEGER, required=True), "right_who: “Eve” is not a whole number"),
        (ParameterDraft("why", required=True), "right_why is required"),
    ],
)
def test_it_says_why_a_changed_task_cannot_go_on(
    session: Session, failed: Submission, parameter: ParameterDraft, sentence: str
) -> None:
    change(session, "right", parameters=(parameter,))

    with pytest.raises(Conflict, match=sentence):
        resume(session, of(failed, current=True))


def test_it_says_that_a_task_was_deleted(session: Session, failed: Submission) -> None:
    with transaction(session):
        session.execute(update(Run).where(Run.task_name == "right").values(task_id=None))

    with pytest.raises(Conflict, match="as they were"):
        resume(session, of(failed, current=True))
    assert states(resume(session, of(failed))) == "COMPLETE COMPLETE QUEUED WAITING"


@pytest.mark.parametrize(
    ("column", "sentence"),
    [("removed", "results of this run were removed"), ("delete_asked", "is being deleted")],
)
def test_it_does_not_resume_what_is_not_kept(session: Session, failed: Submission, column: str, sentence: str) -> None:
    with transaction(session):
        value = now() if column == "removed" else True
        session.execute(update(Submission).where(Submission.uuid == failed.uuid).values({column: value}))

    with pytest.raises(Conflict, match=f"{sentence}.*from its start"):
        resume(session, of(failed))


def test_it_does_not_resume_what_has_not_ended_or_is_complete(session: Session, job: Job, end: Ending) -> None:
    submission = submitted(session, "job")
    with pytest.raises(Conflict, match="has not ended"):
        resume(session, of(submission))
    for task in ("first", "left", "right", "last"):
        end(task)
    session.expire_all()

    with pytest.raises(Conflict, match="complete"):
        resume(session, of(submission))
    assert starts(submission) == []


def test_it_leaves_nothing_behind_when_a_file_is_gone(session: Session, data: Path, failed: Submission) -> None:
    storage.delete(results.of_submission(failed)[1].key)
    before = files(data)

    with pytest.raises(Conflict, match="not kept any more"):
        resume(session, of(failed))

    assert files(data) == before
    assert session.scalars(select(func.count(Batch.id))).one() == 1


def test_it_leaves_nothing_behind_when_the_rows_cannot_be_made(
    session: Session, data: Path, failed: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(data)

    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(progress, "advance", broken)
    with pytest.raises(RuntimeError):
        resume(session, of(failed))

    assert files(data) == before
    assert session.scalars(select(func.count(Submission.id))).one() == 1


def test_it_knows_no_guessed_submission(session: Session, failed: Submission) -> None:
    with pytest.raises(NotFound):
        resume(session, Resumption("00000000-0000-4000-8000-000000000000", None))


def test_it_makes_one_of_the_same_request_sent_twice(session: Session, failed: Submission) -> None:
    first = resume(session, of(failed, idempotency_key="k"))

    assert resume(session, of(failed, idempotency_key="k")).uuid == first.uuid
    assert resume(session, of(failed, idempotency_key="other")).uuid != first.uuid


def test_it_refuses_a_key_of_another_request(session: Session, failed: Submission) -> None:
    resume(session, of(failed, idempotency_key="k"))
    submission = submitted(session, "job")

    with pytest.raises(Conflict, match="choose a new one"):
        resume(session, of(submission, idempotency_key="k"))
    with pytest.raises(Invalid, match="200"):
        resume(session, of(failed, idempotency_key="k" * 201))


def test_it_keeps_to_the_queue_rules(session: Session, failed: Submission, monkeypatch: pytest.MonkeyPatch) -> None:
    from portal.settings import settings

    monkeypatch.setenv("PORTAL_QUEUE_HARD_LIMIT", "1")
    settings.cache_clear()
    resume(session, of(failed))

    with pytest.raises(TooMany):
        resume(session, of(failed))


def test_it_needs_the_backend_that_it_ran_on(session: Session, failed: Submission) -> None:
    with transaction(session):
        session.execute(update(Backend).values(enabled=False))

    with pytest.raises(Unavailable, match="Step right: The backend here is switched off"):
        resume(session, of(failed))


def test_it_waits_in_the_queue_of_its_new_priority(session: Session, failed: Submission, admin: Account) -> None:
    new = resume(session, Resumption(failed.uuid, admin))

    assert {run.queue for run in new.runs if not run.state.final} == {"high_here"}
    assert new.batch.account == admin


@pytest.mark.parametrize("change", [{"enabled": False}, {"public": False}])
def test_it_needs_a_job_that_may_be_run(session: Session, failed: Submission, change: dict[str, bool]) -> None:
    with transaction(session):
        session.execute(update(Job).values(change))

    with pytest.raises(NotAllowed):
        resume(session, of(failed))


def test_it_needs_a_job_that_is_still_there(session: Session, failed: Submission, admin: Account) -> None:
    with transaction(session):
        session.delete(session.scalars(select(Job)).one())
    session.expire_all()

    with pytest.raises(Conflict, match="The job job was deleted"):
        resume(session, of(failed))
    assert not resuming.may_resume(admin, failed)


def test_it_is_for_its_owner_and_administrators(session: Session, job: Job, admin: Account, end: Ending) -> None:
    with transaction(session):
        ann, bob = (accounts.create(session, name, "correct horse battery", Role.ANALYST) for name in ("ann", "bob"))
    submission = submissions.submit(session, order("job", account=ann)).submissions[0]
    end("first", BADLY)
    session.expire_all()

    asked = [resuming.may_resume(account, submission) for account in (ann, admin, bob, None)]

    assert asked == [True, True, False, False]


def test_what_goes_on_as_it_was_is_bounded_by_the_ceilings_of_now(session: Session, failed: Submission) -> None:
    before = Work.from_json(failed.runs[2].work).limits
    with transaction(session):
        [backend] = session.scalars(select(Backend))
        backend.limits = {"wall_seconds": 5, "files": 5}
        backend.ceilings = {"wall_seconds": 60, "cpu_seconds": 30}

    again = Work.from_json(resume(session, of(failed)).runs[2].work).limits

    assert again == replace(before, wall_seconds=60, cpu_seconds=30)
