"""What a worker says of itself."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.domain.states import State
from portal.models import Worker
from portal.services import backends, queues
from portal.settings import settings
from tests.making import make_backend, make_job, make_task, submitted
from workers import tasks


def test_it_says_of_each_backend_what_it_cannot_run_and_why(session: Session) -> None:
    make_backend(session)
    make_backend(session, "far", options={"rscript": "/nowhere/Rscript", "python": "/nowhere/python"})

    tasks.report()
    tasks.report()

    session.rollback()
    [told] = session.scalars(select(Worker)).all()
    assert told.obstacles["here"]["python"] is None
    assert told.obstacles["far"]["command"] is None
    assert "/nowhere/Rscript is not installed on this machine" in str(told.obstacles["far"]["r"])
    assert "the interpreter /nowhere/python is not installed" in str(told.obstacles["far"]["python"])


def test_it_begins_nothing_on_a_disk_below_the_floor_and_says_so(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_task(session, "t", "command", "true")
    make_job(session, "j", [(1, "t")])
    submission = submitted(session, "j")
    monkeypatch.setattr(tasks, "queues", lambda: ["here"])
    monkeypatch.setenv("PORTAL_DISK_FLOOR_BYTES", str(10**18))
    settings.cache_clear()

    tasks.work_through()
    tasks.report()

    session.rollback()
    assert submission.runs[0].state is State.QUEUED
    [said] = queues.waits(session, submission).values()
    assert said.startswith("Waits: the worker's machine ")
    assert said.endswith(" has less than 1000 PB of free disk.")
    assert "less than 1000 PB" in str(backends.obstacle(session, make_backend(session), "command"))
