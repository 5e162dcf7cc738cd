"""What holds one run, by its level: opened by the launcher, entered by its forked child, closed when nothing lives."""

from __future__ import annotations

import json
import os
import signal
import sys

from workers.confinement import cgroups, first, landlock, places, seccomp, slots, walls, ways
from workers.confinement.first import INSIDE, PROCESSES
from workers.confinement.kernel import (
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    close_all_but,
    drop_capabilities,
    end_with,
    prctl,
)
from workers.confinement.program import Program, reset_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

BUBBLEWRAP = ("/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap")
OWN = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.join(os.path.dirname(OWN), "__init__.py")
SMALL = str(64 * 2**20)  # bytes of /tmp and /dev/shm
MEMORY_ROOM = 48 * 2**20  # beyond the limit of memory, for what starts the program; its own look comes first
NOBODY = "65534"
WALLS_SECONDS = 0.2  # of processor time, that they take at most: whoever looks late has the program's own before him
OUT_OF_MEMORY = "/proc/self/oom_score_adj"
OF_SIGNALS = 128


class Cage:
    """Level 1: nothing but its limits and its end."""

    walled = False

    def __init__(self, given: dict[str, Any], measured: str) -> None:
        self.network: bool = given.get("network", False)
        self.own_walls: bool = given.get("own_walls", False)
        self.hidden: list[str] = given.get("hidden", [])
        self.files: list[str] = given.get("files", [])
        self.readable = [real for each in given.get("readable", []) for real in places.without(each, self.hidden)]
        self.measured = measured
        self.reading: int | None = None
        self.writing = -1

    def open(self) -> None:
        """Take what the run needs for itself. Raises OSError."""

    def become(self, program: Program, launcher: int, telling: int) -> None:
        """In the forked child: turn into the program."""
        be_first_to_go()
        die_with(launcher)
        program.become(telling, self.shut)

    def shut(self) -> None:
        """In the forked child, last of all."""

    def check_started(self) -> None:
        """Raises RuntimeError when the program was never reached."""

    def hear(self) -> int | None:
        """How the program ended, if something inside has told."""
        return None

    def code(self, status: int) -> int:
        """How the program ended, when our own child has ended so."""
        return os.waitstatus_to_exitcode(status)

    def cpu_seconds(self) -> float:
        """How much processor time the kernel knows of, beside what is seen of processes."""
        return 0.0

    def close(self) -> None:
        """When nothing of the run lives any more. Raises OSError if something does."""

    def took_all_memory(self) -> int | None:
        """How much it had taken when the kernel ended some of it for want of memory."""
        return None


class Fence(Cage):
    """Level 2: files, sockets and system calls are bounded, by an ordinary user's own will."""

    def open(self) -> None:
        if landlock.version() < landlock.LEAST:
            raise OSError("this kernel's Landlock is missing or too old")

    def shut(self) -> None:
        program = seccomp.filter_for(walled=False, network=self.network, bounded=False)
        own = [*places.system(self.hidden), *places.settings(self.network), places.PROCESSORS, "/proc"]
        devices = [f"/dev/{name}" for name in places.DEVICES]
        landlock.restrict([*own, *self.readable, *self.files], [*devices, self.measured], self.network)
        drop_capabilities()
        seccomp.install(program)


class Room(Cage):
    """Level 3: namespaces of its own, in which it is never root; what root starts has the shared user.

    The fork that becomes the program builds its own walls where that was seen to hold, else bubblewrap does.
    """

    walled = True
    bounded = False
    user: int | None = None

    def open(self) -> None:
        self.bubblewrap = next((each for each in BUBBLEWRAP if os.access(each, os.X_OK)), "")
        if not self.own_walls and not self.bubblewrap:
            raise FileNotFoundError("bubblewrap is not installed")
        self.filter = seccomp.filter_for(walled=True, network=self.network, bounded=self.bounded)
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        self.heard = b""
        if os.geteuid() == 0:
            self.user = self.take_user()
            self.give_files(self.user)

    def take_user(self) -> int:
        return slots.SHARED_USER

    def give_files(self, user: int) -> None:
        """What the program may change becomes its user's; what it may read, everybody's: the way to it stays closed."""
        for place, _, names in os.walk(self.measured):
            for path in (place, *(os.path.join(place, name) for name in names)):
                os.chown(path, user, user, follow_symlinks=False)
        for file in self.files:
            os.chmod(file, 0o444)

    def become(self, program: Program, launcher: int, telling: int) -> None:
        try:
            os.setsid()
            reset_signals()
            be_first_to_go()
            self.leave_root()
            die_with(launcher)
            if self.own_walls:
                self.enter(telling)
                first.hold(program, telling, self.writing)
                return
            words = [sys.executable, "-I", "-S", os.path.join(OWN, "inside.py")]
            words[0] = os.path.realpath(sys.executable)
            words += [str(shared(each)) for each in (in_memory(json.dumps(program.given).encode()), telling)]
            self.execute([*words, str(shared(self.writing))])
        except BaseException as problem:  # noqa: BLE001 - nothing may run on as a second launcher
            os.write(2, f"{type(problem).__name__}: {problem}\n".encode())
            os._exit(127)

    def enter(self, telling: int) -> None:
        """Only the first process inside comes back from it; the one outside waits, for the launcher to see the end."""
        close_all_but(telling, self.writing)
        prctl(PR_SET_DUMPABLE, 1)  # what lost its privileges without a new program would not even have its own /proc
        walls.leave(int(NOBODY), self.network)
        if inside := os.fork():
            close_all_but()
            for stream in (1, 2):
                os.dup2(0, stream)
            os.waitpid(inside, 0)
            os._exit(0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        seen = (*places.system(self.hidden), *places.settings(self.network), places.PROCESSORS)
        read = [*((each, each) for each in seen), *self.bound()]
        walls.build(read, list(places.links()), (os.path.realpath(self.measured), self.measured))
        drop_capabilities()
        seccomp.install(self.filter)

    def leave_root(self) -> None:
        if self.user is not None:
            ways.open_to(source for source, _ in (*self.bound(), (os.path.realpath(self.measured), "")))
            os.setgroups([])
            os.setresgid(self.user, self.user, self.user)
            os.setresuid(self.user, self.user, self.user)

    def execute(self, words: list[str]) -> None:
        """What bubblewrap is told stands in a file, where nobody else sees it; its environment only bears a name."""
        arguments = "\0".join((*self.walls(), "--seccomp", str(in_memory(self.filter))))
        told = in_memory(arguments.encode("utf-8", "surrogateescape"))
        environment = {"PATH": os.defpath, "SPACE": f"{os.path.dirname(self.measured)}/"}
        os.execve(self.bubblewrap, ["bwrap", "--args", str(told), "--", *words], environment)  # noqa: S606

    def walls(self) -> Iterator[str]:
        yield from ("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--as-pid-1")
        yield from ("--new-session", "--cap-drop", "ALL", "--hostname", "job", "--uid", NOBODY, "--gid", NOBODY)
        if self.network:
            yield "--share-net"
        for target, place in places.links():
            yield from ("--symlink", target, place)
        yield from ("--proc", "/proc", "--dev", "/dev")
        for directory in ("/tmp", "/dev/shm"):  # noqa: S108 - they are the run's own
            yield from ("--size", SMALL, "--tmpfs", directory)
        for path in (*places.system(self.hidden), *places.settings(self.network), places.PROCESSORS):
            yield from ("--ro-bind-try", path, path)
        for source, place in self.bound():
            yield from ("--ro-bind", source, place)
        yield from ("--bind", os.path.realpath(self.measured), self.measured, "--chdir", "/")
        yield from ("--remount-ro", "/dev", "--remount-ro", "/")

    def bound(self) -> list[tuple[str, str]]:
        """What is read beside the system: real places, and where they are known. A prefix is what Python lies in."""
        prefix = [] if in_system(sys.base_prefix) else list(places.without(sys.base_prefix, self.hidden))
        own = [*prefix, *(each for each in self.readable if not in_system(each) or self.hidden), OWN, PACKAGE]
        there = [each for each in dict.fromkeys((*own, *self.files)) if os.path.exists(each)]
        return [(os.path.realpath(each), each) for each in there]

    def hear(self) -> int | None:
        """How the program ended, once it has."""
        try:
            while data := os.read(self.reading or 0, 4096):
                self.heard += data
        except BlockingIOError:
            pass
        said = self.heard.removeprefix(INSIDE).decode("ascii").strip()
        return os.waitstatus_to_exitcode(int(said)) if said else None

    def code(self, status: int) -> int:
        """Of bubblewrap, where the first process inside was killed with all the others."""
        told, own = self.hear(), os.waitstatus_to_exitcode(status)
        return told if told is not None else OF_SIGNALS - own if own > OF_SIGNALS else own

    def check_started(self) -> None:
        self.hear()
        if not self.heard.startswith(INSIDE):
            raise RuntimeError("the run cannot be confined: " + last_words())


class Cell(Room):
    """Level 4: also a user that no other run has at the same time, and bounds for all its processes together."""

    bounded = True
    taken_before = 0.0

    def __init__(self, given: dict[str, Any], measured: str) -> None:
        super().__init__(given, measured)
        self.memory: int | None = given.get("memory_bytes")

    def take_user(self) -> int:
        self.slot, self.lock = slots.take()
        memory = None if self.memory is None else self.memory + self.memory // 8 + MEMORY_ROOM
        self.cgroups = cgroups.Cgroups(f"portal-run-{self.slot}", memory, PROCESSES)
        return slots.FIRST_USER + self.slot

    def open(self) -> None:
        if os.geteuid() != 0:
            raise PermissionError("only root can give each run a user of its own")
        super().open()

    def leave_root(self) -> None:
        """Nothing of who had this user before may live: it is ended by its own right."""
        self.cgroups.join()
        super().leave_root()
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            return

    def check_started(self) -> None:
        super().check_started()
        self.taken_before = min(self.cgroups.cpu_seconds(), WALLS_SECONDS)

    def cpu_seconds(self) -> float:
        return self.cgroups.cpu_seconds() - self.taken_before

    def close(self) -> None:
        self.cgroups.remove()
        os.close(self.lock)

    def took_all_memory(self) -> int | None:
        return self.cgroups.most_memory() if self.cgroups.out_of_memory() else None


LEVELS: dict[int, type[Cage]] = {1: Cage, 2: Fence, 3: Room, 4: Cell}


def be_first_to_go() -> None:
    """When the machine runs out of memory, before the portal and whatever else it serves."""
    cgroups.try_writing(OUT_OF_MEMORY, "1000")


def die_with(launcher: int) -> None:
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    end_with(launcher)


def in_memory(content: bytes) -> int:
    """A file that only this process and those it starts have, at its beginning."""
    descriptor = os.memfd_create("told", 0)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def shared(descriptor: int) -> int:
    os.set_inheritable(descriptor, True)
    return descriptor


def in_system(path: str) -> bool:
    return any(places.lies_in(path, root) for root in places.SYSTEM)


def last_words() -> str:
    with open("stderr", encoding="utf-8", errors="replace") as stream:
        return stream.read(2000).strip().rpartition("\n")[2]
