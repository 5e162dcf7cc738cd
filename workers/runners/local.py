"""This machine: each run is minded by a launcher of its own, which outlives the worker that started it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from portal.domain.errors import Lost
from portal.domain.verdict import Outcome
from workers.runners import Handle

LABEL = "This machine"
LAUNCHER = Path(__file__).parents[1] / "launcher.py"
HOST = socket.gethostname()
START_SECONDS = 10.0

_started: dict[str, subprocess.Popen[bytes]] = {}


def unavailable(options: Mapping[str, str]) -> str | None:
    return None if sys.platform == "linux" else "runs on this machine need Linux."


def handle(space: Path) -> Handle:
    return {"host": HOST, "space": str(space)}


def start(handle: Handle) -> None:
    """Start the launcher on the run's directory, with nothing of the portal in its environment."""
    space = handle["space"]
    if (Path(space) / "launched.json").exists():
        return
    _started[space] = subprocess.Popen(
        [sys.executable, "-I", "-S", str(LAUNCHER), space],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.defpath},
        cwd="/",
        start_new_session=True,
    )


def wait(handle: Handle, seconds: float) -> Outcome | None:
    """Whether it lives is asked before its outcome is looked for: between the two it may end."""
    space = Path(handle["space"])
    with _process(space) as process:
        if process is not None:
            _await_end(process, seconds)
            alive = not _ended(process)
        outcome = _outcome(space)
    if outcome is not None:
        _reap(handle["space"])
        return outcome
    if process is not None and alive:
        return None
    _reap(handle["space"])
    raise Lost("its launcher ended without an outcome")


def stop(handle: Handle) -> None:
    with _process(Path(handle["space"])) as process:
        if process is not None:
            signal.pidfd_send_signal(process, signal.SIGTERM)


@contextmanager
def _process(space: Path) -> Iterator[int | None]:
    """A descriptor of the run's launcher while it lives; None when it is gone, or never was."""
    descriptor = _open(space)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _open(space: Path) -> int | None:
    launched = _launched(space)
    if launched is None:
        return None
    try:
        descriptor = os.pidfd_open(launched["pid"])
    except ProcessLookupError:
        return None
    if _start_time(launched["pid"]) == launched["started"] and _boot() == launched["boot"]:
        return descriptor
    os.close(descriptor)
    return None


def _launched(space: Path) -> dict[str, Any] | None:
    """What the launcher wrote of itself; a launcher of ours that has just been started is given time to."""
    deadline = time.monotonic() + START_SECONDS
    child = _started.get(str(space))
    while not (space / "launched.json").exists():
        if child is None or child.poll() is not None or time.monotonic() > deadline:
            return None
        time.sleep(0.002)
    return _json(space / "launched.json")


def _await_end(process: int, seconds: float) -> None:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.poll(seconds * 1000)


def _ended(process: int) -> bool:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(0))


def _outcome(space: Path) -> Outcome | None:
    told = _json(space / "outcome.json")
    if told is None:
        return None
    return Outcome(told["reason"], told["exit_status"], told["signal"], told["detail"], told["usage"])


def _json(file: Path) -> dict[str, Any] | None:
    try:
        told: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return None
    return told


def _reap(space: str) -> None:
    if child := _started.pop(space, None):
        child.wait()


def _start_time(pid: int) -> int | None:
    """Field 22 of /proc/<pid>/stat: clock ticks since the boot; with the boot's id it names a process for ever."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return None


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
