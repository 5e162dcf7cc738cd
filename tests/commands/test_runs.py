"""flask stop, delete and resume: one line an answer, and a status that scripts can go by."""

from __future__ import annotations

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy.orm import Session

from portal import queue
from portal.database import transaction
from portal.domain.states import State
from portal.domain.verdict import Outcome
from portal.models import Submission
from portal.services import progress, submissions
from tests.making import make_job, make_task, order

NOBODYS = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def pair(session: Session) -> list[Submission]:
    """Two of one batch."""
    make_task(session, "one", "command", "echo")
    make_task(session, "two", "command", "echo")
    make_job(session, "job", [(1, "one"), (2, "two")])
    return submissions.submit(session, order("job", "job")).submissions


def flask(app: Flask, *words: str, answer: str = "") -> Result:
    return app.test_cli_runner().invoke(args=words, input=answer)


def fail(session: Session) -> None:
    with transaction(session):
        claim = progress.claim(session, [queue.EVERY], "worker", "host")
    assert claim is not None
    with transaction(session):
        progress.finish(session, claim, Outcome("exited", 3))
    session.rollback()


def test_it_stops_one_run(app: Flask, session: Session, pair: list[Submission]) -> None:
    done = flask(app, "stop", pair[0].uuid)

    session.rollback()
    assert (done.exit_code, done.stdout) == (0, f"{pair[0].uuid} is asked to stop.\n")
    assert [each.state for each in pair] == [State.STOPPED, State.QUEUED]
    assert flask(app, "stop", pair[0].uuid).stdout == f"{pair[0].uuid} had ended already.\n"


def test_it_stops_all_runs_of_a_batch(app: Flask, session: Session, pair: list[Submission]) -> None:
    done = flask(app, "stop", pair[0].batch.uuid, pair[0].uuid)

    session.rollback()
    assert done.exit_code == 0 and done.output.count("is asked to stop") == 2
    assert {each.state for each in pair} == {State.STOPPED}


@pytest.mark.parametrize("words", [("stop",), ("delete", "--yes")])
def test_it_does_nothing_when_one_is_unknown(
    app: Flask, session: Session, pair: list[Submission], words: tuple[str, ...]
) -> None:
    done = flask(app, *words, pair[0].uuid, NOBODYS)

    session.rollback()
    assert done.exit_code == 2
    assert f"There is no run or batch {NOBODYS}." in done.output
    assert not pair[0].stop_asked


def test_it_asks_before_it_deletes(app: Flask, session: Session, pair: list[Submission]) -> None:
    done = flask(app, "delete", pair[0].batch.uuid, answer="n\n")

    session.rollback()
    assert done.exit_code == 1 and "Delete 2 runs with all results and logs?" in done.output
    assert not pair[0].delete_asked


def test_it_deletes_without_asking_when_told(app: Flask, pair: list[Submission]) -> None:
    done = flask(app, "delete", "--yes", pair[0].uuid)

    assert (done.exit_code, done.stdout) == (0, f"{pair[0].uuid} is being deleted.\n")


def test_it_resumes(app: Flask, session: Session, pair: list[Submission]) -> None:
    fail(session)
    [failed] = [each for each in pair if each.state is State.ERROR]

    done = flask(app, "resume", failed.uuid, "--step", "1", "--current")

    assert done.exit_code == 0 and done.stdout.endswith(f" goes on with {failed.uuid}.\n")
    session.rollback()
    made = submissions.get(session, done.stdout[:36])
    assert (made.resumed_from, made.batch.name) == (failed.uuid, "a test")


def test_it_says_why_it_cannot_resume(app: Flask, session: Session, pair: list[Submission]) -> None:
    fail(session)
    [failed, other] = sorted(pair, key=lambda each: each.state is not State.ERROR)

    assert flask(app, "resume", NOBODYS).exit_code == 2
    assert "wait for its end" in flask(app, "resume", other.uuid).output
    wrong = flask(app, "resume", failed.uuid, "--step", "9")
    assert wrong.exit_code == 1 and "Choose a step" in wrong.output
