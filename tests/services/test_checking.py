"""What is sent is read by the validators of its jobs: the input, files of parameters; few large ones at one time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from portal import database, validators
from portal.database import transaction
from portal.domain import plugins
from portal.domain.drafts import ParameterDraft, TaskDraft
from portal.domain.errors import Invalid, Unavailable
from portal.domain.parameters import Kind
from portal.models import Batch
from portal.services import checking, jobs, submissions, tasks
from portal.services.jobs import JobDraft, StepDraft
from tests.making import make_job, make_task, order

TABLE = ParameterDraft("table", kind=Kind.FILE, choices=(".csv",))
GOOD, BAD = ("t.csv", b"a\n1\n"), ("t.csv", b"a\nx\n")


@pytest.fixture
def fit(session: Session) -> None:
    """A task with an optional file, and another that has the same name with blanks."""
    make_task(session, "fit", "command", "true", parameters=(TABLE, ParameterDraft("who", default="Ann")))
    make_task(session, "My fit", "command", "true", parameters=(TABLE,))


def kept(session: Session, data: Path) -> tuple[int, int]:
    """How many batches and files there are."""
    stored = [path for path in (data / "files").rglob("*") if path.is_file()]
    return session.scalars(select(func.count(Batch.id))).one(), len(stored)


@pytest.mark.parametrize(
    ("entry", "field"),
    [("fit_table: csv a:integer", "fit_table"), ('"My fit_table": csv a:integer', "My fit_table")],
)
def test_it_reads_the_file_that_an_entry_names(session: Session, data: Path, fit: None, entry: str, field: str) -> None:
    make_job(session, "j", [(1, "fit"), (2, "My fit")], validators=(entry,))

    with pytest.raises(Invalid) as refusal:
        submissions.submit(session, order("j", files={field: BAD}))

    sentence = "this file could not be validated: line 2: “x” in the column a is not a whole number."
    assert refusal.value.fields == {field: f"{field}: {sentence}"}
    assert kept(session, data) == (0, 0)
    submissions.submit(session, order("j", files={field: GOOD}))
    assert kept(session, data) == (1, 2)


def test_it_reads_each_file_by_its_own_validators_only(session: Session, fit: None) -> None:
    make_job(session, "j", [(1, "fit")], validators=("fit_table: csv a:integer", "size 2 B", "fit_table: size 1 kB"))

    submissions.submit(session, order("j", content=b"x\n", files={"fit_table": GOOD}))

    with pytest.raises(Invalid) as refusal:
        submissions.submit(session, order("j", content=b"xyz", files={"fit_table": GOOD}))
    assert list(refusal.value.fields) == ["input_data"]


def test_it_checks_no_file_that_was_not_sent(session: Session, fit: None) -> None:
    make_job(session, "j", [(1, "fit")], validators=("fit_table: csv a:integer",))

    assert submissions.submit(session, order("j"))


def test_it_reads_files_of_the_jobs_in_a_job(session: Session, fit: None) -> None:
    make_job(session, "inner", [(1, "fit")], validators=("fit_table: png",))
    with transaction(session):
        steps = (StepDraft(1, job="inner"),)
        jobs.save(session, JobDraft("outer", steps=steps, public=True, validators=("fit_table: csv a:integer",)), None)

    assert submissions.submit(session, order("outer", files={"fit_table": GOOD}))
    with pytest.raises(Invalid, match="line 2"):
        submissions.submit(session, order("outer", files={"fit_table": BAD}))


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ("fit_tble", "No task of this job takes a file fit_tble: name fit_table, or no file, which is for the input."),
        ("fit_who", "No task of this job takes a file fit_who: name fit_table, or no file, which is for the input."),
        (
            "My fit_table",
            "No task of this job takes a file My fit_table: name fit_table, or no file, which is for the input.",
        ),
    ],
)
def test_a_job_names_a_file_that_its_tasks_take(session: Session, fit: None, field: str, sentence: str) -> None:
    entry = str(validators.Entry("csv", "", field))

    with pytest.raises(Invalid) as refusal:
        make_job(session, "j", [(1, "fit")], validators=("csv", entry))

    assert refusal.value.fields == {"validators-1-file": sentence}


def test_it_knows_a_file_however_its_name_was_typed(session: Session) -> None:
    make_task(session, "\u00e9", "command", "true", parameters=(TABLE,))
    make_job(session, "j", [(1, "\u00e9")], validators=("e\u0301_table: csv a:integer",))

    with pytest.raises(Invalid, match="line 2"):
        submissions.submit(session, order("j", files={"\u00e9_table": BAD}))


def test_a_job_does_not_run_unchecked_when_its_file_is_called_otherwise(session: Session, fit: None) -> None:
    make_job(session, "j", [(1, "fit")], validators=("fit_table: csv",))
    with transaction(session):
        renamed = TaskDraft("fit", "command", "here", "true", parameters=(ParameterDraft("grid", kind=Kind.FILE),))
        tasks.save(session, renamed, None, tasks.named(session, "fit"))
        jobs.save(session, JobDraft("outer", steps=(StepDraft(1, job="j"),), public=True), None)

    sentence = "No task of this job takes a file fit_table: name fit_grid, or no file, which is for the input."
    assert jobs.obstacles(session, jobs.get(session, "j")) == [sentence]
    assert jobs.obstacles(session, jobs.get(session, "outer")) == []
    with pytest.raises(Unavailable, match="fit_grid"):
        submissions.submit(session, order("j", files={"fit_grid": GOOD}))


class Slow:
    """A validator whose reading lasts until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()

    def read(self) -> None:
        self.begun.release()
        assert self.go_on.wait(60)


slow: list[Slow] = []


@pytest.fixture
def reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    (tmp_path / "slow.py").write_text(
        "from tests.services.test_checking import slow\n"
        'LABEL = "Slow"\nHINT = "Anything."\nOPTIONS = ""\n'
        "def check(stream, options):\n    slow[-1].read()\n"
    )
    monkeypatch.setitem(plugins.FOLDERS, "validators", tmp_path)
    monkeypatch.setattr(validators, "__path__", [*validators.__path__, str(tmp_path)])
    plugins.plugins.cache_clear()
    slow.append(Slow())
    yield slow[-1]
    slow.pop().go_on.set()
    plugins.plugins.cache_clear()


def submit_large() -> int:
    with sessionmaker(database.engine())() as own:
        return submissions.submit(own, order("j", content=b"x" * (checking.SMALL + 1))).id


def test_it_checks_few_large_files_at_one_time_and_asks_to_come_again(
    session: Session, data: Path, fit: None, reading: Slow
) -> None:
    make_job(session, "j", [(1, "fit")], validators=("slow",))
    session.rollback()

    with ThreadPoolExecutor(checking.MOST_AT_ONCE) as threads:
        made = [threads.submit(submit_large) for _ in range(checking.MOST_AT_ONCE)]
        try:
            for _ in made:
                assert reading.begun.acquire(timeout=60)
            before = kept(session, data)
            with pytest.raises(Unavailable, match=r"busy checking files: send it again in a minute\."):
                submit_large()
            session.rollback()
            assert kept(session, data) == before == (0, checking.MOST_AT_ONCE)
        finally:
            reading.go_on.set()
        assert all(each.result(60) for each in made)

    assert submit_large()


def test_it_never_refuses_what_is_read_in_a_moment(session: Session, fit: None, taken: None) -> None:
    make_job(session, "j", [(1, "fit")], validators=("csv a:text",))
    make_job(session, "unchecked", [(1, "fit")])

    assert submissions.submit(session, order("j", content=b"a\nx\n"))
    assert submissions.submit(session, order("unchecked", content=b"x" * (checking.SMALL + 1)))


def test_a_refused_file_gives_its_place_back(session: Session, fit: None) -> None:
    make_job(session, "j", [(1, "fit")], validators=("png",))

    for _ in range(checking.MOST_AT_ONCE + 1):
        with pytest.raises(Invalid):
            submissions.submit(session, order("j", content=b"x" * (checking.SMALL + 1)))


@pytest.fixture
def taken() -> Iterator[None]:
    """Every place is taken by somebody else's large file."""
    for _ in range(checking.MOST_AT_ONCE):
        assert checking._places.acquire(blocking=False)
    yield
    for _ in range(checking.MOST_AT_ONCE):
        checking._places.release()
