"""Statements that PostgreSQL has planned already: a migration under a running worker costs it one answer.

What is only told goes with what is asked next: nothing overtakes it, and nothing of it outlives a transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg2 import extensions
from sqlalchemy import event, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, NotSupportedError, OperationalError
from sqlalchemy.orm import Session

from portal import database, queue
from portal.database import away, engine, reading, transaction, while_committing
from portal.domain.verdict import Outcome
from portal.models import Batch, Message, Submission
from portal.patience import meanwhile, wait_at_most
from portal.services import progress, statements, submissions
from portal.services.progress import Claim
from portal.services.statements import row, rows, tell
from portal.settings import settings
from portal.storage import Blob
from tests.conftest import forget_settings
from tests.making import make_job, make_task, order, submitted
from tests.servers import migrate, new_database

pytestmark = pytest.mark.real
HANDLE = {"host": "here"}
UNBOUNDED = dict.fromkeys(("PORTAL_QUEUE_HOG_SIZE", "PORTAL_QUEUE_HARD_LIMIT", "PORTAL_QUOTA_BYTES"), "")


@pytest.fixture(autouse=True)
def postgresql(cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with new_database(cluster) as url:
        settings = {"DATABASE_URL": url, "PORTAL_DATA": str(tmp_path)}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        migrate(settings)
        forget_settings()
        yield
        database.engine().dispose()
        forget_settings()


def ask() -> list[object]:
    with transaction() as session:
        return rows(session, statements.UPLOADS, {"submission": 1})


def test_it_is_planned_anew_on_another_connection_when_its_table_has_changed() -> None:
    assert ask() == []
    with transaction() as session:
        session.execute(text("ALTER TABLE upload ALTER COLUMN ending TYPE text"))

    with pytest.raises(NotSupportedError):
        ask()
    assert ask() == []


@pytest.fixture
def submission() -> int:
    with transaction() as session:
        made = Submission(uuid="s", batch=Batch(uuid="b", name=""), position=0, job_name="job", job_revision=1)
        session.add(made)
        session.flush()
        return made.id


@pytest.fixture
def messages() -> Iterator[list[str]]:
    """What is sent to PostgreSQL, each as one message."""
    found: list[str] = []

    def note(*given: object) -> None:
        found.append(str(given[2]))

    event.listen(engine(), "after_cursor_execute", note)
    yield found
    event.remove(engine(), "after_cursor_execute", note)


def said(submission: int | None, *sentences: str) -> list[dict[str, object]]:
    return [{"submission_id": submission, "run_id": None, "kind": "note", "sentence": each} for each in sentences]


def story(session: Session) -> list[str]:
    return list(session.scalars(select(Message.sentence).order_by(Message.id)))


def test_what_is_told_goes_with_the_next_question_in_one_message(submission: int, messages: list[str]) -> None:
    with transaction() as session:
        tell(session, statements.SAY, *said(submission, "100 % of it", "last"))
        asked = row(session, statements.STOP_ASKED, {"submission": submission})
        before = len(messages)
        tell(session, statements.SAY, *said(submission, "more"))
        row(session, statements.STOP_ASKED, {"submission": submission})
        assert len(messages) == before + 1 and messages[-1].count("EXECUTE") == 2

    assert not asked.stop_asked
    with reading() as session:
        assert story(session) == ["100 % of it", "last", "more"]


@pytest.fixture
def run() -> Claim:
    """The first of three, begun."""
    with Session(engine()) as session:
        for step in range(3):
            make_task(session, f"t{step}", "command", "true")
        make_job(session, "chain", [(step + 1, f"t{step}") for step in range(3)])
        submitted(session, "chain")
    with transaction() as session:
        run = progress.claim_due(session, [queue.EVERY], "test", 4)
        assert run is not None
        progress.started(session, run, HANDLE)
    return run


def test_a_run_ends_and_what_was_foreseen_begins_in_two_messages(run: Claim, messages: list[str]) -> None:
    """Those of docs/reliability.md, with a result."""
    with reading() as session:
        ahead = progress.foresee(session, run)
    for name, foreseen in zip(("first", "second"), ahead, strict=True):
        messages.clear()
        with transaction() as session:
            progress.finish(session, run, Outcome("exited", 0), progress.Found([kept(name)]), foreseen)
            expected = progress.Expected(foreseen, HANDLE)
            assert progress.claim_due(session, [queue.EVERY], "test", 4, expected)
            progress.go_on(session, foreseen)
        run = foreseen

    assert [each.count("EXECUTE") for each in messages] == [7, 2]
    assert messages[0].startswith("BEGIN; ") and messages[-1].endswith("; COMMIT")


@pytest.fixture
def patient() -> Iterator[None]:
    """As a worker is."""
    wait_at_most(lambda: 10)
    yield
    extensions.set_wait_callback(None)


def test_something_is_done_while_postgresql_works_on_an_answer(patient: None) -> None:
    done: list[int] = []
    with reading() as session:
        session.execute(text("SELECT 1"))
        with meanwhile(lambda: done.append(1)):
            for expected in ([1], [1]):
                session.execute(text("SELECT pg_sleep(0.01)"))
                assert done == expected
        with meanwhile(lambda: done.append(2)):
            assert done == [1]
        assert done == [1]


def test_something_is_done_while_postgresql_commits(patient: None) -> None:
    done: list[int] = []
    with transaction() as session:
        while_committing(session, lambda: done.append(1))
        row(session, statements.STOP_ASKED, {"submission": 1})
        assert done == []
    assert done == [1]

    with pytest.raises(ZeroDivisionError), transaction() as session:
        row(session, statements.STOP_ASKED, {"submission": 1})
        while_committing(session, lambda: done.append(2))
        1 // 0  # noqa: B018
    with transaction() as session:
        row(session, statements.STOP_ASKED, {"submission": 1})
    assert done == [1]


def test_what_fails_meanwhile_takes_no_answer_away(patient: None) -> None:
    with reading() as session:
        with pytest.raises(ZeroDivisionError), meanwhile(lambda: 1 // 0):
            assert session.scalar(text("SELECT 3")) == 3
        assert session.scalar(text("SELECT 4")) == 4


def kept(name: str) -> progress.Kept:
    return progress.Kept(name, Blob(name, 0, ""))


def test_a_run_ends_and_the_next_one_begins_in_six_messages(run: Claim, messages: list[str]) -> None:
    for _ in range(2):
        messages.clear()
        with transaction() as session:
            progress.finish(session, run, Outcome("exited", 0))
            after = progress.claim(session, [queue.EVERY], "test", "here", 4)
            assert after is not None and progress.follow(session, after, run, HANDLE)
        run = after

    assert [each.count("EXECUTE") for each in messages] == [2, 3, 2, 1, 1, 2]
    assert messages[0].startswith("BEGIN; ") and messages[-1].endswith("; COMMIT")


@pytest.mark.parametrize(("bounds", "expected"), [({}, 8), (UNBOUNDED, 4)], ids=["usual", "unbounded"])
def test_a_submission_is_accepted_in_a_few_messages(
    messages: list[str], bounds: dict[str, str], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of docs/performance.md: all that is written goes in the last one."""
    for name, value in bounds.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    with Session(engine()) as session:
        make_task(session, "t", "command", "true")
        make_job(session, "job", [(1, "t")])
        submissions.accept(session, order("job"))
        messages.clear()
        submissions.accept(session, order("job"))

    assert len(messages) == expected
    assert messages[-1].count("EXECUTE") == 6


def test_nothing_overtakes_what_is_told(submission: int) -> None:
    with transaction() as session:
        tell(session, statements.SAY, *said(submission, "first"))
        session.add(Message(submission_id=submission, sentence="second"))
        session.flush()
        tell(session, statements.SAY, *said(submission, "third"))

        assert story(session) == ["first", "second", "third"]
        tell(session, statements.SAY, *said(submission, "fourth"))

    with reading() as session:
        assert story(session) == ["first", "second", "third", "fourth"]


def test_nothing_that_was_told_outlives_its_transaction(submission: int) -> None:
    with pytest.raises(ZeroDivisionError), transaction() as session:
        tell(session, statements.SAY, *said(submission, "never"))
        raise ZeroDivisionError

    with transaction() as session:
        assert story(session) == []


def test_what_is_told_in_vain_fails_what_comes_next_or_the_commit(submission: int) -> None:
    with pytest.raises(IntegrityError), transaction() as session:
        tell(session, statements.SAY, *said(None, "of nothing"))
        row(session, statements.STOP_ASKED, {"submission": submission})
    with pytest.raises(IntegrityError), transaction() as session:
        tell(session, statements.SAY, *said(submission, "kept"), *said(None, "of nothing"))

    with reading() as session:
        assert story(session) == []


def test_a_transaction_that_nothing_is_asked_in_says_nothing(messages: list[str]) -> None:
    with transaction():
        pass

    assert messages == []


def test_what_failed_leaves_nothing_open_behind(submission: int) -> None:
    """The connection that comes next is the same one."""
    with pytest.raises(DBAPIError), transaction() as session:
        mine = session.scalar(text("SELECT pg_backend_pid()"))
        session.execute(text("SELECT 1 / 0"))
    with transaction() as session:
        assert session.scalar(text("SELECT pg_backend_pid()")) == mine
        tell(session, statements.SAY, *said(submission, "never"))
        row(session, statements.STOP_ASKED, {"submission": submission})
        session.rollback()

    with reading() as session:
        assert session.scalar(text("SELECT pg_backend_pid()")) == mine
        assert story(session) == []


def test_a_connection_that_is_lost_is_known_for_that_and_replaced(submission: int) -> None:
    for ask_next in (lambda session: row(session, statements.STOP_ASKED, {"submission": submission}), lambda _: None):
        with pytest.raises(DBAPIError) as failure, transaction() as session:
            mine = session.scalar(text("SELECT pg_backend_pid()"))
            with transaction() as other:
                other.execute(text("SELECT pg_terminate_backend(:it, 5000)"), {"it": mine})
            tell(session, statements.SAY, *said(submission, "lost"))
            ask_next(session)

        assert isinstance(failure.value, OperationalError) and failure.value.connection_invalidated
        assert away(failure.value)
        with transaction() as session:
            assert story(session) == []
