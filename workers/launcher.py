"""The launcher: a small process of its own that minds one local run.

It is a program, `launcher.py <directory> [<until>]`, or a warm parent's fork. It knows no database, no broker and no
secret but those of its run, which a pipe brings it, as a JSON object by variable, for the environment of what it
starts. It outlives the worker that started it: how the run ended stands in its directory, put there by one rename when
nothing of the run is alive any more. A failure of the launcher itself leaves no outcome, so that it never becomes the
user's verdict. After `until`, by the monotonic clock, it starts nothing any more. Its imports are few and light.

SIGTERM stops the run if that has been asked for in its directory, too: the signal may have been meant for a run that
this launcher had before.
"""

# pathlib, like typing and dataclasses, would cost half as much again as all the rest to start.
# ruff: noqa: PTH100, PTH101, PTH104, PTH108, PTH109, PTH110, PTH115, PTH116, PTH120, PTH121, PTH123, PTH208
from __future__ import annotations

import errno
import json
import math
import os
import resource
import select
import signal
import stat
import sys
import time
from enum import StrEnum
from functools import cache

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from workers.confinement import cages, landlock, seccomp
from workers.confinement.kernel import (
    PR_SET_CHILD_SUBREAPER,
    be_deaf,
    close_all_but,
    hear_again,
    last_capability,
    prctl,
)
from workers.confinement.pair import Pair
from workers.confinement.program import GO, Program, encoded
from workers.confinement.twin import OfTwin
from workers.warm import environ, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from io import BufferedWriter
    from os import _ScandirIterator as ScandirIterator  # the name that the type has
    from typing import Any

    from workers.confinement.spawn import Spawn
    from workers.confinement.twin import Twin

    Apart = tuple[int | None, ...]  # the twin, and the first process behind its walls
    Become = Callable[[], None]
    Ready = Pair | Spawn
    Make = Callable[[dict[str, Any]], Ready]

TICK = 1.0  # the longest time between two looks at beat and deadline
SHORT = 0.02  # a run that takes no longer shall have the machine's processors for itself
WALK = 0.1  # the shortest time between two looks at the disk, which may be written to faster than anything else
LOOK = 0.25  # the shortest time between two looks at what the processes use
KILL_AGAIN = 0.02
WALL_ENDS = 0.02  # what walls need to go when the program has ended and left nothing behind
CHUNK = 65536
DRAIN_READS = 64  # a pipe holds no more, so that nobody outside the run can keep us reading
CPU_LATER = 1  # seconds of processor time that one process may go on, should nobody have looked in time
CPU_MARGIN = 5  # seconds between the signal that can be caught and the one that cannot
CPU_CLOCK = 2  # of all threads of a process, in the number of its clock
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
ROOM = b"room"  # what the parent is told
NEVER_BEGAN = 127
BLOCK = 1024  # bytes


class Reason(StrEnum):
    EXITED = "exited"
    SIGNALLED = "signalled"
    WALL_TIME = "wall_time"
    CPU_TIME = "cpu_time"
    MEMORY = "memory"
    OUTPUT_LIMIT = "output_limit"
    FILES_LIMIT = "files_limit"
    LOG_LIMIT = "log_limit"
    STOPPED = "stopped"
    ABANDONED = "abandoned"
    CANNOT_START = "cannot_start"


# A grace would let it take still more, or meet the next attempt.
AT_ONCE = (Reason.ABANDONED, Reason.MEMORY, Reason.OUTPUT_LIMIT, Reason.FILES_LIMIT)
SENTENCES = {
    Reason.EXITED: "",
    Reason.WALL_TIME: "The run was ended because it reached its time limit of {} s (it had run for {:.1f} s).",
    Reason.CPU_TIME: "The run was ended because it reached its limit of {} s of processor time (it had used {:.1f} s).",
    Reason.MEMORY: "The run was ended because it reached its memory limit of {}: it had taken {}.",
    Reason.OUTPUT_LIMIT: "The run was ended because its files reached their limit of {}: together they had {}.",
    Reason.FILES_LIMIT: "The run was ended because it reached its limit of {} files and folders: there were {}.",
    Reason.LOG_LIMIT: "The run was ended because its {} reached the log limit of {}: it had written {}.",
    Reason.STOPPED: "The run was stopped on request.",
    Reason.ABANDONED: "The run was ended because no worker had looked after it for {} s.",
}
TOO_DEEP = "The run was ended because its folders lie deeper than can be looked into."
ONE_FILE = "The run was ended because one file of it, or block of shared memory, went beyond its output limit of {}."


class TooDeep(Exception):
    """A folder's whole name is longer than the kernel takes."""


class NotMade(Exception):
    """A launcher is none for such a run; another one is."""


class Limits:
    """How far a run may go; None is no limit."""

    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    output_bytes: int | None = None
    files: int | None = None
    log_bytes: int | None = None

    def __init__(self, **given: Any) -> None:
        if unknown := given.keys() - Limits.__annotations__.keys():
            raise ValueError(f"launch.json names limits that do not exist: {sorted(unknown)}")
        vars(self).update(given)


class Spec:
    """What launch.json asks for, and what lies there before; words of the user are bytes, whatever the locale."""

    def __init__(self, given: dict[str, Any], inside: bool) -> None:
        measured = given.get("measured", given["work"])
        self.measured = encoded(measured)
        self.given = list(file_lengths(self.measured))  # inputs are not the run's own
        self.device = os.stat(".").st_dev
        self.stdout_file: str | None = given.get("stdout_file")
        self.limits = Limits(**given["limits"])
        self.grace_seconds: float = given["grace_seconds"]
        self.patience_seconds: float = given["patience_seconds"]
        confinement = given.get("confinement", {})
        self.common = cages.common(confinement)
        self.own = cages.own(confinement, measured, self.limits.memory_bytes)
        program = {name: given[name] for name in ("argv", "environment", "work")}
        program["resources"] = resources(self.limits, self.given, given.get("address_space"))
        self.order = {"program": program, "own": self.own, "inside": inside, "space": os.getcwd()}


class Capture:
    """One stream of the process, kept in a file up to a cap; what comes after it is read and thrown away."""

    def __init__(self, reading: int, file: str, cap: int | None, mark: str = "") -> None:
        self.reading = reading
        os.set_blocking(self.reading, False)
        self.name = file
        self.file: BufferedWriter | None = None
        self.cap = sys.maxsize if cap is None else cap
        self.mark = mark
        self.seen = 0
        self.cut = False
        self.failure: OSError | None = None

    def drain(self) -> bool:
        """Keep what is there now; False when there is nothing."""
        try:
            data = os.read(self.reading, CHUNK)
        except BlockingIOError:
            return False
        if data:
            self.keep(data)
        return bool(data)

    def keep(self, data: bytes) -> None:
        """A failure is kept for later, when nothing of the run is alive; all further data is thrown away."""
        try:
            if self.failure is None:
                self.write(data)
        except OSError as failure:
            self.failure = failure

    def write(self, data: bytes) -> None:
        file = self.opened()
        file.write(data[: max(0, self.cap - self.seen)])
        self.seen += len(data)
        if self.seen > self.cap and not self.cut:
            self.cut = True
            file.write(self.mark.encode())
        file.flush()

    def opened(self) -> BufferedWriter:
        """Made when there is something to keep, as to make a file costs more than all else of most runs."""
        if self.file is None:
            self.file = open(self.name, "wb")  # noqa: SIM115 - open as long as the launcher lives
        return self.file

    def close(self) -> None:
        os.close(self.reading)
        if self.file is not None:
            self.file.close()


def log_of(reading: int, stream: str, cap: int | None) -> Capture:
    return Capture(reading, stream, cap, f"\n[log cut: more than {cap} bytes]\n")


class Beat:
    """The worker's sign of life: a file whose every change counts, and which may say how long to wait for the next."""

    def __init__(self, patience: float) -> None:
        self.usual = self.patience = patience
        self.mark: tuple[int, ...] | None = None
        self.changed = time.monotonic()

    def is_missed(self, now: float) -> bool:
        """No time of the file is compared with a clock, so that no jump of the clock ends a run."""
        if (mark := beat_mark()) != self.mark:
            self.mark, self.changed = mark, now
            self.patience = told_patience() or self.usual
        return now - self.changed > self.patience


class Gauge:
    """What all processes of a run use together: the living are looked at, the kernel keeps account of the dead.

    `apart`: who minds them, and is none of the run. `before`: seconds of processor time that they had taken when it was
    not the run's yet. `told`: seconds that the twin knows of.
    """

    def __init__(self, apart: Apart, waiting: float) -> None:
        self.apart = apart
        self.told = 0.0
        self.before = self.cpu_of_dead() + waiting
        self.cpu_seconds = 0.0
        self.memory_bytes = 0
        self.next_look = time.monotonic() + LOOK
        self.doubtful = 2 * resident_memory(process_fields("self"))

    def cpu_of_dead(self) -> float:
        """Seconds of those that this launcher has buried, or that one has with whom its programs live."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        buried = (cpu_of_buried(fields) for fields in fields_of(map(str, filter(None, self.apart[1:]))).values())
        return used.ru_utime + used.ru_stime + self.told + sum(buried)

    def look(self, wall: int | None) -> None:
        begun = time.monotonic()
        found = fields_of(family(self.apart))
        living = {pid: fields for pid, fields in found.items() if not is_wall(pid, fields, wall)}
        buried = sum(cpu_of_buried(fields) for pid, fields in found.items() if pid not in living)
        alive = sum(cpu_of(fields) for fields in living.values())
        self.hear(self.cpu_of_dead() + buried + alive - self.before)
        self.memory_bytes = max(self.memory_bytes, memory_of(living, self.memory_bytes))
        self.next_look = begun + max(LOOK, 20 * (time.monotonic() - begun))

    def hear(self, cpu_seconds: float, memory_bytes: int = 0) -> None:
        """Who counts in another way may know of more."""
        self.cpu_seconds = max(self.cpu_seconds, cpu_seconds)
        self.memory_bytes = max(self.memory_bytes, memory_bytes)

    def close(self, largest_dead: int) -> None:
        """When nothing lives any more. Before it was the user's program, each child was as large as its launcher."""
        self.hear(self.cpu_of_dead() - self.before, largest_dead if largest_dead > self.doubtful else 0)


class Minded:
    """The user's process with all its descendants, from the start until none of them is alive."""

    def __init__(self, spec: Spec, pair: Ready) -> None:
        self.spec, self.limits, self.pair = spec, spec.limits, pair
        self.cage = pair.cage
        self.wall = pair.main if self.cage.reading is not None else None
        self.apart = (pair.twin.pid, pair.twin.first) if pair.twin else ()
        self.cage.hold(pair.main)
        self.reason: Reason | None = None
        self.detail = ""
        self.code: int | None = None
        self.alone = False
        self.is_heard = pair.telling is None
        self.largest_dead = 0
        self.stop_asked = False
        self.beat, self.gauge = Beat(spec.patience_seconds), Gauge(self.apart, self.cpu_of_waiting())
        self.stdout = self.capture_of_stdout()
        self.stderr = log_of(pair.stderr[0], "stderr", spec.limits.log_bytes)
        self.captures = {capture.reading: capture for capture in (self.stdout, self.stderr)}
        self.waking, self.waked = os.pipe()
        self.wake_by_signals()
        self.poll = select.poll()
        self.starting = pair.telling if self.cage.walled else None  # of others it is enough to hear at their end
        self.ending = pair.twin.way.fileno() if pair.twin else None
        for readable in (self.waking, self.starting, self.ending, *self.captures):
            if readable is not None:
                self.poll.register(readable, select.POLLIN)

    def cpu_of_waiting(self) -> float:
        """Seconds that the program to be has taken already, if there is one."""
        return cpu_time(self.pair.main) if self.pair.main else 0.0

    def capture_of_stdout(self) -> Capture:
        """A standard output that is a result goes to its own file; it counts as output then, not as log."""
        if self.spec.stdout_file:
            result = Capture(self.pair.stdout[0], self.spec.stdout_file, self.limits.output_bytes)
            result.opened()
            return result
        return log_of(self.pair.stdout[0], "stdout", self.limits.log_bytes)

    def wake_by_signals(self) -> None:
        os.set_blocking(self.waked, False)
        signal.set_wakeup_fd(self.waked, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self.ask_stop)
        for ignored in (signal.SIGINT, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)

    def ask_stop(self, *_: object) -> None:
        self.stop_asked = os.path.exists(words.STOP)

    def run(self, lasting: Callable[[], None]) -> dict[str, object]:
        """How it ended, when nothing of it lives any more. Before that, if it is no short one, that it is `lasting`."""
        try:
            self.watch(self.started + SHORT)
            if self.goes_on():
                lasting()
            self.watch()
        finally:
            self.end_all()
        self.hear_start()
        self.drain_rest()
        self.check_kept()
        self.gauge.hear(self.cage.cpu_seconds(), self.cage.took_all_memory() or 0)
        self.cage.close()
        if self.code is None:
            raise RuntimeError("the process was never seen to end")
        self.judge(self.code)
        return self.outcome(self.code)

    def start(self) -> None:
        """What cannot begin has ended."""
        self.started_at, self.started = time.time(), time.monotonic()
        self.deadline = self.started + (self.limits.wall_seconds or math.inf)
        self.next_walk = self.started + WALK
        if problem := self.pair.let_begin():
            self.end_for(Reason.CANNOT_START, problem)
            self.code = NEVER_BEGAN
        hear_again()

    def hear_start(self) -> None:
        """Why the program could not be started, if so. The end of what is told says that it runs, or never will."""
        if self.is_heard or self.pair.telling is None:
            return
        self.is_heard = True
        problem = rest(self.pair.telling).decode()
        if problem.startswith(cages.UNCONFINED):
            raise RuntimeError(f"the run cannot be confined: {problem.removeprefix(cages.UNCONFINED)}")
        if problem:
            self.end_for(Reason.CANNOT_START, problem)
        if not self.cage.has_started():
            self.drain_rest()
            raise RuntimeError(f"the run cannot be confined: {last_line('stderr')}")
        if self.cage.reading is not None:
            self.poll.register(self.cage.reading, select.POLLIN)

    def end_for(self, reason: Reason, detail: str) -> None:
        """The first reason stands."""
        if self.reason is None:
            self.reason, self.detail = reason, detail

    def goes_on(self) -> bool:
        return self.reason is None and self.code is None

    def watch(self, until: float = math.inf) -> None:
        while self.goes_on() and (now := time.monotonic()) < until:
            self.listen(min(TICK, min(until, self.deadline, self.gauge.next_look, self.next_walk) - now))
            if self.stop_asked:
                self.end_for(Reason.STOPPED, SENTENCES[Reason.STOPPED])
            self.reap()
            if self.goes_on():
                self.check(time.monotonic())

    def listen(self, seconds: float) -> None:
        """Wait for output, a signal, or so many seconds."""
        for descriptor, event in self.poll.poll(max(0, math.ceil(seconds * 1000))):
            if descriptor == self.waking:
                os.read(self.waking, CHUNK)
            elif descriptor == self.starting:
                self.poll.unregister(descriptor)
                self.hear_start()
            elif self.pair.twin and descriptor == self.ending:
                self.hear_twin(self.pair.twin)
            elif self.pair.twin and descriptor == self.pair.twin.alone:
                self.hear_first(self.pair.twin)
            elif descriptor == self.cage.reading:
                self.hear(descriptor, bool(event & select.POLLHUP))
            else:
                self.captures[descriptor].drain()

    def hear(self, descriptor: int, over: bool) -> None:
        """The wall's word on how the program ended; it comes once, or never."""
        self.code = self.cage.hear() if self.code is None else self.code
        if over or self.code is not None:
            self.poll.unregister(descriptor)

    def hear_twin(self, twin: Twin) -> None:
        """The program has ended, and left its children to us."""
        ended = twin.told()
        self.poll.unregister(twin.way)
        self.code = self.cage.code(ended.status)
        self.gauge.told = ended.cpu_seconds
        self.largest_dead = max(self.largest_dead, ended.memory_bytes)

    def hear_first(self, twin: Twin) -> None:
        """What the program left may be gone."""
        if not twin.hear_first():
            self.poll.unregister(twin.alone)

    def reap(self) -> None:
        """Bury the dead. Orphans become our children, so without a child there is no descendant either."""
        if self.alone:
            return
        try:
            while (found := os.wait4(-1, os.WNOHANG))[0]:
                self.largest_dead = max(self.largest_dead, found[2].ru_maxrss * 1024)
                if found[0] == self.pair.main and self.code is None:
                    self.code = self.cage.code(found[1])
        except ChildProcessError:
            self.alone = True
        if self.apart and self.code is not None:
            self.alone = not family(self.apart)

    def check(self, now: float) -> None:
        if now >= self.deadline:
            self.end_for(Reason.WALL_TIME, exceeded(Reason.WALL_TIME, self.limits.wall_seconds, now - self.started))
        if self.beat.is_missed(now):
            self.end_for(Reason.ABANDONED, SENTENCES[Reason.ABANDONED].format(self.beat.patience))
        if now >= self.gauge.next_look:
            self.gauge.look(self.wall)
            self.gauge.hear(self.cage.cpu_seconds())
            self.check_use()
        self.check_streams()
        self.check_kept()
        if self.reason is None and now >= self.next_walk:
            self.check_files()

    def check_use(self) -> None:
        cpu, memory = self.limits.cpu_seconds, self.limits.memory_bytes
        if cpu is not None and self.gauge.cpu_seconds > cpu:
            self.end_for(Reason.CPU_TIME, exceeded(Reason.CPU_TIME, cpu, self.gauge.cpu_seconds))
        if memory is not None and self.gauge.memory_bytes > memory:
            self.end_for(Reason.MEMORY, exceeded(Reason.MEMORY, *apart(memory, self.gauge.memory_bytes)))

    def check_streams(self) -> None:
        for name, capture in (("standard output", self.stdout), ("standard error", self.stderr)):
            if capture.cut and capture.mark:
                words = (name, *apart(capture.cap, capture.seen))
                self.end_for(Reason.LOG_LIMIT, exceeded(Reason.LOG_LIMIT, *words))
            elif capture.cut:
                self.end_for(Reason.OUTPUT_LIMIT, exceeded(Reason.OUTPUT_LIMIT, *apart(capture.cap, capture.seen)))

    def check_kept(self) -> None:
        """A log that could not be written is the machinery's failure."""
        for capture in (self.stdout, self.stderr):
            if capture.failure is not None:
                raise capture.failure

    def check_files(self) -> None:
        most_bytes, most_files = self.limits.output_bytes, self.limits.files
        begun = time.monotonic()
        try:
            count, total = (0, 0) if most_bytes is most_files is None else self.added()
        except TooDeep:
            self.end_for(Reason.FILES_LIMIT, TOO_DEEP)
            return
        self.next_walk = begun + max(WALK, 10 * (time.monotonic() - begun))
        if most_bytes is not None and total > most_bytes:
            self.end_for(Reason.OUTPUT_LIMIT, exceeded(Reason.OUTPUT_LIMIT, *apart(most_bytes, total)))
        if most_files is not None and count > most_files:
            self.end_for(Reason.FILES_LIMIT, exceeded(Reason.FILES_LIMIT, most_files, count))

    def added(self) -> tuple[int, int]:
        """By how many files and folders, and bytes, there is more than there was."""
        count, total = measure(self.spec.measured)
        kept = [] if self.alone else deleted_lengths(self.spec.device, self.apart)
        return count + len(kept) - len(self.spec.given), total + sum(kept) - sum(self.spec.given)

    def end_all(self) -> None:
        """TERM, grace, KILL; no return while anything is alive, for the next attempt must never meet this one."""
        self.reap()
        if self.wall and self.code is not None:
            self.wait_until_alone(WALL_ENDS)
        if not self.alone and self.pair.twin and self.cage.walled:
            self.poll.register(self.pair.twin.alone, select.POLLIN)
        if not self.alone and self.reason not in AT_ONCE:
            signal_descendants((self.wall, *self.apart), signal.SIGTERM, signal.SIGCONT)
            self.wait_until_alone(self.spec.grace_seconds)
        while not self.alone:
            if self.pair.twin:
                self.pair.twin.is_spent = self.cage.walled
            signal_descendants(self.apart[:1], signal.SIGKILL)
            self.listen(KILL_AGAIN)
            self.reap()

    def wait_until_alone(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while not self.alone and (left := ends - time.monotonic()) > 0:
            self.listen(left)
            self.reap()

    def drain_rest(self) -> None:
        for capture in self.captures.values():
            for _ in range(DRAIN_READS):
                if not capture.drain():
                    break

    def judge(self, code: int) -> None:
        """A limit that was met between two looks counts before the way in which the process ended."""
        self.gauge.close(self.largest_dead)
        if self.reason is not None:
            return
        ended_by = -code if code < 0 else code - 128  # a shell says 128 + signal of the program it ran
        self.check_use()
        self.check_streams()
        if code >= 0 or ended_by == signal.SIGXFSZ:
            self.check_files()
        if ended_by == signal.SIGXFSZ and self.limits.output_bytes is not None:
            self.end_for(Reason.OUTPUT_LIMIT, ONE_FILE.format(size(self.limits.output_bytes)))
        if code < 0:
            self.end_for(Reason.SIGNALLED, signal_sentence(-code))
        self.end_for(Reason.EXITED, "")

    def call_off(self) -> None:
        """It was never to begin: whoever comes to this directory finds that nobody minds it."""
        if os.path.exists("launched.json"):  # else it is gone with all the directory
            os.unlink("launched.json")
        self.pair.dismiss()

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        for each in (self.waking, self.waked, self.pair.stdout[1], self.pair.stderr[1]):
            os.close(each)
        for capture in self.captures.values():
            capture.close()
        self.cage.let_go()

    def outcome(self, code: int) -> dict[str, object]:
        began = self.reason is not Reason.CANNOT_START
        return {
            "reason": self.reason,
            "exit_status": code if began and code >= 0 else None,
            "signal": -code if began and code < 0 else None,
            "detail": self.detail,
            "started_at": self.started_at,
            "ended_at": time.time(),
            "usage": self.usage(),
            "stdout_bytes": self.stdout.seen,
            "stderr_bytes": self.stderr.seen,
            "stdout_cut": self.stdout.cut,
            "stderr_cut": self.stderr.cut,
        }

    def usage(self) -> dict[str, float]:
        return {
            "wall_seconds": time.monotonic() - self.started,
            "cpu_seconds": self.gauge.cpu_seconds,
            "max_memory_bytes": max(self.gauge.memory_bytes, self.largest_dead),
        }


def resources(limits: Limits, given: list[int], address_space: int | None) -> list[tuple[int, int, int]]:
    """Backstops for one process beside the usual: which, how much, and how much more at the very most.

    A file that met its own lies beyond what all files may have, and is seen as such, whether it is new or was the
    largest of those given.
    """
    bounds = []
    if limits.cpu_seconds is not None:
        bounds.append((resource.RLIMIT_CPU, math.ceil(limits.cpu_seconds) + CPU_LATER, CPU_MARGIN))
    if limits.output_bytes is not None:
        bounds.append((resource.RLIMIT_FSIZE, rounded_up(max(given, default=0) + limits.output_bytes + 1), 0))
    if address_space is not None:
        bounds.append((resource.RLIMIT_AS, rounded_up(address_space), 0))
    return bounds


def rounded_up(count: int) -> int:
    """To what a shell can say."""
    return -(-count // BLOCK) * BLOCK


def signal_sentence(number: int) -> str:
    sentence = f"The process was ended by signal {number} ({signal.strsignal(number)})."
    return sentence + " Often the machine ran out of memory." if number == signal.SIGKILL else sentence


def last_line(file: str) -> str:
    if not os.path.exists(file):
        return ""
    with open(file, encoding="utf-8", errors="replace") as stream:
        return stream.read(2000).strip().rpartition("\n")[2]


def exceeded(reason: Reason, *words: object) -> str:
    return SENTENCES[reason].format(*words)


def size(count: int, digits: int = 1) -> str:
    """For people: 2.0 GB."""
    if count < 1000:
        return f"{count} bytes"
    power = min((len(str(count)) - 1) // 3, 5)
    return f"{count / 1000**power:.{digits}f} {' kMGTP'[power]}B"


def apart(limit: int, used: int) -> tuple[str, str]:
    """Both for people, with as many digits as tell them apart: 3.000 MB, 3.001 MB."""
    pairs = ((size(limit, digits), size(used, digits)) for digits in range(1, 16))
    return next((pair for pair in pairs if pair[0] != pair[1]), (size(limit), size(used)))


def beat_mark() -> tuple[int, ...] | None:
    try:
        found = os.stat("beat")
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def told_patience() -> float | None:
    try:
        told = float(content("beat"))
    except (OSError, ValueError):
        return None
    return told if 0 < told < math.inf else None


def fields_of(pids: Iterable[str]) -> dict[str, list[str]]:
    """The fields of each, by its number. One that comes or goes meanwhile may be missed, until next time."""
    found = {}
    for pid in pids:
        try:
            found[pid] = process_fields(pid)
        except OSError:
            continue
    return found


def family(apart: Apart) -> list[str]:
    """All descendants, parents before children, but for those that are none of the run. To look at all processes of the
    machine costs too much so often, where we need not."""
    if knows_children():
        found = children_of("self")
        for pid in found:
            found.extend(children_of(pid))
    else:
        found = [str(pid) for pid in descendants(os.getpid())]
    return [pid for pid in found if int(pid) not in apart]


@cache
def knows_children() -> bool:
    """Whether this kernel tells of each process what children it has."""
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def children_of(pid: str) -> list[str]:
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            found.extend(content(f"/proc/{pid}/task/{thread}/children").decode("ascii").split())
    except OSError:
        return found
    return found


def is_wall(pid: str, fields: list[str], wall: int | None) -> bool:
    """Whether it is what confines the program, or the first process inside, and thus not the program's."""
    return wall is not None and wall in (int(pid), int(fields[1]))


def cpu_of(fields: list[str]) -> float:
    """Seconds of a process and of those children that it has buried itself."""
    return sum(map(int, fields[11:15])) / CLOCK_TICKS


def cpu_time(pid: int) -> float:
    """Seconds of a process alone, to a hair; nothing is known of one that has just died."""
    try:
        return time.clock_gettime((~pid << 3) | CPU_CLOCK)
    except OSError:
        return 0.0


def cpu_of_buried(fields: list[str]) -> float:
    """Seconds of those children alone."""
    return sum(map(int, fields[13:15])) / CLOCK_TICKS


def resident_memory(fields: list[str]) -> int:
    return int(fields[21]) * PAGE


def memory_of(living: dict[str, list[str]], known: int) -> int:
    """Memory that several share counts once; the dear count is made only where it could be more than is known."""
    resident = {pid: resident_memory(fields) for pid, fields in living.items()}
    total = sum(resident.values())
    if len(resident) < 2 or total <= known:
        return total
    return sum(share_of_memory(pid, most) for pid, most in resident.items())


def share_of_memory(pid: str, resident: int) -> int:
    """Its own, and its part of what it shares; all that is resident where nobody may ask. The dead have none."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as rollup:
            return next(int(line.split()[1]) * 1024 for line in rollup if line.startswith(b"Pss:"))
    except PermissionError:
        return resident
    except (OSError, StopIteration):
        return 0


def measure(directory: bytes) -> tuple[int, int]:
    """How many files and folders lie in a directory, and their length together."""
    count = total = 0
    for length in file_lengths(directory):
        count += 1
        total += length
    return count, total


def file_lengths(directory: bytes) -> Iterator[int]:
    """The length of everything that lies in a directory; what vanishes meanwhile does not count. Raises TooDeep."""
    waiting = [directory]
    while waiting:
        try:
            with entered(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    yield 0 if entry.is_dir(follow_symlinks=False) else entry.stat(follow_symlinks=False).st_size
        except OSError as failure:
            if failure.errno == errno.ENAMETOOLONG:
                raise TooDeep from None


def entered(directory: bytes) -> ScandirIterator[bytes]:
    """One that its owner closed is opened for its owner again, unless it is a link by now."""
    try:
        return os.scandir(directory)
    except PermissionError:
        place = os.open(directory, os.O_PATH | os.O_NOFOLLOW)
        try:
            os.chmod(f"/proc/self/fd/{place}", 0o700)
        finally:
            os.close(place)
        return os.scandir(directory)


def deleted_lengths(device: int, apart: Apart) -> list[int]:
    """The length of each file on this disk that the run has open, and no directory has any more."""
    files = (file for pid in family(apart) for file in nameless_files(pid) if file.st_dev == device)
    return list({file.st_ino: file.st_size for file in files}.values())


def nameless_files(pid: str) -> Iterator[os.stat_result]:
    """Of those that a process has open; what is closed meanwhile, or nobody may ask for, does not count."""
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for descriptor in descriptors:
        try:
            file = os.stat(f"/proc/{pid}/fd/{descriptor}")
        except OSError:
            continue
        if stat.S_ISREG(file.st_mode) and file.st_nlink == 0:
            yield file


def signal_descendants(spared: tuple[int | None, ...], *signals: int) -> None:
    """All but the wall, with which everything inside would end at once, or the twin and its first process inside."""
    for pid in descendants(os.getpid()):
        for number in signals if pid not in spared else ():
            try:
                os.kill(pid, number)
            except OSError:
                break


def descendants(ancestor: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            children.setdefault(int(process_fields(name)[1]), []).append(int(name))
        except OSError:
            continue
    found = children.get(ancestor, [])
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def process_fields(pid: str) -> list[str]:
    """The fields of /proc/<pid>/stat from the third (state) on; the second is a name that may hold anything."""
    return content(f"/proc/{pid}/stat").rpartition(b")")[2].decode("ascii").split()


def claim(space: str) -> bool:
    """Say who minds this run, before anything of it is started; False if somebody said so before, or if its directory
    is another's by now."""
    mine = f"launched.{os.getpid()}"
    write(mine, handle())
    try:
        os.link(mine, "launched.json")
    except FileExistsError:
        return False
    finally:
        os.unlink(mine)
    if os.path.exists(space) and os.path.samefile(space, "."):
        return True
    os.unlink("launched.json")
    return False


@cache
def handle() -> bytes:
    """What names this very process for ever."""
    own = {"pid": os.getpid(), "started": int(process_fields("self")[19])}
    return json.dumps(own | machine()).encode()


@cache
def machine() -> dict[str, str]:
    """Where process numbers mean what they mean here: until the next boot, in this namespace."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot:
        return {"boot": boot.read().strip(), "namespace": os.readlink("/proc/self/ns/pid")}


def rehearse() -> None:
    """For a warm parent: what every run asks for, and finds the same, is known to its forks."""
    machine()
    knows_children()
    environ.bounds()
    landlock.version()
    last_capability()
    for network in (False, True):
        for walled, bounded in ((False, False), (True, False), (True, True)):
            seccomp.filter_for(walled=walled, network=network, bounded=bounded)


def content(file: str) -> bytes:
    """All of a small one."""
    return rest(os.open(file, os.O_RDONLY | os.O_CLOEXEC))


def rest(descriptor: int) -> bytes:
    """All that is still to be read there, before it is closed."""
    try:
        return b"".join(iter(lambda: os.read(descriptor, CHUNK), b""))
    finally:
        os.close(descriptor)


def write(name: str, content: bytes) -> None:
    """It need not outlast the machine's power: what a run of an earlier boot left is asked for nothing any more."""
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        if os.write(descriptor, content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)


def publish(outcome: dict[str, object], line: int | None) -> bool:
    """In the directory first, for whoever takes the run up; then to the worker that ordered it. Whether it listens."""
    told = json.dumps(outcome).encode()
    write("outcome.new", told)
    os.rename("outcome.new", "outcome.json")
    if line is None:
        return False
    os.set_blocking(line, False)
    return say(line, told)


def say(line: int, words: bytes) -> bool:
    """Whether somebody listens still, and to all of it."""
    try:
        return os.write(line, words) == len(words)
    except (BrokenPipeError, ConnectionResetError, BlockingIOError):
        return False


def settle(*kept: int) -> None:
    """Be a launcher, with nothing open but these."""
    handle()
    os.umask(0o077)
    close_all_but(*kept)
    for stream, way in enumerate((os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)):
        nothing = os.open(os.devnull, way)
        os.dup2(nothing, stream)
        os.close(nothing)
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def enter(directory: str) -> None:
    """Be at home in the run's directory, deaf until there is something to mind."""
    be_deaf()
    os.chdir(directory)
    sys.stderr = Log()


def leave() -> None:
    """Be nowhere, and nobody's."""
    be_deaf()
    sys.stderr = sys.__stderr__
    os.chdir("/")
    environ.show("")


class Log:
    """What is told of a launcher that fails, in the directory of the run that it minds; mostly, there is none."""

    def write(self, text: str) -> int:
        with open("launcher.log", "a", encoding="utf-8", errors="backslashreplace") as log:
            return log.write(text)

    def flush(self) -> None:
        """It has been."""


class Order:
    """What a launcher is told beside what stands in the directory `space`; and, of a warm parent, who is to hear of the
    run.

    `line`: the worker. `parent`: whose next pair is made for such a run, too, when this one leaves room. `is_over`:
    the worker knows of the end, and nobody will look for this run's launcher any more. `held`: the worker may call the
    run off while all is made ready for it. `inside`: the program runs in a fork itself.
    """

    is_over = held = inside = False
    common: dict[str, Any]

    def __init__(
        self,
        space: str,
        secrets: dict[str, str],
        until: float,
        line: int | None = None,
        parent: int | None = None,
    ) -> None:
        self.space, self.secrets, self.until, self.line, self.parent = space, secrets, until, line, parent

    def spec(self) -> Spec:
        given = json.loads(content("launch.json"))
        given["environment"].update(self.secrets)
        return Spec(given, self.inside)

    def is_taken(self) -> None:
        if self.line is not None:
            say(self.line, words.MINDED)

    def is_let_go(self) -> bool:
        """Waits for that, if need be. Without the worker it is called off."""
        if not self.held or self.line is None:
            return True
        try:
            return os.read(self.line, len(GO)) == GO
        except ConnectionResetError:
            return False

    def is_declined(self) -> None:
        if self.line is not None:
            say(self.line, words.DECLINED)

    def is_like(self, common: dict[str, Any]) -> None:
        self.common = common
        if self.parent is not None:
            say(self.parent, json.dumps(common).encode())

    def leaves_room(self) -> None:
        """For a next pair to be made, which takes a processor for some milliseconds."""
        if self.parent is not None:
            say(self.parent, ROOM)

    def ends(self, outcome: dict[str, object]) -> None:
        """Whoever told it to stop might kill its launcher, should that not heed it."""
        self.is_over = publish(outcome, self.line) and not os.path.exists(words.STOP)
        if self.line is not None:
            os.close(self.line)


def ready(common: dict[str, Any], kind: type[Program] = Program) -> Pair:
    """For a launcher that minds one run alone. Raises OSError."""
    walled = cages.LEVELS[common["level"]].walled
    return OfTwin(common, kind) if walled and not cages.is_wrapped(common) else Pair(common, kind)


def mind(order: Order, pair: Ready | None = None, make: Make = ready) -> Become | None:
    """See the run of this directory to its end, unless another launcher does; the worker is told that, and the end.

    With the program to be if there is one and it is for such runs, else with one made for it. In that one: what turns
    it into the program, for its caller to call with nothing of the launcher around it.
    """
    if os.path.exists("outcome.json"):
        return None
    spec = order.spec()
    order.is_like(spec.common)
    if pair and not pair.is_for(spec.common):
        pair.dismiss()
        pair = None
    if pair is None:
        try:
            pair = make(spec.common)
        except NotMade:
            order.is_declined()
            return None
        if become := pair.fork():
            return become
    if not claim(order.space):
        return None
    pair.cage.take(spec.own, [])
    pair.give(spec.order, pair.cage.furnish())
    order.is_taken()
    minded = Minded(spec, pair)
    if not order.is_let_go():
        minded.call_off()
        return None
    if time.monotonic() > order.until:
        sys.exit("it was not started in time")
    minded.start()
    environ.show(f"SPACE={spec.order['space']}/")
    order.ends(minded.run(order.leaves_room))
    minded.close()
    return None


def main() -> None:
    with open(0, "rb", closefd=False) as told:
        secrets = json.loads(told.read() or "{}")
    settle()
    enter(sys.argv[1])
    if become := mind(Order(sys.argv[1], secrets, float((*sys.argv, "inf")[2]))):
        become()


if __name__ == "__main__":
    main()
