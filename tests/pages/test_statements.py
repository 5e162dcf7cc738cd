"""A page asks the database as often for much as for little: nothing is looked up row by row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal.database import now, transaction
from portal.domain.drafts import ParameterDraft
from portal.domain.states import State
from portal.models import Account, Attempt, Group, LogChunk, Membership, Message, Result, Submission, Token, Worker
from portal.services import submissions
from tests.making import make_backend, make_job, make_task, order, submitted

FEW, MANY = 3, 60
RUN = (
    "/runs/{run}", "/runs/{run}/progress", "/api/v1/submissions/{run}", "/api/v1/submissions/{run}/results",
    "/analytics_automated/submission/{batch}.json", "/analytics_automated/submission/single/{run}.json",
)  # fmt: skip
LISTS = (
    "/", "/latest", "/runs", "/runs.json", "/runs?text=a", "/jobs", "/jobs.json", "/jobs/new", "/jobs/many", "/tasks",
    "/tasks.json", "/jobs/many/run", "/backends", "/backends.json", "/audit", "/groups", "/groups.json", "/accounts",
    "/tokens", "/batches/{batch}", "/api/v1/jobs", "/api/v1/jobs/many", "/api/v1/tasks", "/api/v1/submissions",
    "/api/v1/tokens", "/analytics_automated/endpoints.json", "/analytics_automated/job.json",
    "/analytics_automated/submission/{batch}.json",
)  # fmt: skip


@contextmanager
def counting() -> Iterator[list[str]]:
    """The statements that are sent meanwhile."""
    sent: list[str] = []

    def note(connection: object, cursor: object, statement: str, *more: object) -> None:
        sent.append(statement)

    event.listen(Engine, "after_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "after_cursor_execute", note)


def asked(client: FlaskClient, path: str, **names: str) -> list[str]:
    with counting() as sent:
        answer = client.get(path.format(**names))
    assert answer.status_code == 200, answer.text
    return sent


def ended(session: Session, steps: int) -> Submission:
    """A submission of so many steps that failed at the last, each with two attempts, logs and results."""
    parameters = (ParameterDraft("size", default="1"),)
    make_task(session, f"task{steps}", "command", "cat $I1", inputs=(".txt",), parameters=parameters)
    make_job(session, f"of{steps}", [(at, f"task{steps}") for at in range(steps)])
    submission = submitted(session, f"of{steps}")
    with transaction(session):
        for run in submission.runs:
            run.state, run.attempt, run.started, run.ended = State.COMPLETE, 2, now(), now()
            session.add_all(Attempt(run_id=run.id, number=number, worker="w", ended=now()) for number in (1, 2))
            session.add_all(
                LogChunk(run_id=run.id, attempt=number, stream=stream, start=0, data=b"a line\n")
                for number in (1, 2)
                for stream in ("stdout", "stderr")
            )
            session.add_all(
                Result(submission_id=submission.id, run_id=run.id, attempt=2, key="k", size=1, sha256="0" * 64,
                       name=f"{submission.uuid}-{run.position}-{place}.out")
                for place in range(3)
            )  # fmt: skip
            session.add(Message(submission_id=submission.id, run_id=run.id, sentence="Completed"))
        submission.runs[-1].state = submission.state = submission.batch.state = State.ERROR
        submission.started = submission.ended = now()
    return submission


@pytest.mark.parametrize("path", RUN)
def test_it_asks_as_often_for_a_run_of_many_steps_as_for_one_of_few(
    signed_in: FlaskClient, session: Session, path: str
) -> None:
    few, many = ended(session, FEW), ended(session, MANY)
    asked(signed_in, path, run=few.uuid, batch=few.batch.uuid)

    for_many = asked(signed_in, path, run=many.uuid, batch=many.batch.uuid)
    again = ended_again(session, few)
    for_few = asked(signed_in, path, run=again.uuid, batch=again.batch.uuid)

    assert len(for_many) == len(for_few) <= 20, "\n".join(for_many)


def ended_again(session: Session, submission: Submission) -> Submission:
    """The same, told something new, so that no answer that was kept is given."""
    with transaction(session):
        submission.say("Told")
    return submission


def test_it_reads_no_code_and_no_log_for_a_run_that_has_not_changed(signed_in: FlaskClient, session: Session) -> None:
    run = ended(session, MANY)
    signed_in.get(f"/runs/{run.uuid}")
    first = signed_in.get(f"/runs/{run.uuid}/progress")
    with counting() as sent:
        again = signed_in.get(f"/runs/{run.uuid}/progress", headers={"If-None-Match": first.headers["ETag"]})

    assert again.status_code == 304
    assert len(sent) <= 4 and not any("log_chunk" in each or "run.work" in each for each in sent), "\n".join(sent)


def test_it_answers_anew_once_anything_was_told_of_a_run(signed_in: FlaskClient, session: Session) -> None:
    run = ended(session, FEW)
    first = signed_in.get(f"/runs/{run.uuid}/progress")
    ended_again(session, run)
    again = signed_in.get(f"/runs/{run.uuid}/progress", headers={"If-None-Match": first.headers["ETag"]})

    assert again.status_code == 200 and "Told" in again.text


def fill(session: Session, admin: Account, numbers: range) -> None:
    """So many of everything that is listed."""
    for number in numbers:
        make_backend(session, f"b{number}")
        make_task(session, f"t{number}", "command", "true", parameters=(ParameterDraft("size", default="1"),))
        make_job(session, f"j{number}", [(1, f"t{number}"), (2, f"t{number}")])
        submitted(session, f"j{number}", account=admin)
    with transaction(session):
        for number in numbers:
            session.add(Worker(name=f"host{number}:1", queues=["every"], obstacles={}, seen=now()))
            group = Group(name=f"g{number}")
            session.add(group)
            session.flush()
            session.add(Membership(group_id=group.id, account_id=admin.id))
            session.add(Token(account_id=admin.id, name=f"k{number}", secret_hash=f"h{number}", scopes=["read"]))


def batch_of(session: Session, names: list[str]) -> str:
    return submissions.submit(session, order(*names)).uuid


def test_it_asks_as_often_for_long_lists_as_for_short_ones(
    signed_in: FlaskClient, session: Session, admin: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.services.submissions.batch_priority", lambda *given: 1)
    fill(session, admin, range(3))
    make_job(session, "many", [(at, f"t{at}") for at in range(3)])
    few = {path: asked(signed_in, path, batch=batch_of(session, ["j0", "j1"])) for path in LISTS}
    fill(session, admin, range(3, 20))
    make_job(session, "more", [(at, f"t{at}") for at in range(20)])
    many = batch_of(session, [f"j{number}" for number in range(20)])

    found = {path: len(asked(signed_in, path.replace("many", "more"), batch=many)) for path in LISTS}

    assert {path: number for path, number in found.items() if number > len(few[path])} == {}
    assert max(found.values()) <= 25, found
