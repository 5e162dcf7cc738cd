"""A worker that was started for one form of a queue serves that form, and the portal tells what nobody serves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from portal import database
from portal.domain.states import State
from portal.models import Submission
from portal.services import queues
from portal.settings import settings
from tests.conftest import forget_settings
from tests.making import make_job, make_task, submitted
from tests.servers import eventually, migrate, process, redis

pytestmark = pytest.mark.real


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The settings of a portal of its own, for this process and for a worker."""
    with redis() as broker:
        made = {"PORTAL_DATA": str(tmp_path / "data"), "BROKER_URL": broker, "PORTAL_POLL_SECONDS": "0.5"}
        for name, value in made.items():
            monkeypatch.setenv(name, value)
        (tmp_path / "data").mkdir()
        migrate(made)
        forget_settings()
        yield made
        database.engine().dispose()
        forget_settings()


@pytest.fixture
def session(chosen: dict[str, str]) -> Iterator[Session]:
    with sessionmaker(database.engine())() as opened:
        yield opened


def test_a_worker_serves_the_queues_it_was_started_for(
    session: Session, chosen: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_task(session, "t", "command", "true")
    make_job(session, "job", [(1, "t")])
    plain = submitted(session, "job")
    monkeypatch.setenv("PORTAL_DEFAULT_JOB_PRIORITY", "0")
    settings.cache_clear()
    low = [submitted(session, "job") for _ in range(3)]
    worker = [sys.executable, "-m", "celery", "-A", "workers.celery_app", "worker", "-Q", "low_here", "-c", "2"]

    def ended(submission: Submission) -> bool:
        session.rollback()
        return submission.state is State.COMPLETE

    with process(worker, chosen, tmp_path / "log"):
        eventually(lambda: all(map(ended, low)))

        session.rollback()
        assert plain.state is State.QUEUED
        assert {each.name: bool(each.hosts) for each in queues.every(session)} == {
            "high_here": False,
            "here": False,
            "low_here": True,
        }
        assert "Waits for a worker of the queue here" in queues.waits(session, plain)[plain.runs[0].uuid]
