"""Runs on this machine with programs and launchers that behave badly: nothing of them lives beside a next try."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from portal.domain.errors import Lost
from tests.servers import eventually
from workers.runners import Handle, local


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "tmp" / "work").mkdir(parents=True)
    yield tmp_path
    local.end_abandoned(tmp_path)
    local._reap(str(tmp_path))


@pytest.fixture
def described(space: Path) -> Callable[..., Handle]:
    """The handle of a run of this shell code that is not started yet."""

    def describe(code: str, grace: float = 0.2, **limits: Any) -> Handle:
        work = space / "tmp" / "work"
        environment = {"PATH": os.environ["PATH"], "HOME": str(work), "TMPDIR": str(space / "tmp")}
        spec = {"argv": ["sh", "-c", code], "environment": environment, "work": str(work), "limits": limits}
        (space / "launch.json").write_text(json.dumps({**spec, "grace_seconds": grace, "patience_seconds": 600}))
        return local.handle(space)

    return describe


@pytest.fixture
def started(described: Callable[..., Handle]) -> Callable[..., Handle]:
    def start(code: str, **more: Any) -> Handle:
        handle = described(code, **more)
        local.start(handle)
        return handle

    return start


def pid_in(file: Path) -> int:
    eventually(lambda: file.exists() and file.read_text().endswith("\n"), pause=0.01)
    return int(file.read_text())


def launcher_of(space: Path) -> int:
    eventually((space / "launched.json").exists, pause=0.01)
    pid: int = json.loads((space / "launched.json").read_text())["pid"]
    return pid


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


def is_alive(pid: int) -> bool:
    return state(pid) not in ("Z", "gone")


HIDING = "sh -c 'echo $$ > left; {}'"


@pytest.mark.parametrize(
    "hidden",
    [
        "export TMPDIR=$TMPDIR/x; " + HIDING.format("exec sleep 600"),
        "env -u TMPDIR " + HIDING.format("cd /; exec sleep 600"),
        "env -i " + HIDING.format("exec sleep 600"),
        "env -i " + HIDING.format("cd ../..; exec sleep 600 <&- >&- 2>&-"),
        "env -i " + HIDING.format("exec 3> kept; cd /; exec sleep 600"),
    ],
)
def test_it_ends_what_hides_from_a_killed_launcher(started: Callable[..., Handle], space: Path, hidden: str) -> None:
    handle = started(f"({hidden}; true) & wait")
    left = pid_in(space / "tmp" / "work" / "left")
    os.kill(launcher_of(space), signal.SIGKILL)

    with pytest.raises(Lost):
        while local.wait(handle, 10) is None:
            pass

    assert not is_alive(left)


def test_it_never_ends_one_who_only_looks_at_the_files_of_a_run(started: Callable[..., Handle], space: Path) -> None:
    handle = started("echo $$ > main; sleep 600")
    pid_in(space / "tmp" / "work" / "main")
    looking = [sys.executable, "-c", "input()", str(space / "tmp")]
    other = subprocess.Popen(looking, stdin=subprocess.PIPE, cwd=space / "tmp", env={"LOOK": str(space / "x")})
    os.kill(launcher_of(space), signal.SIGKILL)

    with pytest.raises(Lost):
        local.wait(handle, 10)

    other.communicate(b"\n")
    assert other.returncode == 0


def test_it_wakes_a_launcher_that_the_program_froze(started: Callable[..., Handle], space: Path) -> None:
    handle = started("kill -STOP $PPID; echo $$ > main; sleep 600", wall_seconds=0.3)
    pid_in(space / "tmp" / "work" / "main")

    outcome = local.wait(handle, 20)

    assert outcome is not None
    assert outcome.reason == "wall_time"


def test_it_stops_a_run_that_froze_its_launcher(started: Callable[..., Handle], space: Path) -> None:
    started("echo $$ > main; kill -STOP $PPID; sleep 600")
    main = pid_in(space / "tmp" / "work" / "main")
    eventually(lambda: state(launcher_of(space)) == "T", pause=0.01)

    local.stop(local.handle(space))

    eventually(lambda: not is_alive(main), pause=0.05)


def test_it_stops_a_run_that_freezes_its_launcher_for_ever(
    started: Callable[..., Handle], space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "LATE_SECONDS", 0.5)
    freezing = "trap '' TERM; echo $$ > left; while :; do kill -STOP $LAUNCHER; done"
    handle = started(f"export LAUNCHER=$PPID; setsid sh -c {shlex.quote(freezing)} & wait")
    left = pid_in(space / "tmp" / "work" / "left")

    local.stop(handle)
    with suppress(Lost):
        while local.wait(handle, 0.2) is None:
            pass

    assert not is_alive(left)


def test_it_kills_a_launcher_that_heeds_no_stop(
    started: Callable[..., Handle], space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = started("trap '' TERM; echo $$ > left; while :; do sleep 0.05; done", grace=600)
    left, launcher = pid_in(space / "tmp" / "work" / "left"), launcher_of(space)
    monkeypatch.setattr(local, "_grace", lambda _: 0.2)
    monkeypatch.setattr(local, "LATE_SECONDS", 0.5)

    local.stop(handle)
    with pytest.raises(Lost):
        while local.wait(handle, 0.2) is None:
            pass

    assert not is_alive(left)
    assert not is_alive(launcher)


def test_it_ends_a_launcher_that_froze_before_it_said_a_word(
    described: Callable[..., Handle], space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patience in ("START_SECONDS", "REAP_SECONDS"):
        monkeypatch.setattr(local, patience, 0.2)
    handle = described("touch begun; sleep 600")
    local.start(handle)
    launcher = local._started[str(space)]
    launcher.send_signal(signal.SIGSTOP)

    with pytest.raises(Lost):
        local.wait(handle, 0.1)

    assert launcher.returncode == -signal.SIGKILL
    assert not (space / "tmp" / "work" / "begun").exists()


def test_it_takes_a_run_for_running_while_what_is_left_of_it_cannot_be_ended(
    started: Callable[..., Handle], space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that heeds no KILL, as it waits for a disk, cannot be had at will: here nobody sends the signal."""
    handle = started("setsid sh -c 'echo $$ > left; exec sleep 600' & wait")
    left = pid_in(space / "tmp" / "work" / "left")
    os.kill(launcher_of(space), signal.SIGKILL)
    with monkeypatch.context() as deaf:
        deaf.setattr(local, "REST_SECONDS", 0.2)
        deaf.setattr(os, "kill", lambda *_: None)
        assert local.wait(handle, 0.1) is None
        assert is_alive(left)

    with pytest.raises(Lost):
        local.wait(handle, 0.1)

    assert not is_alive(left)


def test_it_starts_nothing_after_its_time(described: Callable[..., Handle], space: Path) -> None:
    handle = described("touch begun")

    with pytest.raises(Lost, match="not started in time"):
        local.start(handle, time.monotonic() - 0.1)

    assert not (space / "launched.json").exists()


def test_it_starts_a_run_in_time(described: Callable[..., Handle]) -> None:
    handle = described("exit 4")

    local.start(handle, time.monotonic() + 20)

    outcome = local.wait(handle, 20)
    assert outcome is not None
    assert outcome.exit_status == 4
