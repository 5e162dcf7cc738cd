"""Probes: before a worker takes its first run, small programs show at which level it really confines them.

Nothing is believed for its version: at each level from the strictest down a program is run and tries what it must not
be able to do; the first level that holds is the worker's. What kept it from a stricter one is told to people.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from portal.settings import settings
from workers.confinement import landlock
from workers.installed import homes
from workers.languages.python import DRIVER
from workers.runners import local
from workers.warm.nursery import Key

STRICTEST, WALLED, LOWEST = 4, 3, 1
WAYS = ((True, " without it"), (False, ""))  # to build walls: by the run itself, or by bubblewrap
STARTED: dict[str, Any] = {"env": {"PATH": os.defpath}, "cwd": "/", "stdin": subprocess.DEVNULL}
TASK = "import runpy, sys\nsys.argv.append({tried!r})\nrunpy.run_path({program!r}, run_name='__main__')\n"
PROGRAM = Path(__file__).with_name("probe.py")
PATIENCE = 20
PREFIX = "probe."
START = "start"  # the probe that comes before all others
MUST_NOT = {
    # what the program tries: from which level on it must fail, and what it means if it did not
    "files": (2, "it could read the portal's own files"),
    "environment": (2, "it could read the worker's environment"),
    "network": (2, "it could reach the network"),
    "calls": (2, "it could use the kernel's keyring"),
    "namespaces": (2, "it could make namespaces of its own"),
    "processes": (2, "it could send signals to the worker"),
    "leftovers": (2, "it left files for others to find"),
    "user": (4, "it ran as the portal's own user"),
}
OLD_LANDLOCK = {"processes": 3}


@dataclass(frozen=True)
class Found:
    """The level, and for each stricter one what failed there: {probe: sentence}.

    `own_walls`: a run builds its walls itself, which a warm parent's fork can; else bubblewrap does.
    """

    level: int
    failed: dict[int, dict[str, str]]
    own_walls: bool = False

    def told(self) -> dict[str, dict[str, str]]:
        return {str(level): failed for level, failed in self.failed.items()}


def found() -> Found:
    return _found(settings().portal_level)


def level() -> int:
    return found().level


@cache
def _found(most: int) -> Found:
    """Once in the life of a process; those that it forks know it, too."""
    failed = {each: {"setting": f"PORTAL_LEVEL is {most}"} for each in range(STRICTEST, most, -1)}
    for each in range(most, LOWEST, -1):
        told: dict[str, str] = {}
        for own_walls, name in WAYS if each >= WALLED else WAYS[-1:]:
            if not (reasons := probe(each, settings().runs_directory, own_walls)):
                return Found(each, failed, own_walls)
            told = {f"{probed}{name}": why for probed, why in reasons.items()} | told
        failed[each] = told
    return Found(LOWEST, failed)


def probe(level: int, directory: Path, own_walls: bool = False, warm: Key | None = None) -> dict[str, str]:
    """What does not hold at this level: {probe: sentence}; nothing where it works. `warm`: of this parent's forks."""
    mark = uuid4().hex
    left = [Path(place, f"portal-probe-{mark}") for place in ("/tmp", "/dev/shm", "/var/tmp")]  # noqa: S108
    try:
        with _space(directory, mark) as space, _listening() as port:
            kept = space.parent / "kept"
            kept.touch(mode=0o600)
            tried = {"file": str(kept), "pid": os.getpid(), "port": port, "left": list(map(str, left))}
            why = _run(level, space, tried, own_walls, warm)
            return {START: why} if why else dict(_holes(level, space, left))
    except (OSError, subprocess.SubprocessError, ValueError) as failure:
        return {START: f"{failure}"}
    finally:
        for each in left:
            each.unlink(missing_ok=True)


def _run(level: int, space: Path, tried: dict[str, Any], own_walls: bool, warm: Key | None) -> str:
    """Why the program could not even be run, if it could not."""
    work = space / "tmp" / "work"
    work.mkdir(parents=True, mode=0o700)
    spec = {
        "argv": _words(space, json.dumps(tried)),
        "environment": {"PATH": os.defpath},
        "work": str(work),
        "measured": str(space / "tmp"),
        "limits": {"wall_seconds": PATIENCE},
        "grace_seconds": 0,
        "patience_seconds": 2 * PATIENCE,
        "confinement": {
            "level": level,
            "own_walls": own_walls,
            "readable": homes(sys.executable),
            "files": [str(each) for each in space.iterdir() if each.is_file()],
        },
    }
    (space / "launch.json").write_text(json.dumps(spec), "utf-8")
    if warm is None:
        launcher = [sys.executable, "-I", "-S", str(local.LAUNCHER), str(space)]
        subprocess.run(launcher, **STARTED, timeout=PATIENCE, check=False)
    elif local.order(warm, space, time.monotonic() + PATIENCE, inside=True):
        local.wait(local.handle(space), PATIENCE)
    return _why(space)


def _words(space: Path, tried: str) -> list[str]:
    """What starts the program, as Python of a task: thus a warm parent's fork runs it in itself."""
    program, driver = (str(shutil.copy(each, space)) for each in (PROGRAM, DRIVER))
    (space / "task.py").write_text(TASK.format(program=program, tried=tried), "utf-8")
    return [sys.executable, "-s", driver]


def _why(space: Path) -> str:
    if not (space / "outcome.json").exists():
        return _last_line(space / "launcher.log") or "its launcher failed"
    outcome = json.loads((space / "outcome.json").read_text("utf-8"))
    if outcome["exit_status"] == 0:
        return ""
    return outcome["detail"] or _last_line(space / "stderr") or "the program failed"


def _last_line(file: Path) -> str:
    text = file.read_text("utf-8", "replace").strip() if file.exists() else ""
    return text.rpartition("\n")[2].partition("Error: ")[2] or text.rpartition("\n")[2]


def _holes(level: int, space: Path, left: list[Path]) -> Iterator[tuple[str, str]]:
    written = space / "tmp" / "work" / "found.json"
    could: dict[str, bool] = json.loads(written.read_text("utf-8"))
    could["leftovers"] = any(each.exists() for each in left)
    could["user"] = written.stat().st_uid == os.geteuid()
    old = OLD_LANDLOCK if landlock.version() < landlock.SCOPED else {}
    for name, (least, sentence) in MUST_NOT.items():
        if could[name] and level >= old.get(name, least):
            yield name, sentence


@contextmanager
def _space(directory: Path, mark: str) -> Iterator[Path]:
    around = directory / f"{PREFIX}{mark}"
    for old in directory.glob(f"{PREFIX}*"):  # of a worker that was killed over it
        if time.time() - old.stat().st_mtime > 2 * PATIENCE:
            shutil.rmtree(old, ignore_errors=True)
    space = around / "space"
    space.mkdir(parents=True, mode=0o700)
    try:
        yield space
    finally:
        shutil.rmtree(around, ignore_errors=True)


@contextmanager
def _listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
