"""The launcher: a small program of its own that minds one local run, `launcher.py <directory>`.

It knows no database, no broker and no secret, and outlives the worker that started it: how the run ended stands in its
directory, put there by one rename when nothing of the run is alive any more. A failure of the launcher itself leaves no
outcome, so that it never becomes the user's verdict. It starts once per run, hence the few and light imports.
"""

# pathlib, like typing and dataclasses, would cost half as much again as all the rest to start.
# ruff: noqa: PTH104, PTH108, PTH110, PTH116, PTH123, PTH208
from __future__ import annotations

import ctypes
import errno
import json
import math
import os
import resource
import select
import signal
import sys
import time
from enum import StrEnum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn

TICK = 1.0  # the longest time between two looks at beat, deadline and disk
KILL_AGAIN = 0.02
CHUNK = 65536
DRAIN_READS = 64  # a pipe holds no more, so that nobody outside the run can keep us reading
CPU_MARGIN = 5  # seconds between the signal that can be caught and the one that cannot
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
LIBC = ctypes.CDLL(None, use_errno=True)


class Reason(StrEnum):
    EXITED = "exited"
    SIGNALLED = "signalled"
    WALL_TIME = "wall_time"
    CPU_TIME = "cpu_time"
    FILE_SIZE = "file_size"
    OUTPUT_LIMIT = "output_limit"
    STOPPED = "stopped"
    ABANDONED = "abandoned"
    CANNOT_START = "cannot_start"


SENTENCES = {
    Reason.EXITED: "",
    Reason.WALL_TIME: "The run was ended because it reached its time limit of {limits.wall_seconds} s.",
    Reason.CPU_TIME: "The run was ended because it reached its limit of {limits.cpu_seconds} s of processor time.",
    Reason.FILE_SIZE: "The run was ended because it wrote a file larger than {limits.file_bytes} bytes.",
    Reason.STOPPED: "The run was stopped on request.",
    Reason.ABANDONED: "The run was ended because no worker had looked after it for {patience_seconds} s.",
}
CANNOT_START = {
    errno.ENOENT: "The program '{}' was not found.",
    errno.EACCES: "The program '{}' is not executable.",
    errno.ENOEXEC: "The program '{}' is nothing this machine can run; a script needs a first line like #!/bin/sh.",
    errno.E2BIG: "The arguments of the program '{}' are too many or too long.",
}


class Limits:
    """How far a run may go; None is no limit."""

    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    file_bytes: int | None = None
    log_bytes: int | None = None
    processes: int | None = None
    output_bytes: int | None = None
    files: int | None = None

    def __init__(self, **given: Any) -> None:
        if unknown := given.keys() - Limits.__annotations__.keys():
            raise ValueError(f"launch.json names limits that do not exist: {sorted(unknown)}")
        vars(self).update(given)


class Spec:
    """What launch.json asks for; words of the user are bytes, whatever the locale."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.argv = [encoded(word) for word in given["argv"]]
        self.environment = {encoded(name): encoded(value) for name, value in given["environment"].items()}
        self.work = encoded(given["work"])
        self.stdout_file: str | None = given.get("stdout_file")
        self.limits = Limits(**given["limits"])
        self.grace_seconds: float = given["grace_seconds"]
        self.patience_seconds: float = given["patience_seconds"]


class Capture:
    """One stream of the process, kept in a file up to a cap; what comes after it is read and thrown away."""

    def __init__(self, name: str, cap: int | None) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        self.file = open(name, "wb")  # noqa: SIM115 - open as long as the launcher lives
        self.cap = sys.maxsize if cap is None else cap
        self.seen = 0
        self.cut = False

    def drain(self) -> bool:
        """Keep what is there now; False when there is nothing, or nothing more to come."""
        try:
            data = os.read(self.reading, CHUNK)
        except BlockingIOError:
            return False
        self.keep(data)
        return bool(data)

    def keep(self, data: bytes) -> None:
        self.file.write(data[: max(0, self.cap - self.seen)])
        self.seen += len(data)
        if self.seen > self.cap and not self.cut:
            self.cut = True
            self.file.write(b"\n[output cut: more than %d bytes]\n" % self.cap)
        self.file.flush()


class Minded:
    """The user's process with all its descendants, from the start until none of them is alive."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.reason: Reason | None = None
        self.detail = ""
        self.code: int | None = None
        self.main_cpu_seconds = 0.0
        self.alone = False
        self.stop_asked = False
        self.started_at, self.started = time.time(), time.monotonic()
        self.deadline = self.started + (spec.limits.wall_seconds or math.inf)
        self.beat, self.beat_changed = beat_time(), self.started
        self.next_sample = self.started
        self.stdout = self.capture_of_stdout()
        self.stderr = Capture("stderr", spec.limits.log_bytes)
        self.captures = {capture.reading: capture for capture in (self.stdout, self.stderr)}
        self.waking = self.wake_by_signals()
        self.poll = select.poll()
        for readable in (self.waking, *self.captures):
            self.poll.register(readable, select.POLLIN)

    def capture_of_stdout(self) -> Capture:
        """A standard output that is a result goes to its own file, whole; it counts as output then, not as log."""
        if self.spec.stdout_file:
            return Capture(self.spec.stdout_file, None)
        return Capture("stdout", self.spec.limits.log_bytes)

    def wake_by_signals(self) -> int:
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self.ask_stop)
        for ignored in (signal.SIGINT, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        return reading

    def ask_stop(self, *_: object) -> None:
        self.stop_asked = True

    def run(self) -> dict[str, object]:
        try:
            self.start()
            self.watch()
        finally:
            self.end_all()
        self.drain_rest()
        if self.code is None:
            raise RuntimeError("the process was never seen to end")
        self.judge(self.code)
        return self.outcome(self.code)

    def start(self) -> None:
        telling, writing = os.pipe()
        launcher = os.getpid()
        self.main = os.fork()
        if self.main == 0:
            become(self.spec, launcher, self.stdout.writing, self.stderr.writing, writing)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for end in (writing, self.stdout.writing, self.stderr.writing):
            os.close(end)
        with open(telling, "rb") as told:
            if problem := told.read().decode():
                self.reason, self.detail = Reason.CANNOT_START, problem

    def watch(self) -> None:
        while self.reason is None and self.code is None:
            self.listen(min(TICK, self.deadline - time.monotonic()))
            if self.stop_asked:
                self.reason = Reason.STOPPED
            self.reap()
            if self.reason is None and self.code is None:
                self.reason = self.why_end(time.monotonic())

    def listen(self, seconds: float) -> None:
        """Wait for output, a signal, or so many seconds."""
        for descriptor, _ in self.poll.poll(max(0, math.ceil(seconds * 1000))):
            if descriptor == self.waking:
                os.read(self.waking, CHUNK)
            elif not self.captures[descriptor].drain():
                self.poll.unregister(descriptor)

    def reap(self) -> None:
        """Bury the dead. Orphans become our children, so without a child there is no descendant either."""
        try:
            while (found := os.wait4(-1, os.WNOHANG))[0]:
                if found[0] == self.main:
                    self.code = os.waitstatus_to_exitcode(found[1])
                    self.main_cpu_seconds = found[2].ru_utime + found[2].ru_stime
        except ChildProcessError:
            self.alone = True

    def why_end(self, now: float) -> Reason | None:
        if now >= self.deadline:
            return Reason.WALL_TIME
        if self.is_abandoned(now):
            return Reason.ABANDONED
        if now >= self.next_sample and self.is_over_output():
            return Reason.OUTPUT_LIMIT
        return None

    def is_abandoned(self, now: float) -> bool:
        """Only the change of the beat's time counts, so that no jump of the clock ends a run."""
        if (beat := beat_time()) != self.beat:
            self.beat, self.beat_changed = beat, now
        return now - self.beat_changed > self.spec.patience_seconds

    def is_over_output(self) -> bool:
        begun = time.monotonic()
        self.detail = excess(self.spec)
        took = time.monotonic() - begun
        self.next_sample = begun + max(TICK, 10 * took)
        return bool(self.detail)

    def end_all(self) -> None:
        """TERM, grace, KILL; no return while anything is alive, for the next attempt must never meet this one."""
        self.reap()
        if not self.alone:
            signal_descendants(signal.SIGTERM, signal.SIGCONT)
        grace_ends = time.monotonic() + self.spec.grace_seconds
        while not self.alone and (left := grace_ends - time.monotonic()) > 0:
            self.listen(left)
            self.reap()
        while not self.alone:
            signal_descendants(signal.SIGKILL)
            self.listen(KILL_AGAIN)
            self.reap()

    def drain_rest(self) -> None:
        for capture in self.captures.values():
            for _ in range(DRAIN_READS):
                if not capture.drain():
                    break

    def judge(self, code: int) -> None:
        self.reason = self.reason or self.limit_met(code) or (Reason.SIGNALLED if code < 0 else Reason.EXITED)
        if self.reason is Reason.SIGNALLED:
            self.detail = signal_sentence(-code)
        self.detail = self.detail or SENTENCES[self.reason].format_map(vars(self.spec))

    def limit_met(self, code: int) -> Reason | None:
        limits = self.spec.limits
        ended_by = -code if code < 0 else code - 128  # a shell says 128 + signal of the program it ran
        hard_cpu = ended_by == signal.SIGKILL and self.main_cpu_seconds >= (limits.cpu_seconds or math.inf)
        if limits.cpu_seconds and (ended_by == signal.SIGXCPU or hard_cpu):
            return Reason.CPU_TIME
        if limits.file_bytes is not None and ended_by == signal.SIGXFSZ:
            return Reason.FILE_SIZE
        return Reason.OUTPUT_LIMIT if code >= 0 and self.is_over_output() else None

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
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "wall_seconds": time.monotonic() - self.started,
            "cpu_seconds": used.ru_utime + used.ru_stime,
            "max_memory_bytes": used.ru_maxrss * 1024,
        }


def become(spec: Spec, launcher: int, stdout: int, stderr: int, telling: int) -> NoReturn:
    """In the forked child: turn into the user's process, or tell why not. Other descriptors close on exec."""
    try:
        os.setsid()
        die_with(launcher)
        reset_signals()
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        enter(spec.work)
        set_limits(spec.limits)
        os.execvpe(spec.argv[0], spec.argv, spec.environment)  # noqa: S606 - no shell is the point
    except BaseException as problem:  # noqa: BLE001 - nothing may run on as a second launcher
        os.write(telling, why_not(problem, spec.argv).encode())
    finally:
        os._exit(127)


def die_with(launcher: int) -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    if os.getppid() != launcher:
        os._exit(127)


def reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def enter(work: bytes) -> None:
    try:
        os.chdir(work)
    except OSError as problem:
        raise OSError(f"its work directory cannot be entered ({problem.strerror})") from problem


def set_limits(limits: Limits) -> None:
    set_limit(resource.RLIMIT_CORE, 0)
    if limits.cpu_seconds:
        set_limit(resource.RLIMIT_CPU, math.ceil(limits.cpu_seconds), CPU_MARGIN)
    if limits.file_bytes is not None:
        set_limit(resource.RLIMIT_FSIZE, limits.file_bytes)
    if limits.processes:
        set_limit(resource.RLIMIT_NPROC, limits.processes)
    if limits.memory_bytes:
        set_limit(resource.RLIMIT_AS, limits.memory_bytes)


def set_limit(which: int, soft: int, margin: int = 0) -> None:
    most = resource.getrlimit(which)[1]
    hard = soft + margin if most == resource.RLIM_INFINITY else min(soft + margin, most)
    resource.setrlimit(which, (min(soft, hard), hard))


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def why_not(problem: BaseException, argv: list[bytes]) -> str:
    if isinstance(problem, OSError) and problem.errno in CANNOT_START:
        return CANNOT_START[problem.errno].format(argv[0].decode(errors="replace"))
    if isinstance(problem, MemoryError):
        return "The memory limit is too small to start the program."
    return f"The program cannot be started: {problem}."


def signal_sentence(number: int) -> str:
    sentence = f"The process was ended by signal {number} ({signal.strsignal(number)})."
    return sentence + " Often the machine ran out of memory." if number == signal.SIGKILL else sentence


def beat_time() -> int | None:
    try:
        return os.stat("beat").st_mtime_ns
    except OSError:
        return None


def excess(spec: Spec) -> str:
    """A sentence when the work directory holds more than it may, else nothing."""
    limits = spec.limits
    if limits.output_bytes is None and limits.files is None:
        return ""
    size = 0
    for count, length in enumerate(file_lengths(spec.work), 1):
        size += length
        if limits.output_bytes is not None and size > limits.output_bytes:
            return f"The run was ended because its files took more than {limits.output_bytes} bytes together."
        if limits.files is not None and count > limits.files:
            return f"The run was ended because it made more than {limits.files} files and folders."
    return ""


def file_lengths(directory: bytes) -> Iterator[int]:
    """The length of everything that lies in a directory; what vanishes meanwhile does not count."""
    waiting = [directory]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    yield 0 if entry.is_dir(follow_symlinks=False) else entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue


def signal_descendants(*signals: int) -> None:
    for pid in descendants(os.getpid()):
        for number in signals:
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
    with open(f"/proc/{pid}/stat", "rb") as stat:
        return stat.read().rpartition(b")")[2].decode("ascii").split()


def prctl(option: int, value: int) -> None:
    words = [ctypes.c_ulong(word) for word in (value, 0, 0, 0)]
    if LIBC.prctl(option, *words) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option} was refused")


def claim() -> bool:
    """Say who minds this run, before anything of it is started; False if somebody said so before."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot:
        handle = {"pid": os.getpid(), "started": int(process_fields("self")[19]), "boot": boot.read().strip()}
    mine = f"launched.{os.getpid()}"
    write_json(mine, handle)
    try:
        os.link(mine, "launched.json")
    except FileExistsError:
        return False
    finally:
        os.unlink(mine)
    return True


def write_json(name: str, content: dict[str, object]) -> None:
    with open(name, "w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())


def publish(outcome: dict[str, object]) -> None:
    write_json("outcome.new", outcome)
    os.rename("outcome.new", "outcome.json")
    os.fsync(os.open(".", os.O_RDONLY))


def settle(directory: str) -> None:
    """Be at home in the run's directory, deaf until there is something to mind, with nothing of the starter's open."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    os.chdir(directory)
    os.umask(0o077)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    log = os.open("launcher.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def main() -> None:
    settle(sys.argv[1])
    if os.path.exists("outcome.json") or os.path.exists("launched.json"):
        return
    with open("launch.json", encoding="utf-8") as file:
        spec = Spec(json.load(file))
    if claim():
        publish(Minded(spec).run())


if __name__ == "__main__":
    main()
