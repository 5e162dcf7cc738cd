"""Launchers that are held: all is ready, and nothing begins, before their worker lets them go."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from portal import queue
from portal.database import transaction
from portal.services import progress
from tests.levels import offered
from tests.making import make_job, make_task, submitted
from tests.servers import eventually
from workers.runners import local
from workers.warm import words
from workers.workspace import Workspace

FAR = float("inf")
pytestmark = pytest.mark.parametrize("level", [f"{level} warm" for level in offered()], indirect=True)


@pytest.fixture
def ready(level: int, session: Session, tmp_path: Path) -> Iterator[Callable[..., Workspace]]:
    """A run of this code, all of which is ready but its beginning."""
    spaces = []

    def make_ready(language: str, code: str, until: float = FAR) -> Workspace:
        make_task(session, "t", language, code)
        make_job(session, "job", [(1, "t")])
        submitted(session, "job")
        with transaction(session):
            claim = progress.claim(session, [queue.EVERY], "test", local.HOST)
        assert claim is not None
        workspace = Workspace.of(claim)
        workspace.prepare(workspace.sources(session))
        spaces.append(workspace.space)
        eventually(lambda: is_held(workspace, until), pause=0)
        return workspace

    yield make_ready
    for space in spaces:
        local.call_off(local.handle(space))
        local.end_abandoned(space)


def is_held(workspace: Workspace, until: float) -> bool:
    """A launcher that was made for runs of another level says that it is none for this one."""
    local.make_ready(local.handle(workspace.space), until)
    _, line = local._held[str(workspace.space)]
    if line.recv(1, socket.MSG_PEEK) == words.MINDED:
        return True
    local.call_off(local.handle(workspace.space))
    return False


def outcome_of(workspace: Workspace) -> Any:
    return local.wait(local.handle(workspace.space), 20)


def launcher_of(workspace: Workspace) -> int:
    pid: int = json.loads((workspace.space / "launched.json").read_text())["pid"]
    return pid


CODE = pytest.mark.parametrize(
    ("language", "code"),
    [("command", "touch begun; exit 4"), ("python", "import sys\nopen('begun', 'w')\nsys.exit(4)")],
)


@CODE
def test_one_that_is_let_go_begins_its_run(ready: Callable[..., Workspace], language: str, code: str) -> None:
    workspace = ready(language, code)
    assert not (workspace.directory / "begun").exists()

    local.start(local.handle(workspace.space))

    outcome = outcome_of(workspace)
    assert (outcome.reason, outcome.exit_status) == ("exited", 4)
    assert (workspace.directory / "begun").exists()
    assert outcome.usage["wall_seconds"] < 20


@CODE
def test_one_that_is_called_off_leaves_the_run_to_whoever_comes_next(
    ready: Callable[..., Workspace], language: str, code: str
) -> None:
    workspace = ready(language, code)
    launcher = launcher_of(workspace)
    handle = local.handle(workspace.space)

    local.call_off(handle)

    eventually(lambda: not (workspace.space / "launched.json").exists(), pause=0.01)
    eventually(lambda: not Path(f"/proc/{launcher}").exists(), pause=0.01)
    assert not (workspace.directory / "begun").exists()
    local.start(handle)
    assert outcome_of(workspace).exit_status == 4


def test_one_whose_worker_dies_begins_nothing(ready: Callable[..., Workspace]) -> None:
    """The kernel closes what a process had open."""
    workspace = ready("command", "touch begun")
    launcher = launcher_of(workspace)

    _, line = local._held.pop(str(workspace.space))
    os.close(line.detach())

    eventually(lambda: not Path(f"/proc/{launcher}").exists(), pause=0.01)
    assert sorted(each.name for each in workspace.space.iterdir()) == ["launch.json", "task.sh", "tmp"]
    assert not (workspace.directory / "begun").exists()


def test_one_that_is_let_go_too_late_begins_nothing(ready: Callable[..., Workspace]) -> None:
    workspace = ready("command", "touch begun", until=0)
    launcher = launcher_of(workspace)

    local.start(local.handle(workspace.space))

    eventually(lambda: not Path(f"/proc/{launcher}").exists(), pause=0.01)
    assert not (workspace.directory / "begun").exists()
    assert "it was not started in time" in (workspace.space / "launcher.log").read_text()


def test_what_waits_in_one_that_is_killed_ends_with_it(ready: Callable[..., Workspace]) -> None:
    workspace = ready("command", "touch begun")
    launcher = launcher_of(workspace)
    eventually(lambda: children_of(launcher), pause=0.01)
    waiting = children_of(launcher)

    os.kill(launcher, signal.SIGKILL)

    eventually(lambda: not any(Path(f"/proc/{each}").exists() for each in waiting), pause=0.01)
    assert not (workspace.directory / "begun").exists()


def children_of(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()
