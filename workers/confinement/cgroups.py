"""Cgroups of one run: how much memory and how many processes it may have, in version 1 or 2, whichever is there."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterator

ROOT = "/sys/fs/cgroup"
CONTROLLERS = ("memory", "pids")
ACCOUNT = "cpuacct"  # of version 1, where it may be; version 2 always tells
EMPTY_SECONDS = 5.0
PAUSE = 0.001


class Cgroups:
    """The directories of one run, by controller; in version 2 both are the same."""

    def __init__(self, name: str, processes: int) -> None:
        self.version, parents = find()
        self.directories = {each: os.path.join(parent, name) for each, parent in parents.items()}
        for directory in set(self.directories.values()):
            remove(directory)  # of a launcher that was killed
            os.mkdir(directory)
        write(self.file("pids", "pids.max"), str(processes))

    def limit_memory(self, memory: int) -> None:
        if self.version == "2":
            write(self.file("memory", "memory.max"), str(memory))
            try_writing(self.file("memory", "memory.swap.max"), "0")
            return
        write(self.file("memory", "memory.limit_in_bytes"), str(memory))
        try_writing(self.file("memory", "memory.memsw.limit_in_bytes"), str(memory))

    def file(self, controller: str, name: str) -> str:
        return os.path.join(self.directories[controller], name)

    def join(self, process: int) -> None:
        for directory in set(self.directories.values()):
            write(os.path.join(directory, "cgroup.procs"), str(process))

    def cpu_seconds(self) -> float:
        """What all its processes have taken, however they ended; nothing where the kernel keeps no account."""
        if self.version == "2":
            told = dict(line.split(" ", 1) for line in lines(self.file("memory", "cpu.stat")))
            return int(told.get("usage_usec", "0")) / 1e6
        if ACCOUNT not in self.directories:
            return 0.0
        return int(next(iter(lines(self.file(ACCOUNT, "cpuacct.usage"))), "0")) / 1e9

    def out_of_memory(self) -> bool:
        """Whether the kernel ended a process of the run for want of memory."""
        name = "memory.events" if self.version == "2" else "memory.oom_control"
        told = dict(line.split(" ", 1) for line in lines(self.file("memory", name)))
        return told.get("oom_kill", "0") != "0"

    def most_memory(self) -> int:
        name = "memory.peak" if self.version == "2" else "memory.max_usage_in_bytes"
        return int(next(iter(lines(self.file("memory", name))), "0"))

    def remove(self) -> None:
        """Raises OSError when something lives in them still."""
        for directory in set(self.directories.values()):
            remove(directory)


def find() -> tuple[str, dict[str, str]]:
    """The version, and for each controller the directory that ours can be made in. Raises OSError."""
    own = dict(_own())
    if all(each in own for each in CONTROLLERS):
        return "1", {each: _writable(f"{ROOT}/{each}{own[each]}") for each in CONTROLLERS} | _account(own)
    if not os.path.exists(f"{ROOT}/cgroup.controllers"):
        raise OSError(errno.ENOENT, "there are no cgroups for memory and processes")
    mine = f"{ROOT}{own.get('', '/')}".rstrip("/")
    for parent in (mine, os.path.dirname(mine)):
        if parent.startswith(ROOT) and _delegates(parent):
            return "2", dict.fromkeys(CONTROLLERS, _writable(parent))
    raise OSError(errno.EACCES, "cgroups for memory and processes are not delegated to the portal")


def _account(own: dict[str, str]) -> dict[str, str]:
    directory = f"{ROOT}/{ACCOUNT}{own.get(ACCOUNT)}"
    return {ACCOUNT: directory} if os.access(directory, os.W_OK) else {}


def _own() -> Iterator[tuple[str, str]]:
    """This process's place, by controller; that of version 2 has an empty name."""
    for line in lines("/proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        for each in controllers.split(","):
            yield each, path


def _writable(directory: str) -> str:
    if not os.access(directory, os.W_OK):
        raise OSError(errno.EACCES, "the cgroups for memory and processes cannot be written")
    return directory


def _delegates(directory: str) -> bool:
    """Whether those below it have both controllers; asked for, where nobody has yet."""
    try_writing(f"{directory}/cgroup.subtree_control", "+memory +pids")
    given = " ".join(lines(f"{directory}/cgroup.subtree_control")).split()
    return all(each in given for each in CONTROLLERS)


def remove(directory: str) -> None:
    """End what lives there, and remove it."""
    deadline = time.monotonic() + EMPTY_SECONDS
    while os.path.exists(directory):
        try:
            os.rmdir(directory)
        except OSError:
            if time.monotonic() > deadline:
                raise
            _kill(directory)
            time.sleep(PAUSE)


def _kill(directory: str) -> None:
    for line in lines(os.path.join(directory, "cgroup.procs")):
        try:
            os.kill(int(line), signal.SIGKILL)
        except ProcessLookupError:
            continue


def lines(file: str) -> list[str]:
    try:
        with open(file, encoding="ascii") as content:
            return content.read().splitlines()
    except OSError:
        return []


def write(file: str, text: str) -> None:
    with open(file, "w", encoding="ascii") as target:
        target.write(text)


def try_writing(file: str, text: str) -> None:
    """Where it is not there, or not ours to say, there is nothing to limit."""
    try:
        write(file, text)
    except OSError:
        return
