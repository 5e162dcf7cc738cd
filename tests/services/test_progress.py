"""The one way forward: claims, ends, ghosts, stops and what is lost. No program runs here: the tests are workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from portal import queue
from portal.database import clock, now, transaction
from portal.domain.retries import Retries
from portal.domain.states import State
from portal.domain.verdict import Outcome, Then
from portal.models import Attempt, Job, Letter, LogChunk, Message, Result, Run, Submission
from portal.services import logs, progress, statements, submissions
from portal.services.progress import Answer, Claim, Found, Kept, Written
from portal.settings import settings
from portal.storage import Blob
from tests.making import make_job, make_task, order, submitted
from workers.sweep import sweep

HANDLE = {"host": "host", "space": "/nowhere"}
WELL, BADLY = Outcome("exited", 0), Outcome("exited", 1)


class Worker:
    """A worker of the test's own: each call is one transaction, as a real worker's is."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def claim(self, queues: Sequence[str] = (queue.EVERY,), host: str = "host") -> Claim | None:
        with transaction(self.session):
            return progress.claim(self.session, queues, "worker", host)

    def begin(self) -> Claim:
        claim = self.claim()
        assert claim is not None
        assert self.do(progress.started, claim, HANDLE) is Answer.GO_ON
        return claim

    def do(self, step: Callable[..., Any], claim: Claim, *more: Any) -> Any:
        with transaction(self.session):
            return step(self.session, claim, *more)

    def finish(self, claim: Claim, outcome: Outcome = WELL, *more: Any) -> Any:
        return self.do(progress.finish, claim, outcome, *more)

    def let_lease_run_out(self, claim: Claim, seconds: float = 10_000) -> None:
        with transaction(self.session):
            self.session.execute(update(Run).where(Run.id == claim.run_id).values(lease=now(-seconds)))

    def make_due(self) -> None:
        with transaction(self.session):
            self.session.execute(update(Run).where(Run.state == State.QUEUED).values(due=now(-1)))


@pytest.fixture
def worker(session: Session) -> Worker:
    return Worker(session)


@pytest.fixture
def submission(session: Session) -> Submission:
    """Two steps side by side, then one."""
    for name in ("left", "right", "last"):
        make_task(session, name, "command", "true")
    make_job(session, "job", [(1, "left"), (1, "right"), (2, "last")])
    return submitted(session, "job")


def states(submission: Submission) -> str:
    return " ".join(run.state for run in submission.runs)


def ends(submission: Submission) -> list[str]:
    return [message.sentence for message in submission.messages if message.kind == "end"]


def everything(session: Session) -> list[Any]:
    """What a ghost could change, as it stands in the database."""
    session.rollback()
    runs = session.execute(select(Run.state, Run.attempt, Run.lease, Run.handle, Run.lost, Run.reason)).all()
    runs += session.execute(select(Attempt.number, Attempt.worker, Attempt.ended, Attempt.sentence)).all()
    counts = [session.scalars(select(func.count()).select_from(table)).one() for table in (Message, Result, LogChunk)]
    return [*runs, *counts]


def test_it_gives_each_due_run_to_one_claim(worker: Worker, submission: Submission) -> None:
    first, second, third = worker.claim(), worker.claim(), worker.claim()

    assert first and second and third is None
    assert {first.work.task, second.work.task} == {"left", "right"}
    assert states(submission) == "RUNNING RUNNING WAITING"
    assert (submission.runs[0].attempt, submission.runs[0].worker) == (1, "worker")


def test_it_claims_from_the_queues_that_are_named_the_most_urgent_first(session: Session, worker: Worker) -> None:
    make_task(session, "t", "command", "true")
    make_job(session, "job", [(1, "t")])
    plain, urgent = submitted(session, "job"), submitted(session, "job")
    with transaction(session):
        session.execute(update(Run).where(Run.submission_id == urgent.id).values(priority=2, queue="high_here"))

    assert worker.claim(["elsewhere"]) is None
    claims = [worker.claim(["here", "high_here"]), worker.claim(["here", "high_here"])]
    assert [claim.submission_id for claim in claims if claim] == [urgent.id, plain.id]


def test_it_queues_the_next_stage_when_the_last_run_of_a_stage_ends(worker: Worker, submission: Submission) -> None:
    left, right = worker.begin(), worker.begin()

    worker.finish(left)
    assert states(submission) == "COMPLETE RUNNING WAITING"
    worker.finish(right)
    assert states(submission) == "COMPLETE COMPLETE QUEUED"

    worker.finish(worker.begin())
    assert (submission.state, submission.batch.state) == (State.COMPLETE, State.COMPLETE)
    assert ends(submission) == ["Completed job at step #2"]
    assert submission.started is not None and submission.ended is not None


def test_it_foresees_what_follows_a_run_where_nothing_else_can(session: Session, worker: Worker) -> None:
    for name in ("first", "second", "third"):
        make_task(session, name, "command", "true")
    make_job(session, "chain", [(1, "first"), (2, "second"), (3, "third")])
    submission = submitted(session, "chain")
    session.rollback()

    first = worker.begin()
    second, third = worker.do(progress.foresee, first)
    assert (second.task_name, second.leads_on, third.task_name, third.leads_on) == ("second", True, "third", False)

    worker.finish(first, WELL, progress.NOTHING, second)
    with transaction(session):
        expected = progress.Expected(second, HANDLE)
        assert progress.claim_due(session, [queue.EVERY], "worker", expected=expected) == second
    assert submission.runs[1].handle == HANDLE
    assert worker.do(progress.foresee, second) == [third]

    worker.finish(second, WELL, progress.NOTHING, third)
    last = worker.begin()
    assert replace(last, handle=None) == third
    assert worker.do(progress.foresee, last) == []


def test_it_foresees_so_many_as_it_reads_at_once_and_knows_that_more_follow(session: Session, worker: Worker) -> None:
    steps = statements.AHEAD + 3
    make_task(session, "step", "command", "true")
    make_job(session, "chain", [(number, "step") for number in range(1, steps + 1)])
    submitted(session, "chain")
    session.rollback()

    ahead = worker.do(progress.foresee, worker.begin())

    assert [each.place.stage for each in ahead] == list(range(2, statements.AHEAD + 2))
    assert all(each.leads_on for each in ahead)


def test_it_foresees_nothing_that_waits_for_more_than_one_run(worker: Worker, submission: Submission) -> None:
    left, right = worker.begin(), worker.begin()

    assert [worker.do(progress.foresee, each) for each in (left, right)] == [[], []]
    worker.finish(left)
    assert worker.do(progress.foresee, right) == []


def test_it_foresees_neither_several_nor_what_hangs_on_a_condition_nor_what_others_run(
    session: Session, worker: Worker
) -> None:
    for name in ("first", "second", "third"):
        make_task(session, name, "command", "true")
    make_job(session, "forking", [(1, "first"), (2, "second"), (2, "third")])
    make_job(session, "plain", [(1, "first"), (2, "second")])
    _, leaving, asking = [submitted(session, job) for job in ("forking", "plain", "plain")]
    leaving.runs[1].queue = "elsewhere"
    asking.runs[1].condition = {"all": [{"exit_status_of": 0, "is": "=", "value": 0}]}
    session.commit()

    assert [worker.do(progress.foresee, worker.begin()) for _ in range(3)] == [[], [], []]


def test_it_foresees_as_far_as_the_chain_goes(session: Session, worker: Worker) -> None:
    for name in ("first", "second", "third", "fourth"):
        make_task(session, name, "command", "true")
    make_job(session, "forking", [(1, "first"), (2, "second"), (3, "third"), (3, "fourth")])
    submitted(session, "forking")
    session.rollback()

    assert [each.task_name for each in worker.do(progress.foresee, worker.begin())] == ["second"]


def test_it_goes_by_what_there_is_when_a_stop_came_after_it_had_foreseen_something(
    session: Session, worker: Worker
) -> None:
    for name in ("first", "second"):
        make_task(session, name, "command", "true")
    make_job(session, "chain", [(1, "first"), (2, "second")])
    submission = submitted(session, "chain")
    session.rollback()
    first = worker.begin()
    [foreseen] = worker.do(progress.foresee, first)
    with transaction(session):
        progress.stop(session, submission)

    with pytest.raises(progress.NotAsForeseen):
        worker.finish(first, WELL, progress.NOTHING, foreseen)
    worker.finish(first, WELL)

    session.rollback()
    assert (states(submission), submission.state) == ("COMPLETE STOPPED", State.STOPPED)
    assert worker.claim() is None


def test_it_tells_the_story_of_a_submission(worker: Worker, submission: Submission) -> None:
    for _ in range(3):
        worker.finish(worker.begin())

    assert [message.sentence for message in submission.messages] == [
        "Submitted",
        "Running step: 1",
        "Completed step: 1",
        "Running step: 1",
        "Completed step: 1",
        "Running step: 2",
        "Completed step: 2",
        "Completed job at step #2",
    ]


def test_it_skips_later_stages_after_a_failure_and_lets_its_siblings_end(
    worker: Worker, submission: Submission
) -> None:
    left, right = worker.begin(), worker.begin()

    worker.finish(left, BADLY)
    assert states(submission) == "ERROR RUNNING SKIPPED"
    assert submission.state is State.RUNNING
    worker.finish(right)

    assert states(submission) == "ERROR COMPLETE SKIPPED"
    assert (submission.state, submission.runs[0].exit_status) == (State.ERROR, 1)
    assert ends(submission) == ["Step 1 (left): Failed with exit status 1"]
    assert submission.runs[2].reason == "An earlier step did not complete"


def test_it_begins_a_queued_sibling_of_a_failed_step(worker: Worker, submission: Submission) -> None:
    worker.finish(worker.begin(), BADLY)
    worker.finish(worker.begin())

    assert states(submission) == "ERROR COMPLETE SKIPPED"


def test_it_ends_a_job_early_and_well_when_a_tasks_rules_say_so(session: Session, worker: Worker) -> None:
    make_task(session, "check", "command", "exit 4", exit_statuses=(4,), on_exit_status=Then.FINISH)
    make_task(session, "go", "command", "true")
    make_job(session, "early", [(1, "check"), (2, "go")])
    submission = submitted(session, "early")

    worker.finish(worker.begin(), Outcome("exited", 4))

    assert states(submission) == "COMPLETE SKIPPED"
    assert submission.state is State.COMPLETE
    assert ends(submission) == ["Completed job at step #1"]
    assert "ends the job" in submission.runs[0].reason


def test_it_fails_a_step_whose_output_is_missing(worker: Worker, submission: Submission) -> None:
    worker.finish(worker.begin(), WELL, Found(missing=[".csv"]))

    assert submission.runs[0].reason == "Step 1 (left): No file with the ending .csv was written"
    assert submission.runs[0].state is State.ERROR


def test_it_keeps_results_and_gives_a_taken_name_to_nobody_else(worker: Worker, submission: Submission) -> None:
    kept = [Kept(f"{submission.uuid}.csv", Blob(f"key {number}", 1, "0")) for number in range(4)]
    left, right = worker.begin(), worker.begin()

    worker.finish(left, WELL, Found(kept[:1]))
    worker.finish(right, WELL, Found(kept[1:]))

    names = [result.name for result in submission.results]
    assert names == [f"{submission.uuid}{middle}.csv" for middle in ("", "_1-2", "_1-2-2", "_1-2-3")]
    assert submission.runs[1].state is State.COMPLETE


def test_it_keeps_what_a_run_wrote_with_every_beat(session: Session, worker: Worker, submission: Submission) -> None:
    claim = worker.begin()

    assert worker.do(progress.beat, claim, [Written("stdout", 0, b"a"), Written("stderr", 0, b"!")]) is Answer.GO_ON
    assert worker.do(progress.beat, claim, [Written("stdout", 1, b"b")]) is Answer.GO_ON

    assert sorted(tuple(row) for row in session.execute(select(LogChunk.stream, LogChunk.start, LogChunk.data))) == [
        ("stderr", 0, b"!"),
        ("stdout", 0, b"a"),
        ("stdout", 1, b"b"),
    ]


def test_it_lets_a_ghost_change_nothing(session: Session, worker: Worker, submission: Submission) -> None:
    ghost = worker.begin()
    worker.let_lease_run_out(ghost)
    live = worker.claim()
    assert live is not None and (live.run_id, live.attempt, live.handle) == (ghost.run_id, 2, HANDLE)
    before = everything(session)

    kept = Found([Kept(f"{submission.uuid}.csv", Blob("k", 1, "0"))])
    assert worker.do(progress.started, ghost, {"host": "ghost"}) is Answer.GHOST
    assert worker.do(progress.beat, ghost, [Written("stdout", 0, b"boo")]) is Answer.GHOST
    assert worker.finish(ghost, WELL, kept) is None
    assert worker.do(progress.give_back, ghost, "a disk") is False
    assert worker.do(progress.retry, ghost, BADLY) is False
    assert worker.do(progress.release, ghost, "it ends") is False
    assert worker.do(progress.hand_over, ghost) is False

    assert everything(session) == before
    assert worker.finish(live, WELL, kept)
    assert [(result.name, result.attempt) for result in submission.results] == [(f"{submission.uuid}.csv", 2)]


def test_it_ends_a_run_once(worker: Worker, submission: Submission) -> None:
    claim = worker.begin()

    assert worker.finish(claim, WELL)
    assert worker.finish(claim, BADLY) is None

    assert submission.runs[0].state is State.COMPLETE


def test_it_leaves_a_lost_run_to_its_own_host_before_the_sweep(worker: Worker, submission: Submission) -> None:
    other = worker.begin()
    worker.begin()
    worker.let_lease_run_out(other, seconds=1)

    assert worker.claim(host="another host") is None
    sweep()
    worker.session.expire_all()
    assert submission.runs[0].state is State.RUNNING
    taken_up = worker.claim()
    assert taken_up is not None and taken_up.run_id == other.run_id


def test_it_queues_a_run_again_whose_worker_was_lost_and_two_sweeps_do_no_harm(
    session: Session, worker: Worker, submission: Submission
) -> None:
    worker.let_lease_run_out(worker.begin())

    sweep()
    sweep()

    session.expire_all()
    assert (submission.runs[0].state, submission.runs[0].lost) == (State.QUEUED, 1)
    assert "is tried again: its worker was lost" in submission.runs[0].reason
    worker.make_due()
    again = worker.claim()
    assert again is not None and (again.attempt, again.handle) == (2, None)


def test_it_recovers_at_once_what_was_claimed_and_never_started(
    session: Session, worker: Worker, submission: Submission
) -> None:
    claim = worker.claim()
    assert claim is not None
    worker.let_lease_run_out(claim, seconds=0.1)

    sweep()

    session.expire_all()
    assert submission.runs[0].state is State.QUEUED


def test_it_waits_longer_each_time_and_gives_up_a_run_that_is_lost_too_often(
    session: Session, worker: Worker, submission: Submission
) -> None:
    for _ in range(settings().portal_max_lost - 1):
        claim = worker.begin()
        assert worker.do(progress.give_back, claim, "no disk")
        assert submission.runs[0].state is State.QUEUED
        waiting = worker.claim()
        assert waiting is None or waiting.run_id != claim.run_id
        worker.make_due()

    worker.do(progress.give_back, worker.begin(), "no disk")

    session.expire_all()
    assert submission.runs[0].state is State.CRASH
    assert "was given up after 3 tries: no disk" in submission.runs[0].reason
    assert submission.runs[2].state is State.SKIPPED


def test_it_never_calls_a_failure_of_the_portal_the_users(worker: Worker, submission: Submission) -> None:
    for _ in range(settings().portal_max_lost):
        worker.do(progress.give_back, worker.begin(), "the portal failed")
        worker.make_due()
    worker.finish(worker.begin())

    assert states(submission) == "CRASH COMPLETE SKIPPED"
    assert ends(submission) == ["Step 1 (left) was given up after 3 tries: the portal failed"]


def tries(run: Run) -> list[tuple[int, str]]:
    """The tries of a run: their numbers, and how each ended."""
    return [(attempt.number, attempt.sentence) for attempt in run.attempts]


@pytest.fixture
def flaky(session: Session) -> Submission:
    """One step that is tried again twice after exit status 75 or a crash."""
    retries = Retries(most=2, on_crash=True, exit_statuses=(75,), wait_seconds=100)
    make_task(session, "flaky", "command", "true", retries=retries)
    make_job(session, "flaky", [(1, "flaky")])
    return submitted(session, "flaky")


@pytest.mark.parametrize("outcome", [Outcome("exited", 75), Outcome("signalled", None, 11)])
def test_it_tries_a_failed_step_again_later_as_its_rules_say(
    session: Session, worker: Worker, flaky: Submission, outcome: Outcome
) -> None:
    assert worker.do(progress.retry, worker.begin(), outcome) is True

    [run] = flaky.runs
    assert (run.state, run.retried, run.lost, flaky.state) == (State.QUEUED, 1, 0, State.RUNNING)
    assert "retry 1 of 2 in " in run.reason
    assert worker.claim() is None
    worker.make_due()
    worker.finish(worker.begin())
    assert (flaky.state, len(tries(run))) == (State.COMPLETE, 2)


def test_it_says_in_the_story_which_attempt_begins(session: Session, worker: Worker, flaky: Submission) -> None:
    for _ in range(2):
        assert worker.do(progress.retry, worker.begin(), Outcome("exited", 75))
        worker.make_due()
    worker.begin()

    said = [message.sentence for message in flaky.messages if message.sentence.startswith("Running")]
    assert said == ["Running step: 1", "Running step: 1 (attempt 2)", "Running step: 1 (attempt 3)"]


def test_it_fails_a_step_that_has_had_all_its_retries(session: Session, worker: Worker, flaky: Submission) -> None:
    for _ in range(2):
        assert worker.do(progress.retry, worker.begin(), Outcome("exited", 75))
        worker.make_due()
    last = worker.begin()

    assert worker.do(progress.retry, last, Outcome("exited", 75)) is False
    worker.finish(last, Outcome("exited", 75))

    assert flaky.state is State.ERROR
    assert [attempt.exit_status for attempt in flaky.runs[0].attempts] == [75, 75, 75]


@pytest.mark.parametrize("outcome", [BADLY, WELL, Outcome("wall_time", None, 15, "too long"), Outcome("stopped")])
def test_it_retries_only_what_its_rules_name(worker: Worker, flaky: Submission, outcome: Outcome) -> None:
    assert worker.do(progress.retry, worker.begin(), outcome) is False
    assert flaky.runs[0].state is State.RUNNING


def test_it_never_retries_after_a_stop(session: Session, worker: Worker, flaky: Submission) -> None:
    claim = worker.begin()
    stop(session, flaky)

    assert worker.do(progress.retry, claim, Outcome("exited", 75)) is False


def test_it_stops_a_step_that_waits_for_its_retry(session: Session, worker: Worker, flaky: Submission) -> None:
    worker.do(progress.retry, worker.begin(), Outcome("exited", 75))

    stop(session, flaky)

    assert (flaky.state, ends(flaky)) == (State.STOPPED, ["Stopped"])


def test_it_remembers_how_each_try_ended(session: Session, worker: Worker, submission: Submission) -> None:
    worker.do(progress.give_back, worker.begin(), "no disk")
    worker.finish(worker.begin())
    worker.make_due()
    worker.finish(worker.begin(), BADLY)

    assert tries(submission.runs[0]) == [(1, "Lost: no disk"), (2, "Step 1 (left): Failed with exit status 1")]
    assert all(attempt.ended for run in submission.runs for attempt in run.attempts)


def test_it_goes_on_with_the_try_and_the_log_of_a_lost_worker(
    session: Session, worker: Worker, submission: Submission
) -> None:
    claim = worker.begin()
    worker.do(progress.beat, claim, [Written("stdout", 0, b"first\n")])
    worker.let_lease_run_out(claim, seconds=1)

    taken_up = worker.claim()
    assert taken_up is not None and taken_up.handle == HANDLE
    assert progress.log_ends(session, taken_up) == {"stdout": 6}
    worker.do(progress.beat, taken_up, [Written("stdout", 6, b"second\n")])
    worker.finish(taken_up)

    run = submission.runs[0]
    assert ([number for number, _ in tries(run)], run.lost) == ([2], 1)
    assert logs.whole(session, run, "stdout") == b"first\nsecond\n"


def test_it_takes_up_what_a_worker_of_an_older_version_started(
    session: Session, worker: Worker, submission: Submission
) -> None:
    claim = worker.begin()
    with transaction(session):
        session.execute(delete(Attempt))
    worker.let_lease_run_out(claim, seconds=1)

    taken_up = worker.claim()

    assert taken_up is not None and taken_up.handle == HANDLE
    worker.finish(taken_up)
    assert [number for number, _ in tries(submission.runs[0])] == [2]


def test_it_claims_what_is_tried_again_before_what_came_later(
    session: Session, worker: Worker, submission: Submission
) -> None:
    first = worker.begin()
    submitted(session, "job")
    worker.do(progress.give_back, first, "no disk")
    worker.make_due()

    again = worker.claim()

    assert again is not None and again.run_id == first.run_id


def test_it_counts_a_loss_once_when_what_is_taken_up_turns_out_to_be_gone(
    session: Session, worker: Worker, submission: Submission
) -> None:
    claim = worker.begin()
    worker.let_lease_run_out(claim, seconds=1)
    taken_up = worker.claim()
    assert taken_up is not None

    worker.do(progress.give_back, taken_up, "its launcher is gone")

    assert (submission.runs[0].state, submission.runs[0].lost) == (State.QUEUED, 1)


def test_it_leaves_what_is_handed_over_to_the_next_worker_of_its_host_at_once(
    session: Session, worker: Worker, submission: Submission
) -> None:
    claim = worker.begin()
    assert worker.do(progress.hand_over, claim) is True

    other_stage = worker.claim(host="another host")
    assert other_stage is not None and other_stage.run_id != claim.run_id
    taken_up = worker.claim()
    assert taken_up is not None and (taken_up.run_id, taken_up.handle) == (claim.run_id, HANDLE)
    assert (submission.runs[0].lost, len(tries(submission.runs[0]))) == (0, 1)


def test_it_counts_what_goes_wrong_after_a_hand_over(session: Session, worker: Worker, submission: Submission) -> None:
    worker.do(progress.hand_over, worker.begin())
    taken_up = worker.claim()
    assert taken_up is not None

    worker.do(progress.give_back, taken_up, "its launcher is gone")

    assert submission.runs[0].lost == 1


def test_it_waits_long_for_the_next_worker_and_then_queues_what_was_handed_over(
    session: Session, worker: Worker, submission: Submission
) -> None:
    claim = worker.begin()
    worker.do(progress.hand_over, claim)
    session.expire_all()
    before, waits = clock(session), submission.runs[0].lease
    assert waits is not None and waits - before > timedelta(seconds=settings().portal_hand_over_seconds / 2)

    worker.let_lease_run_out(claim)
    sweep()

    session.expire_all()
    assert (submission.runs[0].state, submission.runs[0].lost) == (State.QUEUED, 1)


def test_it_releases_a_run_without_counting_anything(session: Session, worker: Worker, submission: Submission) -> None:
    claim = worker.begin()
    assert worker.do(progress.release, claim, "its worker ended") is True

    run = submission.runs[0]
    assert (run.state, run.lost, run.retried, run.handle) == (State.QUEUED, 0, 0, None)
    assert tries(run) == [(1, "its worker ended")]
    claims = [worker.claim(), worker.claim()]
    assert claim.run_id in [each.run_id for each in claims if each]


def test_it_never_starts_what_was_claimed_when_a_stop_came(
    session: Session, worker: Worker, submission: Submission
) -> None:
    claim = worker.claim()
    assert claim is not None
    stop(session, submission)

    assert worker.do(progress.started, claim, HANDLE) is Answer.STOP

    assert (submission.state, ends(submission)) == (State.STOPPED, ["Stopped"])
    assert submission.runs[0].handle is None


@pytest.mark.parametrize(
    ("of_job", "of_settings", "days"), [(None, "", None), (None, "30", 30), (7, "30", 7), (7, "", 7)]
)
def test_it_keeps_results_for_as_long_as_the_job_says_or_else_the_settings(
    session: Session, worker: Worker, monkeypatch: pytest.MonkeyPatch,
    of_job: int | None, of_settings: str, days: int | None,
) -> None:  # fmt: skip
    monkeypatch.setenv("PORTAL_KEEP_DAYS", of_settings)
    settings.cache_clear()
    make_task(session, "t", "command", "true")
    make_job(session, "job", [(1, "t")])
    submission = submitted(session, "job")
    with transaction(session):
        session.execute(update(Job).values(keep_days=of_job))

    worker.finish(worker.begin())

    session.expire_all()
    kept = submission.expires - submission.ended if submission.expires and submission.ended else None
    assert (round(kept / timedelta(days=1)) if kept else None) == days


def stop(session: Session, submission: Submission) -> None:
    with transaction(session):
        progress.stop(session, submission)


def test_it_stops_what_has_not_begun_at_once(session: Session, worker: Worker, submission: Submission) -> None:
    stop(session, submission)

    assert states(submission) == "STOPPED STOPPED STOPPED"
    assert (submission.state, submission.batch.state) == (State.STOPPED, State.STOPPED)
    assert ends(submission) == ["Stopped"]
    assert worker.claim() is None


def test_it_asks_the_worker_of_a_running_step_to_stop_it(
    session: Session, worker: Worker, submission: Submission
) -> None:
    claim = worker.begin()

    stop(session, submission)
    assert states(submission) == "RUNNING STOPPED STOPPED"
    assert worker.do(progress.beat, claim) is Answer.STOP
    worker.finish(claim, Outcome("stopped", None, 15, "Stopped on request."))

    assert submission.state is State.STOPPED
    assert ends(submission) == ["Stopped"]


def test_it_keeps_a_step_complete_that_ended_before_its_stop_came(
    session: Session, worker: Worker, submission: Submission
) -> None:
    claim = worker.begin()
    stop(session, submission)

    worker.finish(claim)

    assert states(submission) == "COMPLETE STOPPED STOPPED"
    assert submission.state is State.STOPPED


def test_it_never_starts_a_lost_run_again_after_a_stop(
    session: Session, worker: Worker, submission: Submission
) -> None:
    claim = worker.begin()
    stop(session, submission)
    worker.let_lease_run_out(claim)

    sweep()

    session.expire_all()
    assert states(submission) == "STOPPED STOPPED STOPPED"
    assert (submission.state, ends(submission)) == (State.STOPPED, ["Stopped"])


def test_it_takes_a_repeated_stop_as_one_and_a_late_one_as_none(
    session: Session, worker: Worker, submission: Submission
) -> None:
    stop(session, submission)
    stop(session, submission)
    assert [message.sentence for message in submission.messages].count("Stop asked") == 1

    finished = submitted(session, "job")
    for _ in range(3):
        worker.finish(worker.begin())
    stop(session, finished)
    assert (finished.state, finished.stop_asked) == (State.COMPLETE, False)
    assert len(ends(finished)) == 1


@pytest.mark.parametrize("table", ["run", "submission"])
def test_it_is_the_database_that_keeps_a_final_state_final(
    session: Session, submission: Submission, table: str
) -> None:
    stop(session, submission)
    model = Run if table == "run" else Submission

    with pytest.raises(DatabaseError, match="a final state is final"), transaction(session):
        session.execute(update(model).values(state=State.RUNNING))


def test_it_has_room_for_one_end_message_only(session: Session, submission: Submission) -> None:
    stop(session, submission)

    with pytest.raises(DatabaseError), transaction(session):
        session.get_one(Submission, submission.id).say("Completed", kind="end")


def test_it_goes_on_with_a_submission_that_nothing_moves(
    session: Session, worker: Worker, submission: Submission, caplog: pytest.LogCaptureFixture
) -> None:
    with transaction(session):
        session.execute(update(Run).where(Run.stage == 1).values(state=State.COMPLETE))

    sweep()

    session.expire_all()
    assert states(submission) == "COMPLETE COMPLETE QUEUED"
    [warning] = [each for each in caplog.records if each.name == progress.log.name]
    assert (warning.levelname, submission.uuid in warning.getMessage()) == ("WARNING", True)


def test_it_rescues_no_submission_that_went_on_by_itself(
    session: Session, submission: Submission, caplog: pytest.LogCaptureFixture
) -> None:
    with transaction(session):
        progress.rescue(session, submission.id)

    assert states(submission) == "QUEUED QUEUED WAITING"
    assert not [each for each in caplog.records if each.name == progress.log.name]


def test_it_sums_the_submissions_of_a_batch_up(session: Session, worker: Worker) -> None:
    make_task(session, "t", "command", "true")
    make_job(session, "job", [(1, "t")])
    batch = submissions.submit(session, order("job", "job"))

    worker.finish(worker.begin())
    assert batch.state is State.RUNNING
    worker.finish(worker.begin())

    assert batch.state is State.COMPLETE
    assert session.scalars(select(Letter)).all() == []


def test_it_owes_one_letter_for_a_batch_when_mail_is_on(
    session: Session, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_SERVER", "mail.example.org")
    settings.cache_clear()
    make_task(session, "t", "command", "true")
    make_job(session, "job", [(1, "t")])
    batch = submissions.submit(session, order("job", "job"))

    worker.finish(worker.begin())
    assert session.scalars(select(Letter)).all() == []
    worker.finish(worker.begin())

    assert [letter.batch for letter in session.scalars(select(Letter))] == [batch]
