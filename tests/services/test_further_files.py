"""Files of parameters: taken with an order, all or none, compared when it comes again, kept as long as its input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import queue, storage
from portal.database import transaction
from portal.domain.drafts import ParameterDraft, TaskDraft
from portal.domain.errors import Conflict, Invalid
from portal.domain.parameters import Kind
from portal.domain.verdict import Outcome
from portal.models import Batch, Submission, Upload
from portal.services import keeping, progress, results, resuming, submissions, tasks
from portal.services.progress import Found
from portal.services.resuming import Resumption
from portal.settings import settings
from tests.making import make_job, make_task, order

TABLE = ParameterDraft("table", kind=Kind.FILE, choices=("tsv",), required=True)
MASK = ParameterDraft("mask", kind=Kind.FILE)
WHO = ParameterDraft("who", default="Ann")
SENT = {"fit_table": ("C:\\my table.TSV", b"one")}
BOTH = {**SENT, "fit_mask": ("mask.png", b"two")}


@pytest.fixture(autouse=True)
def job(session: Session) -> None:
    make_task(session, "fit", "command", "true", inputs=(".csv",), parameters=(TABLE, WHO, MASK))
    make_job(session, "job", [(1, "fit")])


def asked(files: Mapping[str, tuple[str, bytes]] = SENT, **changes: Any) -> submissions.Order:
    return replace(order("job", files=files), **changes)


def stored(data: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in (data / "files").rglob("*") if path.is_file())


def fail(session: Session) -> None:
    """The next run fails."""
    with transaction(session):
        claim = progress.claim(session, [queue.EVERY], "worker", "host")
    assert claim is not None
    with transaction(session):
        progress.started(session, claim, {"host": "host"})
    with transaction(session):
        progress.finish(session, claim, Outcome("exited", 3), Found([]))


def test_it_keeps_each_file_by_its_field_and_ending(session: Session, data: Path) -> None:
    batch = submissions.submit(session, asked(BOTH))

    session.expire_all()
    assert [(each.field, each.ending, each.name) for each in batch.uploads] == [
        ("", "", "in.txt"),
        ("fit_table", ".table.tsv", "my_table.TSV"),
        ("fit_mask", ".mask.png", "mask.png"),
    ]
    assert stored(data) == [b"one", b"two", b"x\n"]


def test_its_files_can_be_fetched_by_names_that_nobody_can_guess(session: Session) -> None:
    [submission] = submissions.submit(session, asked(BOTH)).submissions

    names = [name.removeprefix(submission.uuid) for name, _ in results.inputs(submission)]
    found = [results.find(session, name) for name, _ in results.inputs(submission)]

    assert names == ["_input.csv", "_input_2.table.tsv", "_input_3.mask.png"]
    assert [storage.open_blob(each.key).read() for each in found] == [b"x\n", b"one", b"two"]


@pytest.mark.parametrize(
    ("files", "values", "field", "sentence"),
    [
        ({}, {}, "fit_table", "fit_table is required: send a file."),
        ({"fit_table": ("a.csv", b"1")}, {}, "fit_table", "fit_table: “a.csv” does not end in .tsv."),
        ({"fit_table": ("a.tsv", b"")}, {}, "fit_table", "The submitted file is empty."),
        ({**SENT, "fit_mask": ("a", b"")}, {}, "fit_mask", "The submitted file is empty."),
        ({**SENT, "fit_mask": ("a", b"12345678901")}, {}, "fit_mask", "The file is larger than the 10 bytes"),
        ({}, {"fit_table": "text"}, "fit_table", "fit_table: this takes a file: send it as a file part"),
        ({**SENT, "fit_who": ("who", b"Bob")}, {}, "fit_who", "fit_who: this takes a value and no file"),
    ],
)
def test_it_names_the_file_that_is_wrong_and_keeps_nothing(
    session: Session, data: Path, monkeypatch: pytest.MonkeyPatch, files: Any, values: Any, field: str, sentence: str
) -> None:
    monkeypatch.setenv("PORTAL_MAX_UPLOAD_BYTES", "10")
    settings.cache_clear()

    with pytest.raises(Invalid) as refusal:
        submissions.submit(session, asked(files, values=values))

    assert list(refusal.value.fields) == [field]
    assert refusal.value.fields[field].startswith(sentence)
    assert stored(data) == []
    assert session.scalars(select(Batch)).all() == []


def test_it_takes_no_notice_of_a_file_that_no_parameter_takes(session: Session, data: Path) -> None:
    batch = submissions.submit(session, asked({**SENT, "other": ("a", b"1")}, idempotency_key="k"))

    assert len(batch.uploads) == 2
    assert submissions.submit(session, asked(idempotency_key="k")) is batch


def test_the_same_order_with_the_same_files_makes_one_batch(session: Session, data: Path) -> None:
    first, second = (submissions.submit(session, asked(BOTH, idempotency_key="k")) for _ in range(2))

    assert first is second
    assert len(stored(data)) == 3


@pytest.mark.parametrize("files", [SENT, {**BOTH, "fit_mask": ("mask.png", b"three")}])
def test_another_file_under_one_key_is_another_order(session: Session, data: Path, files: Any) -> None:
    submissions.submit(session, asked(BOTH, idempotency_key="k"))

    with pytest.raises(Conflict):
        submissions.submit(session, asked(files, idempotency_key="k"))

    assert len(stored(data)) == 3


def test_a_file_more_under_one_key_is_another_order(session: Session) -> None:
    submissions.submit(session, asked(idempotency_key="k"))

    with pytest.raises(Conflict):
        submissions.submit(session, asked(BOTH, idempotency_key="k"))


@pytest.mark.parametrize("current", [False, True])
def test_what_goes_on_takes_the_files_over(session: Session, current: bool) -> None:
    [failed] = submissions.submit(session, asked(BOTH)).submissions
    fail(session)

    new = resuming.resume(session, Resumption(failed.uuid, None, current=current))

    assert [(each.field, each.ending) for each in new.batch.uploads] == [
        ("", ""), ("fit_table", ".table.tsv"), ("fit_mask", ".mask.png"),
    ]  # fmt: skip
    assert new.runs[0].work["arguments"] == failed.runs[0].work["arguments"]
    assert {each.key for each in new.batch.uploads}.isdisjoint(each.key for each in failed.batch.uploads)


def test_what_goes_on_finds_its_file_though_the_task_has_another_name_now(
    session: Session, work: Any, data: Path
) -> None:
    [failed] = submissions.submit(session, asked()).submissions
    fail(session)
    task = tasks.get(session, "fit")
    with transaction(session):
        tasks.save(
            session, TaskDraft("fitting", "command", "here", "cat $P1", parameters=(TABLE,), stdout=".txt"), None, task
        )

    new = resuming.resume(session, Resumption(failed.uuid, None, current=True))
    work()

    session.expire_all()
    [result] = new.results
    assert storage.open_blob(result.key).read() == b"one"


def test_its_files_go_with_the_submission(session: Session, data: Path) -> None:
    [submission] = submissions.submit(session, asked(BOTH)).submissions
    with transaction(session):
        keeping.delete(session, submission)

    for submission_id in keeping.due(session):
        keeping.remove(submission_id)

    session.rollback()
    assert stored(data) == []
    assert session.scalars(select(Upload)).all() == session.scalars(select(Submission)).all() == []
