"""What two do at one instant: parallel runs that end, jobs that are put into each other. Nothing is lost or doubled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session, sessionmaker

from portal import database
from portal.database import transaction
from portal.domain.errors import Invalid
from portal.domain.states import State
from portal.domain.verdict import Outcome
from portal.models import Run, Submission
from portal.services import jobs, progress
from portal.services.jobs import JobDraft, StepDraft
from portal.services.progress import Answer, Claim
from tests import making
from tests.conftest import forget_settings
from tests.servers import eventually, migrate, new_database

pytestmark = pytest.mark.real

TRIALS = 200


@pytest.fixture
def session(cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A session on PostgreSQL."""
    with new_database(cluster) as url:
        for name, value in {"DATABASE_URL": url, "PORTAL_DATA": str(tmp_path), "PORTAL_QUEUE_HARD_LIMIT": ""}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PORTAL_QUEUE_HOG_SIZE", "")
        migrate({"DATABASE_URL": url, "PORTAL_DATA": str(tmp_path)})
        forget_settings()
        with sessionmaker(database.engine())() as opened:
            yield opened
        database.engine().dispose()
        forget_settings()


def claimed() -> Claim:
    with transaction() as session:
        claim = progress.claim(session, ["every"], "test", "here")
    assert claim is not None
    return claim


def finish_together(claims: list[Claim]) -> None:
    gate = threading.Barrier(len(claims))

    def finish(claim: Claim) -> None:
        gate.wait()
        with transaction() as session:
            assert progress.finish(session, claim, Outcome("exited", 0))

    threads = [threading.Thread(target=finish, args=(claim,)) for claim in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_the_next_stage_is_queued_exactly_once(session: Session) -> None:
    for name in ("left", "right", "after"):
        making.make_task(session, name, "command", "true")
    making.make_job(session, "fork", [(1, "left"), (1, "right"), (2, "after")])

    for _ in range(TRIALS):
        submission = making.submitted(session, "fork")
        finish_together([claimed(), claimed()])
        last = claimed()
        assert last.work.task == "after"
        with transaction() as ending:
            assert progress.claim(ending, ["every"], "test", "here") is None
            assert progress.finish(ending, last, Outcome("exited", 0))
        session.expire_all()
        assert session.get_one(Submission, submission.id).state is State.COMPLETE

    session.rollback()
    assert set(session.scalars(select(Run.attempt))) == {1}


def test_a_worker_does_not_wait_for_the_submission_of_its_next_run(session: Session) -> None:
    making.make_task(session, "t", "command", "true")
    making.make_job(session, "job", [(1, "t")])
    first, second = (making.submitted(session, "job").id for _ in range(2))
    ended, following = claimed(), claimed()
    assert (ended.submission_id, following.submission_id) == (first, second)

    with transaction() as holding:
        holding.execute(select(Submission.id).where(Submission.id == second).with_for_update())
        with transaction() as ending:
            assert progress.finish(ending, ended, Outcome("exited", 0))
            assert not progress.follow(ending, following, ended, {"host": "here"})

    with transaction() as beginning:
        assert progress.started(beginning, following, {"host": "here"}) is Answer.GO_ON


def test_a_condition_is_asked_exactly_once_when_all_that_it_waits_for_ends_at_one_instant(session: Session) -> None:
    making.make_task(session, "left", "command", "true", exit_statuses=(3,))
    for name in ("right", "repair", "after"):
        making.make_task(session, name, "command", "true")
    steps = (
        StepDraft(1, "left"),
        StepDraft(1, "right"),
        StepDraft(2, "repair", needs=("left", "right"), condition={"exit_status_of": "left", "is": [3]}),
        StepDraft(3, "after"),
    )
    with transaction(session):
        jobs.save(session, JobDraft("fork", public=True, steps=steps), None)

    for _ in range(TRIALS // 4):
        submission = making.submitted(session, "fork")
        finish_together([claimed(), claimed()])
        last = claimed()
        assert last.work.task == "after"
        with transaction() as ending:
            assert progress.finish(ending, last, Outcome("exited", 0))
        session.expire_all()
        skipped = [message.sentence for message in submission.messages if "skipped" in message.sentence]
        assert (submission.state, len(skipped)) == (State.COMPLETE, 1)


def test_two_jobs_that_are_put_into_each_other_at_one_instant_make_no_circle(session: Session) -> None:
    making.make_task(session, "t", "command", "true")
    for name in ("one", "other"):
        making.make_job(session, name, [(0, "t")])
    refusals: list[Invalid] = []

    def put_into_the_other() -> None:
        with sessionmaker(database.engine())() as own, pytest.raises(Invalid) as refusal:
            put(own, "one", into="other")
        refusals.append(refusal.value)

    with jobs.changing(session) as first:
        save_with(first, "other", into="one")
        second = threading.Thread(target=put_into_the_other)
        second.start()
        eventually(lambda: waits_for_a_lock(first) or not second.is_alive())
    second.join()

    assert "one → other → one" in str(refusals[0]) or "other → one → other" in str(refusals[0])


def put(session: Session, inner: str, into: str) -> None:
    with jobs.changing(session) as writing:
        save_with(writing, inner, into)


def save_with(session: Session, inner: str, into: str) -> None:
    draft = JobDraft(into, public=True, steps=(StepDraft(0, job=inner),))
    jobs.save(session, draft, None, jobs.get(session, into))


def waits_for_a_lock(session: Session) -> bool:
    return bool(session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))
