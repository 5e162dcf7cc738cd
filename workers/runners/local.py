"""This machine: each run is minded by a launcher of its own, which outlives the worker that started it.

The launcher is a warm parent's fork where there is one, and a program of its own where there is none.
"""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from portal.domain.errors import Lost
from portal.domain.verdict import Outcome
from portal.settings import settings
from workers.runners import NONE, Handle
from workers.warm import lines, words
from workers.warm.nursery import Key

LABEL = "This machine"
LAUNCHER = Path(__file__).parents[1] / "launcher.py"
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
NAMESPACE = str(Path("/proc/self/ns/pid").readlink())
HOST = f"{socket.gethostname()}/{BOOT}"
START_SECONDS = 10.0
REAP_SECONDS = 5.0
REST_SECONDS = 5.0
LATE_SECONDS = 3.0
END_AGAIN_SECONDS = 0.05
THAW_SECONDS = 0.5  # how long a launcher that the program froze stays so at most, while a worker waits for it

_started: dict[str, subprocess.Popen[bytes]] = {}
_lines: dict[str, socket.socket] = {}  # on which launchers that a warm parent forked tell how their runs ended
_held: dict[str, tuple[Key, socket.socket]] = {}  # of those that are ready, but not let go
_patience: dict[str, float] = {}  # until when a launcher that was told to stop may live


def unavailable(options: Mapping[str, str]) -> str | None:
    return None if sys.platform == "linux" else "runs on this machine need Linux."


def handle(space: Path) -> Handle:
    return {"host": HOST, "space": str(space)}


def start(handle: Handle, until: float | None = None, secrets: Mapping[str, str] = NONE) -> None:
    """Start the launcher on the run's directory, with nothing of the portal in its environment.

    Secrets go through a pipe, which whoever looks at the launcher's files, words or environment does not see.

    After `until`, by the monotonic clock, neither this nor the launcher starts anything. Raises Lost.
    """
    space = handle["space"]
    if _is_let_go(space) or _is_minded(Path(space)):
        return
    if until is not None and time.monotonic() > until:
        raise Lost("it was not started in time")
    if not _is_ordered(Path(space), math.inf if until is None else until, secrets):
        _start_fresh(space, until, secrets)


def make_ready(handle: Handle, until: float) -> None:
    """Have a warm parent's child ready to begin the run at the word of `start`."""
    space = Path(handle["space"])
    for key, inside in _ways(space):
        if line := lines.held(key, space, until, inside):
            _held[str(space)] = key, line
            return


def call_off(handle: Handle) -> None:
    """What was made ready, and not started, is undone."""
    if found := _held.pop(handle["space"], None):
        lines.call_off(found[1])


def _is_let_go(space: str) -> bool:
    found = _held.pop(space, None)
    if found is None or not lines.let_go(*found):
        return False
    _lines[space] = found[1]
    return True


def order(key: Key, space: Path, until: float, inside: bool, secrets: Mapping[str, str] = NONE) -> bool:
    """Whether a child of this warm parent has become the run's launcher, which then tells its end over its line."""
    for over in [each for each, line in _lines.items() if not words.is_held(line.fileno())]:
        _hang_up(over)  # of runs that nobody here waited for any more
    line = lines.ordered(key, space, until, inside, secrets)
    if line:
        _lines[str(space)] = line
    return line is not None


def _is_ordered(space: Path, until: float, secrets: Mapping[str, str]) -> bool:
    """Whether a warm parent has taken it."""
    return any(order(key, space, until, inside, secrets) or _is_minded(space) for key, inside in _ways(space))


def _ways(space: Path) -> Iterable[tuple[Key, bool]]:
    """The warm parents that can take it, and whether its program runs in their forks: the one that it wants, then the
    bare one, which may be as good as that."""
    if not settings().portal_warm:
        return ()
    wanted = tuple((_json(space / "launch.json") or {}).get("warm") or ())
    ways = {wanted: True} if wanted else {}
    ways.setdefault(lines.BARE, wanted[: len(lines.BARE)] == lines.BARE)
    return ways.items()


def _is_minded(space: Path) -> bool:
    return (space / "launched.json").exists()


def _start_fresh(space: str, until: float | None, secrets: Mapping[str, str]) -> None:
    _started[space] = subprocess.Popen(
        [sys.executable, "-I", "-S", str(LAUNCHER), space, *([] if until is None else [str(until)])],
        stdin=subprocess.PIPE if secrets else subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.defpath},
        cwd="/",
        start_new_session=True,
    )
    _tell(_started[space], secrets)


def _tell(launcher: subprocess.Popen[bytes], secrets: Mapping[str, str]) -> None:
    """One that ended before it was told has started nothing."""
    if launcher.stdin is not None:
        with suppress(BrokenPipeError), launcher.stdin as pipe:
            pipe.write(json.dumps(secrets).encode())


def wait(handle: Handle, seconds: float) -> Outcome | None:
    """What the launcher tells, if it is ours and can; else what stands in the directory.

    Whether it lives is asked before its outcome is looked for: between the two it may end.
    """
    space, until = Path(handle["space"]), time.monotonic() + seconds
    if told := _told(str(space), min(seconds, THAW_SECONDS)):
        return told
    seconds = max(0.0, until - time.monotonic())
    with _process(space) as process:
        alive = process is not None and _outlives(space, process, seconds)
        outcome = _outcome(_content(space / "outcome.json"))
    if outcome is not None:
        _reap(handle["space"])
        return outcome
    if alive or not _reap(handle["space"]) or not _end_the_rest(space):
        return None
    raise Lost("its launcher ended without an outcome")


def _told(space: str, seconds: float) -> Outcome | None:
    """What the launcher of a run says over its line within so many seconds. It may say a part only, or nothing."""
    line = _lines.get(space)
    if line is None or not words.can_be_read(line.fileno(), seconds):
        return None
    said = b""
    with suppress(OSError):
        said = line.recv(words.LONGEST)
    _hang_up(space)
    _patience.pop(space, None)
    return _outcome(said)


def _hang_up(space: str) -> None:
    if line := _lines.pop(space, None):
        line.close()


def stop(handle: Handle) -> None:
    space = Path(handle["space"])
    _patience.setdefault(str(space), time.monotonic() + _grace(space) + LATE_SECONDS)
    with _process(space) as process:
        if process is not None:
            _ask_to_stop(space, process)


def end_abandoned(space: Path) -> bool:
    """End what lives of a directory that nobody looks after any more; whether it is sure that nothing of it lives."""
    launched = _json(space / "launched.json")
    if launched is None:
        return True
    if not _is_here(launched):
        return False
    with _process(space) as process:
        if process is not None:
            _ask_to_stop(space, process)
            if not _ends(process, signal.SIGCONT, _grace(space) + LATE_SECONDS):
                _kill(space, process)
    return _reap(str(space)) and _end_the_rest(space)


def _ask_to_stop(space: Path, process: int) -> None:
    """The launcher may mind another run by now: the signal is for the one whose directory says so."""
    with suppress(OSError):  # a disk without room for a name: it is killed in the end
        os.link(space / "launched.json", space / words.STOP)
    _send(process, signal.SIGTERM, signal.SIGCONT)


def _kill(space: Path, process: int) -> bool:
    """A launcher that was asked to stop this run; whether it is gone.

    After that it takes up no other run. Where the run's outcome came first, it may have, and is let live.
    """
    return not _has_ended(space) and _ends(process, signal.SIGKILL, LATE_SECONDS)


def _has_ended(space: Path) -> bool:
    return (space / "outcome.json").exists()


def _outlives(space: Path, process: int, seconds: float) -> bool:
    """Whether a launcher is alive after so long. The program may have frozen it; it is killed when it heeds no stop."""
    _send(process, signal.SIGCONT)
    words.can_be_read(process, seconds)
    if time.monotonic() > _patience.get(str(space), math.inf):
        return not _kill(space, process)
    return not words.can_be_read(process)


def _send(process: int, *numbers: int) -> None:
    with suppress(ProcessLookupError):
        for number in numbers:
            signal.pidfd_send_signal(process, number)


def _ends(process: int, number: int, seconds: float) -> bool:
    """Whether a process that is sent this signal ends within so many seconds."""
    _send(process, number)
    words.can_be_read(process, seconds)
    return words.can_be_read(process)


def _grace(space: Path) -> float:
    """How long the run's launcher lets its processes tidy up."""
    return float((_json(space / "launch.json") or {}).get("grace_seconds", 0))


@contextmanager
def _process(space: Path) -> Iterator[int | None]:
    """A descriptor of the run's launcher while it minds it; None when it is gone, or never was."""
    descriptor = _open(space)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _open(space: Path) -> int | None:
    launched = _launched(space)
    if launched is None or _has_ended(space):
        return None
    try:
        descriptor = os.pidfd_open(launched["pid"])
    except ProcessLookupError:
        return None
    if _start_time(launched["pid"]) == launched["started"] and _is_here(launched):
        return descriptor
    os.close(descriptor)
    return None


def _is_here(launched: Mapping[str, Any]) -> bool:
    """Whether process numbers mean the same here as where the launcher wrote its own: this boot, this container."""
    return (launched["boot"], launched.get("namespace", NAMESPACE)) == (BOOT, NAMESPACE)


def _launched(space: Path) -> dict[str, Any] | None:
    """What the launcher wrote of itself; a launcher of ours that has just been started is given time to."""
    deadline = time.monotonic() + START_SECONDS
    child = _started.get(str(space))
    while not _is_minded(space):
        if child is None or child.poll() is not None or time.monotonic() > deadline:
            return None
        time.sleep(0.002)
    return _json(space / "launched.json")


def _outcome(said: bytes) -> Outcome | None:
    told = _object(said)
    if told is None:
        return None
    return Outcome(told["reason"], told["exit_status"], told["signal"], told["detail"], told["usage"])


def _json(file: Path) -> dict[str, Any] | None:
    """What stands there. A file that the machine's end cut short is of an earlier boot, of which nothing lives."""
    return _object(_content(file))


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        told: dict[str, Any] = json.loads(text)
    except ValueError:
        return None
    return told


def _reap(space: str) -> bool:
    """Bury our own launcher; one that cannot be found by its directory any more is killed first. Whether it is gone."""
    _patience.pop(space, None)
    child = _started.get(space)
    if child is None:
        return True
    if not _is_over(child, REAP_SECONDS):
        child.kill()
        if not _is_over(child, LATE_SECONDS):
            return False
    _started.pop(space, None)
    return True


def _is_over(child: subprocess.Popen[bytes], seconds: float) -> bool:
    with suppress(subprocess.TimeoutExpired):
        child.wait(seconds)
    return child.returncode is not None


def _end_the_rest(space: Path) -> bool:
    """End what a killed launcher left; whether it is sure that nothing of it lives."""
    deadline = time.monotonic() + REST_SECONDS
    while left := _rest(space):
        if time.monotonic() > deadline:
            return False
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(END_AGAIN_SECONDS)
    return True


def _rest(space: Path) -> list[int]:
    """The living processes of a run's directory, but its launcher.

    A program may change its environment and its directory, but neither put off NoNewPrivs nor be older than its
    launcher: thus no worker, nor whoever looks at the files of the run, is taken for it.
    """
    since = (_json(space / "launched.json") or {}).get("started", 0)
    places = (f"{space}/".encode(), f"{space.resolve()}/".encode())
    mine = os.getpid()
    return [pid for pid in _pids() if pid != mine and _is_launched(pid, since) and _is_at(pid, places)]


def _is_launched(pid: int, since: int) -> bool:
    return b"\nNoNewPrivs:\t1" in _read(pid, "status") and (_start_time(pid) or 0) >= since


def _is_at(pid: int, places: tuple[bytes, ...]) -> bool:
    """Whether a process was given one of these places in its environment, or works there, or has a file of it open."""
    environment = _environment(pid)
    return any(place in environment for place in places) or any(link.startswith(places) for link in _links(pid))


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _environment(pid: int) -> bytes:
    return _read(pid, "environ")


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _links(pid: int) -> Iterator[bytes]:
    """Where a process works, and what it has open."""
    links = [Path(f"/proc/{pid}/cwd")]
    with suppress(OSError):
        links += Path(f"/proc/{pid}/fd").iterdir()
    for link in links:
        with suppress(OSError):
            yield os.fsencode(link.readlink()) + b"/"


def _start_time(pid: int) -> int | None:
    """Field 22 of /proc/<pid>/stat: clock ticks since the boot; with the boot's id it names a process for ever."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return None
