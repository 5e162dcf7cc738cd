"""One task as a job of its own, submitted and worked through by real launchers and real interpreters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from sqlalchemy.orm import Session

from portal.models import Submission
from portal.services import results
from portal.settings import settings
from tests.making import make_job, make_task, submitted
from tests.servers import eventually
from tests.workers.alike import Told, Twice, left
from workers.languages import usual
from workers.warm import lines


@pytest.fixture(scope="session")
def nursery() -> None:
    """The usual warm interpreters, for the rest of this process."""
    lines.open_nursery()
    for key in usual():
        eventually(lambda key=key: lines.is_open(key))


@pytest.fixture
def level(data: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How far runs are confined, of those levels that a module asks for; and whether they are forks of warm parents."""
    level, _, warm = str(request.param).partition(" ")
    if warm:
        request.getfixturevalue("nursery")
    monkeypatch.setenv("PORTAL_LEVEL", level)
    monkeypatch.setenv("PORTAL_WARM", str(bool(warm)))
    settings.cache_clear()
    return int(level)


@pytest.fixture
def done(session: Session, work: Callable[[], None]) -> Callable[..., Submission]:
    """Makes the task and the job, submits, and works until nothing is due."""

    def run(
        language: str, code: str, content: bytes = b"x\n", values: Any = None, files: Any = None, **more: Any
    ) -> Submission:
        make_task(session, "t", language, code, **more)
        make_job(session, "job", [(1, "t")])
        submission = submitted(session, "job", content, values, files=files)
        work()
        session.expire_all()
        return submission

    return run


@pytest.fixture
def content(session: Session) -> Callable[[Submission, str], bytes]:
    """The bytes of a submission's result of this ending."""

    def read(submission: Submission, ending: str) -> bytes:
        with results.open_file(results.find(session, submission.uuid + ending)) as stream:
            return stream.read()

    return read


@pytest.fixture
def twice(session: Session, work: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> Twice:
    """What a program of a language leaves as a fork of a warm interpreter, and what it does as a fresh start."""

    def run(language: str, code: str, **more: Any) -> tuple[Told, Told]:
        make_task(session, "t", language, dedent(code), **more)
        make_job(session, "job", [(1, "t")])
        warm = left(session, work)
        monkeypatch.setenv("PORTAL_WARM", "false")
        settings.cache_clear()
        return warm, left(session, work)

    return run
