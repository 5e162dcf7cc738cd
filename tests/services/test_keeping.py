"""What stays of a submission, and for how long. No program runs here: the tests are workers."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from portal import queue, storage
from portal.database import Base, now, transaction
from portal.domain.errors import NotFound
from portal.domain.states import State
from portal.domain.verdict import Outcome
from portal.models import Account, Attempt, Batch, Letter, LogChunk, Message, Result, Run, Submission, Upload
from portal.services import keeping, progress, results, resuming, submissions
from portal.services.progress import Claim, Found, Kept, Written
from portal.services.resuming import Resumption
from tests.making import make_job, make_task, order, submitted

WELL, BADLY = Outcome("exited", 0), Outcome("exited", 3)
Ending = Callable[..., Claim]


@pytest.fixture
def job(session: Session) -> str:
    make_task(session, "t", "command", "echo")
    make_job(session, "job", [(1, "t")])
    make_job(session, "other", [(1, "t")])
    return "job"


@pytest.fixture
def begin(session: Session) -> Ending:
    """Takes the run that is due, as a worker would, and writes a line of its log."""

    def begin_next() -> Claim:
        with transaction(session):
            claim = progress.claim(session, [queue.EVERY], "worker", "host")
        assert claim is not None
        with transaction(session):
            progress.started(session, claim, {"host": "host"})
            progress.beat(session, claim, [Written("stdout", 0, b"so far\n")])
        return claim

    return begin_next


@pytest.fixture
def end(session: Session, begin: Ending) -> Ending:
    """Sees the run that is due through, with one file."""

    def end_next(outcome: Outcome = WELL) -> Claim:
        claim = begin()
        blob = storage.put(f"runs/{claim.uuid}/{claim.attempt}-1", io.BytesIO(b"a result"))
        with transaction(session):
            progress.finish(session, claim, outcome, Found([Kept(f"{claim.work.identity}.txt", blob)]))
        return claim

    return end_next


def over(session: Session, submission: Submission) -> None:
    """Its time for being kept ends."""
    with transaction(session):
        session.execute(update(Submission).where(Submission.id == submission.id).values(expires=now(-1)))


def remove_due(session: Session) -> None:
    session.rollback()
    for submission_id in keeping.due(session):
        keeping.remove(submission_id)
    session.rollback()
    session.expire_all()


def ask_deletion(session: Session, submission: Submission) -> None:
    with transaction(session):
        keeping.delete(session, submission)


def rows(session: Session, *tables: type[Base]) -> dict[str, int]:
    return {table.__tablename__: session.scalar(select(func.count()).select_from(table)) or 0 for table in tables}


def files(data: Path) -> list[str]:
    return sorted(path.relative_to(data / "files").parts[0] for path in data.glob("files/**/*") if path.is_file())


def sentences(submission: Submission) -> list[str]:
    return [message.sentence for message in submission.messages]


def test_it_removes_results_and_logs_when_their_time_is_over_and_the_story_stays(
    session: Session, job: str, end: Ending, data: Path
) -> None:
    submission = submitted(session, job)
    end()
    before, frozen = sentences(submission), dict(submission.runs[0].work)
    over(session, submission)

    remove_due(session)

    assert rows(session, Result, LogChunk, Upload) == {"result": 0, "log_chunk": 0, "upload": 0}
    assert files(data) == []
    assert submission.state is State.COMPLETE
    assert submission.removed is not None
    assert sentences(submission) == [*before, keeping.OVER]
    assert submission.runs[0].work == frozen
    assert rows(session, Attempt) == {"attempt": 1}


def test_it_says_so_once_and_has_nothing_to_do_afterwards(session: Session, job: str, end: Ending) -> None:
    submission = submitted(session, job)
    end()
    over(session, submission)

    keeping.remove(submission.id)
    keeping.remove(submission.id)

    session.rollback()
    assert keeping.due(session) == []
    assert sentences(submission).count(keeping.OVER) == 1


def test_the_inputs_and_results_of_what_was_removed_are_not_found(session: Session, job: str, end: Ending) -> None:
    submission = submitted(session, job)
    end()
    names = [result.name for result in submission.results] + [results.input_name(submission)]
    over(session, submission)

    remove_due(session)

    assert len(names) == 2
    for name in names:
        with pytest.raises(NotFound):
            results.find(session, name)


def test_it_keeps_what_has_time_left_or_none_set(session: Session, job: str, end: Ending, data: Path) -> None:
    for expires in (None, now(60)):
        submission = submitted(session, job)
        end()
        with transaction(session):
            submission.expires = expires
        keeping.remove(submission.id)

    remove_due(session)

    assert rows(session, Result, LogChunk, Upload) == {"result": 2, "log_chunk": 2, "upload": 2}
    assert len(files(data)) == 4


def test_it_removes_nothing_of_a_submission_that_runs(session: Session, job: str, begin: Ending, data: Path) -> None:
    submission = submitted(session, job)
    begin()
    over(session, submission)
    ask_deletion(session, submission)

    keeping.remove(submission.id)

    session.rollback()
    assert keeping.due(session) == []
    assert rows(session, Submission, LogChunk, Upload) == {"submission": 1, "log_chunk": 1, "upload": 1}
    assert files(data) == ["uploads"]


def test_nothing_stays_of_what_was_deleted(session: Session, job: str, end: Ending, data: Path) -> None:
    submission = submitted(session, job)
    end()
    with transaction(session):
        session.add(Letter(batch=submission.batch))
    ask_deletion(session, submission)
    ask_deletion(session, submission)

    remove_due(session)

    everything = (Batch, Upload, Submission, Run, Attempt, Result, LogChunk, Message, Letter)
    assert set(rows(session, *everything).values()) == {0}
    assert files(data) == []


def test_deleting_stops_first(session: Session, job: str, begin: Ending, data: Path) -> None:
    submission = submitted(session, job)
    claim = begin()
    ask_deletion(session, submission)

    with transaction(session):
        assert progress.beat(session, claim) is progress.Answer.STOP
    with transaction(session):
        progress.finish(session, claim, Outcome("stopped"))
    assert submission.state is State.STOPPED
    remove_due(session)

    assert rows(session, Submission, Batch) == {"submission": 0, "batch": 0}
    assert files(data) == []


def test_what_had_not_begun_is_gone_at_once(session: Session, job: str) -> None:
    ask_deletion(session, submitted(session, job))

    remove_due(session)

    assert rows(session, Submission, Batch, Upload) == {"submission": 0, "batch": 0, "upload": 0}


def test_deleting_what_was_removed_already_deletes_the_rest(session: Session, job: str, end: Ending) -> None:
    submission = submitted(session, job)
    end()
    over(session, submission)
    remove_due(session)

    ask_deletion(session, submission)
    remove_due(session)

    assert rows(session, Submission, Batch, Message) == {"submission": 0, "batch": 0, "message": 0}


def two_of_a_batch(session: Session) -> tuple[Submission, Submission]:
    first, second = submissions.submit(session, order("job", "other")).submissions
    return first, second


def test_an_upload_stays_until_no_submission_of_its_batch_needs_it(
    session: Session, job: str, end: Ending, data: Path
) -> None:
    first, second = two_of_a_batch(session)
    end()
    over(session, first)
    remove_due(session)
    assert files(data) == ["uploads"]
    assert second.state is State.QUEUED

    end()
    over(session, second)
    remove_due(session)

    assert files(data) == []
    assert rows(session, Batch, Submission) == {"batch": 1, "submission": 2}


@pytest.mark.parametrize("first_is_deleted", [True, False])
def test_an_upload_goes_when_one_is_deleted_and_the_others_time_is_over(
    session: Session, job: str, end: Ending, data: Path, first_is_deleted: bool
) -> None:
    first, second = two_of_a_batch(session)
    end()
    end()
    for submission in (first, second) if first_is_deleted else (second, first):
        if submission is first:
            ask_deletion(session, submission)
        else:
            over(session, submission)
        remove_due(session)

    assert files(data) == []
    assert rows(session, Batch, Submission, Upload) == {"batch": 1, "submission": 1, "upload": 0}


def test_the_batch_becomes_what_its_other_submissions_are(session: Session, job: str, end: Ending, data: Path) -> None:
    failed, other = two_of_a_batch(session)
    end(BADLY)
    assert failed.batch.state is State.ERROR
    ask_deletion(session, failed)

    remove_due(session)
    assert other.batch.state is State.QUEUED
    assert files(data) == ["uploads"]

    end()
    assert other.batch.state is State.COMPLETE


def test_a_continuation_keeps_its_own_files_when_what_it_goes_on_with_is_removed(
    session: Session, job: str, admin: Account, end: Ending
) -> None:
    make_task(session, "last", "command", "echo")
    make_job(session, "two", [(1, "t"), (2, "last")])
    submission = submitted(session, "two")
    end()
    end(BADLY)
    continuation = resuming.resume(session, Resumption(submission.uuid, admin))
    over(session, submission)

    remove_due(session)

    assert submission.removed is not None
    [taken] = continuation.results
    for key in (taken.key, continuation.batch.uploads[0].key):
        with storage.open_blob(key) as stream:
            assert stream.read()


def test_it_takes_what_was_removed_meanwhile_for_done(session: Session) -> None:
    keeping.remove(4711)


def test_a_files_row_is_gone_before_the_file(
    session: Session, job: str, end: Ending, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between the two leaves a file too many, never a row without its file."""
    submission = submitted(session, job)
    end()
    over(session, submission)

    def crash(key: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(storage, "delete", crash)
    with pytest.raises(KeyboardInterrupt):
        keeping.remove(submission.id)

    session.rollback()
    assert rows(session, Result, Upload) == {"result": 0, "upload": 0}
    assert files(data) == ["runs", "uploads"]
