"""A worker that is told to end: what it minds goes on for the next one, or ends in order, as the setting says."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from subprocess import Popen

import pytest
from sqlalchemy.orm import Session, sessionmaker

from portal import database
from portal.database import transaction
from portal.domain.states import State
from portal.models import Run, Submission
from portal.services import logs, progress
from tests.conftest import forget_settings
from tests.levels import offered
from tests.making import make_job, make_task, submitted
from tests.servers import end, eventually, migrate, process, redis

pytestmark = pytest.mark.real

QUICK = {"PORTAL_BEAT_SECONDS": "0.5", "PORTAL_LEASE_SECONDS": "5", "PORTAL_POLL_SECONDS": "0.5"}
Start = Callable[..., AbstractContextManager[Popen[bytes]]]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Those of a portal of its own, for this process and for workers."""
    with redis() as broker:
        chosen = {"PORTAL_DATA": str(tmp_path / "data"), "BROKER_URL": broker, **QUICK}
        for name, value in chosen.items():
            monkeypatch.setenv(name, value)
        (tmp_path / "data").mkdir()
        migrate(chosen)
        forget_settings()
        yield chosen
        database.engine().dispose()
        forget_settings()


@pytest.fixture
def session(settings: dict[str, str]) -> Iterator[Session]:
    with sessionmaker(database.engine())() as opened:
        yield opened


@pytest.fixture
def start(settings: dict[str, str], tmp_path: Path) -> Start:
    """Starts a worker and waits until it is ready; it is ended with its `with`, if it still runs then."""
    numbers = count()

    @contextmanager
    def started(at_shutdown: str) -> Iterator[Popen[bytes]]:
        celery = [sys.executable, "-m", "celery", "-A", "workers.celery_app", "worker"]
        chosen = {**settings, "PORTAL_AT_SHUTDOWN": at_shutdown}
        log = tmp_path / f"worker-{next(numbers)}.log"
        with process([*celery, "-Q", "chores,every", "-c", "2", "-l", "INFO"], chosen, log) as worker:
            eventually(lambda: " ready." in log.read_text())
            yield worker

    return started


@pytest.fixture
def submission(session: Session, tmp_path: Path) -> Submission:
    """A step that tells when it began, writes, waits to be let go, writes again, and tells that it has ended."""
    code = f"echo began >> {tmp_path}/log; echo one; while [ ! -e {tmp_path}/go ]; do sleep 0.1; done; echo two"
    make_task(session, "t", "command", f"{code}; echo ended >> {tmp_path}/log")
    make_job(session, "job", [(1, "t")])
    return submitted(session, "job")


def told(directory: Path) -> list[str]:
    log = directory / "log"
    return log.read_text().split() if log.exists() else []


def wait_for(session: Session, submission: Submission, *states: State) -> None:
    def reached() -> bool:
        session.rollback()
        session.expire_all()
        return submission.state in states

    eventually(reached)


def test_it_leaves_a_running_step_to_the_next_worker(
    session: Session, start: Start, submission: Submission, tmp_path: Path
) -> None:
    with start("hand over") as first:
        eventually(lambda: told(tmp_path) == ["began"])
        end(first)
        assert first.returncode == 0
    with start("hand over"):
        wait_for(session, submission, State.RUNNING)
        eventually(lambda: _attempt(session, submission) == 2)
        (tmp_path / "go").touch()
        wait_for(session, submission, State.COMPLETE)

    [run] = submission.runs
    assert told(tmp_path) == ["began", "ended"]
    assert (run.lost, len(run.attempts)) == (0, 1)
    assert logs.whole(session, run, "stdout") == b"one\ntwo\n"


@pytest.mark.parametrize("level", offered())
def test_it_hands_a_step_over_however_it_is_confined(
    session: Session, settings: dict[str, str], start: Start, tmp_path: Path, level: int
) -> None:
    settings["PORTAL_LEVEL"] = str(level)
    make_task(session, "t", "command", "echo one; while [ ! -e $TMP/go ]; do sleep 0.1; done; echo two")
    make_job(session, "job", [(1, "t")])
    submission = submitted(session, "job")
    [run] = submission.runs
    with start("hand over") as first:
        eventually(lambda: _written(session, run) == b"one\n")
        end(first)
    with start("hand over"):
        eventually(lambda: _attempt(session, submission) == 2)
        [place] = (tmp_path / "data" / "runs").glob(f"{run.uuid}.*/tmp")
        (place / "go").touch()
        wait_for(session, submission, State.COMPLETE)

    assert _written(session, run) == b"one\ntwo\n"
    assert [each.level for each in run.attempts] == [level]


@pytest.mark.parametrize("level", offered())
def test_it_stops_a_step_however_it_is_confined(
    session: Session, settings: dict[str, str], start: Start, level: int
) -> None:
    settings["PORTAL_LEVEL"] = str(level)
    make_task(session, "t", "command", "trap 'echo tidied; exit 3' TERM; echo one; while :; do sleep 0.05; done")
    make_job(session, "job", [(1, "t")])
    submission = submitted(session, "job")
    [run] = submission.runs
    with start("hand over"):
        eventually(lambda: _written(session, run) == b"one\n")
        with transaction(session):
            progress.stop(session, submission)
        wait_for(session, submission, State.STOPPED)

    assert _written(session, run) == b"one\ntidied\n"


def _written(session: Session, run: Run) -> bytes:
    session.rollback()
    session.expire_all()
    return logs.whole(session, run, "stdout")


def test_it_ends_a_running_step_in_order_and_queues_it_again(
    session: Session, start: Start, submission: Submission, tmp_path: Path
) -> None:
    with start("end") as first:
        eventually(lambda: told(tmp_path) == ["began"])
        end(first)
        assert first.returncode == 0
    wait_for(session, submission, State.RUNNING, State.QUEUED)
    session.expire_all()
    [run] = submission.runs
    assert (run.state, run.lost, run.attempts[0].sentence) == (State.QUEUED, 0, "its worker ended")
    assert not list((tmp_path / "data" / "runs").iterdir())

    (tmp_path / "go").touch()
    with start("end"):
        wait_for(session, submission, State.COMPLETE)
    assert told(tmp_path) == ["began", "began", "ended"]


def test_one_process_that_ends_leaves_the_others_at_work(
    session: Session, start: Start, submission: Submission, tmp_path: Path
) -> None:
    (tmp_path / "go").touch()
    with start("hand over") as worker:
        wait_for(session, submission, State.COMPLETE)
        one = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()[0]
        os.kill(int(one), signal.SIGTERM)
        eventually(lambda: not Path("/proc", one).exists())
        wait_for(session, submitted(session, "job"), State.COMPLETE)


def _attempt(session: Session, submission: Submission) -> int:
    session.rollback()
    session.expire_all()
    return submission.runs[0].attempt
