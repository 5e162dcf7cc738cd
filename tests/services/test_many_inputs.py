"""Many inputs at once: one batch with a submission for each, in as many statements as for few."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal import storage
from portal.database import transaction
from portal.domain.errors import Conflict, Invalid
from portal.domain.states import State
from portal.models import Batch, Letter, Submission, Upload
from portal.services import keeping, letters, progress, resuming, submissions
from portal.services.submissions import Incoming, Members
from portal.settings import settings
from tests.making import finish_step, make_job, make_task, order
from tests.pages.test_statements import counting

FEW, MANY = 3, 60


@pytest.fixture(autouse=True)
def jobs(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_QUEUE_HARD_LIMIT", "")
    monkeypatch.setenv("PORTAL_QUEUE_HOG_SIZE", "")
    settings.cache_clear()
    make_task(session, "count", "command", "wc -c < $I1", inputs=(".txt",), stdout=".n")
    make_job(session, "counts", [(1, "count")])
    make_job(session, "again", [(1, "count")])


def asked(count: int, *jobs: str, key: str | None = None) -> submissions.Order:
    inputs = tuple(Incoming(f"in{number}.txt", io.BytesIO(b"%d" % number)) for number in range(1, count + 1))
    return replace(order(*(jobs or ("counts",))), inputs=inputs, idempotency_key=key)


def contents(session: Session, submission: Submission) -> list[bytes]:
    return [storage.open_blob(upload.key).read() for upload in submission.uploads]


def test_it_gives_each_submission_its_own_input(session: Session) -> None:
    batch = submissions.submit(session, asked(FEW))

    assert [contents(session, each) for each in batch.submissions] == [[b"1"], [b"2"], [b"3"]]
    assert [each.position for each in batch.submissions] == [0, 1, 2]
    assert {run.state for each in batch.submissions for run in each.runs} == {State.QUEUED}


def test_it_runs_each_job_with_each_input(session: Session) -> None:
    batch = submissions.submit(session, asked(2, "counts", "again"))

    found = [(each.job_name, contents(session, each)) for each in batch.submissions]
    assert found == [("counts", [b"1"]), ("again", [b"1"]), ("counts", [b"2"]), ("again", [b"2"])]


def test_it_takes_as_many_statements_for_many_inputs_as_for_few(session: Session) -> None:
    submissions.accept(session, asked(1))
    with counting() as for_few:
        submissions.accept(session, asked(FEW))
    with counting() as for_many:
        submissions.accept(session, asked(MANY))

    assert len(for_many) == len(for_few) <= 13, "\n".join(for_many)


def test_it_refuses_more_than_the_settings_allow_and_keeps_nothing(
    session: Session, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_MAX_INPUTS", "5")
    settings.cache_clear()
    with pytest.raises(Invalid, match="at most 5 runs"):
        submissions.submit(session, asked(3, "counts", "again"))

    assert session.scalar(select(Batch.id)) is None
    assert not [path for path in (data / "files").rglob("*") if path.is_file()]


def test_it_names_the_empty_file_among_many_and_keeps_none(session: Session, data: Path) -> None:
    wanted = asked(30)
    empty = Incoming("hollow.txt", io.BytesIO(b""))
    with pytest.raises(Invalid, match="hollow"):
        submissions.submit(session, replace(wanted, inputs=(*wanted.inputs, empty)))

    assert not [path for path in (data / "files").rglob("*") if path.is_file()]


def test_it_makes_one_batch_of_a_request_that_comes_twice(session: Session) -> None:
    first = submissions.submit(session, asked(FEW, key="k"))
    again = submissions.submit(session, asked(FEW, key="k"))

    assert again.uuid == first.uuid
    assert session.scalars(select(func.count(Submission.id))).one() == FEW


@pytest.mark.parametrize("count", [2, 4])
def test_it_tells_another_number_of_inputs_from_the_same_request(session: Session, count: int) -> None:
    submissions.submit(session, asked(FEW, key="k"))
    with pytest.raises(Conflict):
        submissions.submit(session, asked(count, key="k"))


def test_it_shows_what_each_input_is_called(session: Session) -> None:
    batch = submissions.submit(session, asked(FEW))
    members = Members(session, batch, lambda job: None)

    assert [each.input for each in members.page(-1, 10)] == ["in1.txt", "in2.txt", "in3.txt"]


def test_it_removes_an_input_with_the_last_submission_that_took_it(session: Session) -> None:
    batch = submissions.submit(session, asked(2, "counts", "again"))
    ids = [each.id for each in batch.submissions]
    left = []
    for number in ids[:2]:
        with transaction(session):
            keeping.delete(session, session.get_one(Submission, number))
        session.rollback()
        keeping.remove(number)
        left.append(session.scalars(select(Upload.name)).all())

    assert left == [["in1.txt", "in2.txt"], ["in2.txt"]]


def test_it_goes_on_with_the_input_of_the_very_submission(session: Session) -> None:
    batch = submissions.submit(session, asked(FEW))
    stopped = batch.submissions[1]
    with transaction(session):
        progress.stop(session, stopped)
    new = resuming.resume(session, resuming.Resumption(stopped.uuid, None, None, False, "127.0.0.1", None))

    assert contents(session, new) == [b"2"]


def test_it_ends_the_batch_with_its_last_submission(session: Session) -> None:
    batch = submissions.submit(session, asked(FEW))
    found = []
    for _ in range(FEW):
        finish_step(session, of="here")
        found.append(session.get_one(Batch, batch.id).state)

    assert found[-1] is State.COMPLETE
    assert not any(each.final for each in found[:-1])


def test_it_writes_a_letter_of_bounded_length(session: Session) -> None:
    batch = submissions.submit(session, asked(MANY))
    text = letters._text(session, session.get_one(Batch, batch.id))

    assert text.count("/runs/") == letters.MOST_TOLD
    assert f"{MANY} " in text and f"/batches/{batch.uuid}" in text
    assert session.scalar(select(Letter.id)) is None
