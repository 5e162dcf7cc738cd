"""What holds one run, by its level: opened by the launcher, entered by its forked child, closed when nothing lives.

Both begin before they know the run: `common` tells what many runs share, `take` what is this one's own.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from functools import cache

from workers.confinement import cgroups, first, landlock, places, seccomp, slots, walls, ways
from workers.confinement.first import INSIDE, PROCESSES
from workers.confinement.kernel import (
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    bound_capabilities,
    drop_capabilities,
    end_with,
    prctl,
    tree,
)
from workers.confinement.program import Program

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
UNCONFINED = "\0"  # before what kept a program to be from being confined


class Cage:
    """Level 1: nothing but its limits and its end."""

    walled = False
    user: int | None = None
    yard: walls.Yard | None = None  # in a twin's program

    def __init__(self, common: dict[str, Any]) -> None:
        self.network: bool = common["network"]
        self.own_walls: bool = common["own_walls"]
        self.hidden: list[str] = common["hidden"]
        self.reading: int | None = None
        self.writing = -1

    def take(self, own: dict[str, Any], trees: list[int]) -> None:
        """In both, for its run."""
        self.hidden = own["hidden"]
        self.files: list[str] = own["files"]
        self.readable: list[str] = own["readable"]
        self.measured: str = own["measured"]

    def open(self) -> None:
        """In the launcher, beforehand: take what a run needs for itself. Raises OSError."""

    def furnish(self) -> list[int]:
        """In the launcher, for its run: what only it can open for the forked child. Raises OSError."""
        return []

    def kept(self) -> tuple[int, ...]:
        """The descriptors that the forked child needs."""
        return ()

    def admit(self, child: int) -> None:
        """In the launcher, beforehand: the program to be, which somebody else has forked. Raises OSError."""

    def prepare(self, launcher: int) -> None:
        """In the forked child, beforehand."""
        be_first_to_go()
        self.confine()
        end_with(launcher)

    def settle(self) -> None:
        """In the thread that is to be programs, one after another, or to start one: what is the same in all of them."""
        prctl(PR_SET_NO_NEW_PRIVS, 1)

    def confine(self) -> None:
        """In the thread that is to be the program, or to start it, beforehand: itself alone."""

    def finish(self) -> None:
        """In the forked child, when it knows its run."""

    def become(self, program: Program, launcher: int, telling: int) -> None:
        """In the forked child: turn into the program."""
        program.become(telling, self.shut)

    def complain(self, problem: BaseException, telling: int) -> None:
        """In the forked child: what keeps it from that."""
        os.write(telling, f"The program cannot be started: {problem}.\n".encode())

    def shut(self) -> None:
        """In the forked child, last of all."""

    def hold(self, child: int) -> None:
        """In the launcher: what shall stand until the end is told."""

    def let_go(self) -> None:
        """In the launcher, when it is."""

    def has_started(self) -> bool:
        """Whether the program was reached."""
        return True

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

    needed: tuple[int, ...] = ()

    def open(self) -> None:
        if landlock.version() < landlock.LEAST:
            raise OSError("this kernel's Landlock is missing or too old")

    def settle(self) -> None:
        super().settle()
        of_the_system(*self.hidden)
        bound_capabilities()
        drop_capabilities()
        seccomp.install(seccomp.filter_for(walled=False, network=self.network, bounded=False))

    def confine(self) -> None:
        self.rules = landlock.Rules(self.network)
        self.needed = (self.rules.rules,)
        self.rules.let(of_the_system(*self.hidden))
        if self.network:
            self.rules.let_read(places.of_network())

    def kept(self) -> tuple[int, ...]:
        return self.needed

    def shut(self) -> None:
        self.rules.let_read((*self.readable, *self.files))
        self.rules.let_write((self.measured,))
        self.rules.enforce()


class Room(Cage):
    """Level 3: namespaces of its own, in which it is never root; what root starts has the shared user.

    A launcher's twin builds them where that was seen to hold, and what it forks its own part of them; else bubblewrap
    does.
    """

    walled = True
    bounded = False
    mounts: int | None = None

    def open(self) -> None:
        if os.geteuid() == 0:
            self.user = self.take_user()
        if not self.own_walls:
            self.find_bubblewrap()

    def find_bubblewrap(self) -> None:
        self.bubblewrap = next((each for each in BUBBLEWRAP if os.access(each, os.X_OK)), "")
        if not self.bubblewrap:
            raise FileNotFoundError("bubblewrap is not installed")
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        self.heard = b""

    def take_user(self) -> int:
        return slots.SHARED_USER

    def furnish(self) -> list[int]:
        """Where root starts it, the program's user may not pass the way to what it is given."""
        if self.user is None:
            return []
        self.give_files(self.user)
        try:
            return [tree(source, read_only) for source, _, read_only in self.shown] if self.own_walls else []
        except PermissionError:  # of a root that is not quite one, in a container
            return []

    def kept(self) -> tuple[int, ...]:
        if self.yard:
            return (self.yard.machine,)
        return () if self.reading is None else (self.writing,)

    def give_files(self, user: int) -> None:
        """What the program may change becomes its user's; what it may read, everybody's: the way to it stays closed."""
        for place, _, names in os.walk(self.measured):
            for path in (place, *(os.path.join(place, name) for name in names)):
                os.chown(path, user, user, follow_symlinks=False)
        for file in self.files:
            os.chmod(file, 0o444)

    def take(self, own: dict[str, Any], trees: list[int]) -> None:
        super().take(own, trees)
        self.shown: list[tuple[str, str, bool]] = own["shown"]
        self.trees = trees

    def prepare(self, launcher: int) -> None:
        if self.yard:
            walls.part(self.network)
        else:
            super().prepare(launcher)

    def finish(self) -> None:
        if not self.yard:
            return
        found = self.trees or walls.opened(((source, read_only) for source, _, read_only in self.shown), self.yard)
        walls.show(zip(found, (place for _, place, _ in self.shown), strict=True))
        os.close(self.yard.machine)
        self.seal()

    def seal(self) -> None:
        drop_capabilities()
        seccomp.install(seccomp.filter_for(walled=True, network=self.network, bounded=self.bounded))

    def become(self, program: Program, launcher: int, telling: int) -> None:
        if self.yard:
            first.become(program, telling)
            return
        try:
            if self.user is not None:
                ways.open_to(source for source, _, _ in self.shown)
            self.leave_root()
            end_with(launcher)
            words = [sys.executable, "-I", "-S", os.path.join(OWN, "inside.py")]
            words[0] = os.path.realpath(sys.executable)
            described = in_memory(json.dumps(program.given).encode())
            words += [str(shared(each)) for each in (described, program.hearing, telling, self.writing)]
            self.execute(words)
        except BaseException as problem:  # noqa: BLE001 - nothing may run on as a second launcher
            os.write(2, f"{type(problem).__name__}: {problem}\n".encode())
            os._exit(127)

    def complain(self, problem: BaseException, telling: int) -> None:
        """It is the machinery's failure."""
        os.write(telling, f"{UNCONFINED}{problem}".encode())

    def hold(self, child: int) -> None:
        """The mounts, of which some 70 are taken down when nobody has them any more: nobody shall wait for that."""
        with suppress(OSError):
            self.mounts = os.open(f"/proc/{child}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)

    def let_go(self) -> None:
        if self.mounts is not None:
            os.close(self.mounts)

    def leave_root(self) -> None:
        if self.user is not None:
            os.setgroups([])
            os.setresgid(self.user, self.user, self.user)
            os.setresuid(self.user, self.user, self.user)

    def execute(self, words: list[str]) -> None:
        """What bubblewrap is told stands in a file, where nobody else sees it; its environment only bears a name."""
        filtered = seccomp.filter_for(walled=True, network=self.network, bounded=self.bounded)
        arguments = "\0".join((*self.walls(), "--seccomp", str(in_memory(filtered))))
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
        for path in (*places.system(self.hidden), *places.settings(), places.PROCESSORS):
            yield from ("--ro-bind-try", path, path)
        for source, place, read_only in self.shown:
            yield from ("--ro-bind" if read_only else "--bind", source, place)
        yield from ("--chdir", "/", "--remount-ro", "/dev", "--remount-ro", "/")

    def hear(self) -> int | None:
        """How the program ended, once it has, where bubblewrap started it."""
        if self.reading is None:
            return None
        try:
            while data := os.read(self.reading, 4096):
                self.heard += data
        except BlockingIOError:
            pass
        said = self.heard.removeprefix(INSIDE).decode("ascii").strip()
        return os.waitstatus_to_exitcode(int(said)) if said else None

    def code(self, status: int) -> int:
        """Of bubblewrap, where the first one inside was killed with all the others."""
        if self.own_walls:
            return super().code(status)
        told, own = self.hear(), os.waitstatus_to_exitcode(status)
        return told if told is not None else OF_SIGNALS - own if own > OF_SIGNALS else own

    def has_started(self) -> bool:
        if self.own_walls:
            return True
        self.hear()
        return self.heard.startswith(INSIDE)


class Cell(Room):
    """Level 4: also a user that no other run has at the same time, and bounds for all its processes together."""

    bounded = True
    taken_before = 0.0

    def take(self, own: dict[str, Any], trees: list[int]) -> None:
        super().take(own, trees)
        self.memory: int | None = own["memory_bytes"]

    def take_user(self) -> int:
        slot = slots.ours()
        self.cgroups = cgroups.Cgroups(f"portal-run-{slot}", PROCESSES)
        return slots.FIRST_USER + slot

    def furnish(self) -> list[int]:
        if self.memory is not None:
            self.cgroups.limit_memory(self.memory + self.memory // 8 + MEMORY_ROOM)
        return super().furnish()

    def open(self) -> None:
        if os.geteuid() != 0:
            raise PermissionError("only root can give each run a user of its own")
        super().open()

    def admit(self, child: int) -> None:
        """Why one that is gone is gone it tells in another way."""
        with suppress(ProcessLookupError):
            self.cgroups.join(child)

    def leave_root(self) -> None:
        """Nothing of who had this user before may live: it is ended by its own right."""
        if not self.own_walls:
            self.cgroups.join(os.getpid())
        super().leave_root()
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            return

    def has_started(self) -> bool:
        self.taken_before = min(self.cgroups.cpu_seconds(), WALLS_SECONDS)
        return super().has_started()

    def cpu_seconds(self) -> float:
        return self.cgroups.cpu_seconds() - self.taken_before

    def close(self) -> None:
        self.cgroups.remove()

    def took_all_memory(self) -> int | None:
        return self.cgroups.most_memory() if self.cgroups.out_of_memory() else None


def common(confinement: dict[str, Any]) -> dict[str, Any]:
    """What it has to know of a run beforehand: of what is hidden that which lies among the system's own."""
    return {
        "level": confinement.get("level", 1),
        "network": confinement.get("network", False),
        "own_walls": confinement.get("own_walls", False),
        "hidden": [each for each in confinement.get("hidden", ()) if in_system(each)],
    }


def own(confinement: dict[str, Any], measured: str, memory: int | None) -> dict[str, Any]:
    """What is a run's alone."""
    hidden, files = confinement.get("hidden", []), confinement.get("files", [])
    readable = [real for each in confinement.get("readable", ()) for real in places.without(each, hidden)]
    walled = LEVELS[confinement.get("level", 1)].walled
    named = [*readable, *files, *(places.of_network() if confinement.get("network") else ())]
    if not confinement.get("own_walls"):
        named += [OWN, PACKAGE]  # where the first process inside begins
    return {
        "hidden": hidden,
        "readable": readable,
        "files": files,
        "shown": shown(named, measured, hidden) if walled else [],
        "measured": measured,
        "memory_bytes": memory,
    }


def shown(named: list[str], measured: str, hidden: list[str]) -> list[tuple[str, str, bool]]:
    """Beside the system: real places, where they are known, and whether only to be read. In a prefix Python lies."""
    prefix = [] if in_system(sys.base_prefix) else list(places.without(sys.base_prefix, hidden))
    read = [*prefix, *(each for each in named if not in_system(each) or hidden)]
    there = [(each, True) for each in dict.fromkeys(read) if os.path.exists(each)]
    return [(os.path.realpath(each), each, read_only) for each, read_only in (*there, (measured, False))]


@cache
def of_the_system(*hidden: str) -> list[landlock.Place]:
    """What every run may use of it, opened once by a launcher, or by its twin: none of them lives for long."""
    read = [*places.system(hidden), *places.settings(), places.PROCESSORS, "/proc"]
    devices = [f"/dev/{name}" for name in places.DEVICES]
    return landlock.opened(read, landlock.READING) + landlock.opened(devices, landlock.everything())


def is_wrapped(common: dict[str, Any]) -> bool:
    """Whether bubblewrap builds the walls."""
    return LEVELS[common["level"]].walled and not common["own_walls"]


def enclosed(common: dict[str, Any], user: int | None, telling: int) -> walls.Yard:
    """In a twin: behind walls with all that it forks, as the user that these shall have. Raises OSError."""
    cage = WALLED[common["level"]](common)
    cage.user = user
    be_first_to_go()
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    cage.leave_root()
    prctl(PR_SET_DUMPABLE, 1)  # what lost its privileges without a new program would not even have its own /proc
    seen = (*places.system(cage.hidden), *places.settings(), places.PROCESSORS)
    yard = walls.enclose(int(NOBODY), seen, list(places.links()), lambda way: first.stay(way, telling, cage.seal))
    bound_capabilities()
    first.hide()
    return yard


WALLED: dict[int, type[Room]] = {3: Room, 4: Cell}
LEVELS: dict[int, type[Cage]] = {1: Cage, 2: Fence, **WALLED}


def be_first_to_go(turn: bytes = b"1000") -> bytes:
    """When the machine runs out of memory, before the portal and whatever else it serves; the turn that it had."""
    before = b""
    with suppress(OSError), open(OUT_OF_MEMORY, "r+b", buffering=0) as told:  # it may not be ours to say
        before = told.read(16)
        told.write(turn)
    return before


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
