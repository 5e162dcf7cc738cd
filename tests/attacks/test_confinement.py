"""What a run tries to get out of its directory, at each level that this machine offers: what must fail does, and what
is said to get in where the level is too low for it does, so that the table of docs/security.md tells the truth."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from tests.attacks.listed import LISTS
from tests.levels import offered
from tests.servers import ROOT, eventually
from workers.confinement import landlock
from workers.installed import homes
from workers.languages.command import LIMITED, SHELL
from workers.languages.python import DRIVER
from workers.runners import local

PRISONER = Path(__file__).with_name("prisoner.py")
TABLE = yaml.safe_load((LISTS / "confinement.yaml").read_text("utf-8"))
WAYS = ("fresh", "python", "command")
ORDINARY = 21_234
PATIENCE = 60
LOUD = 500  # processes or threads from which on others would feel it
MEGABYTE = 10**6
SERVICE = """
import json, os, socket, sys, time
secret = os.environ["SECRET"]
held = "".join([secret, " in memory"]) * 100
given = json.loads(sys.argv[2])
listening = [socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)]
listening[1].bind(("127.0.0.1", 0))
letters = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
letters.bind(given["letters"])
for address in (given["broker"], "\\0" + given["abstract"]):
    listening.append(socket.socket(socket.AF_UNIX))
    listening[-1].bind(address)
    listening[-1].listen()
print(json.dumps([each.getsockname()[1] for each in listening[:2]]), flush=True)
time.sleep(600)
"""
STARTER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from workers.warm import lines
key = (sys.executable, sys.argv[2])
lines.open_nursery()
for space in sys.stdin:
    while not lines.is_open(key):
        time.sleep(0.05)
    started = lines.ordered(key, Path(space.strip()), time.monotonic() + 60, True, {})
    print("started" if started else "not started", flush=True)
"""
TASK = "import runpy, sys\nsys.argv += {words!r}\nrunpy.run_path({program!r}, run_name='__main__')\n"


@dataclass
class World:
    """A service with its data, as one user started it; and the runs that try to get at it, fresh or of warm parents.

    `way`: fresh, or the parents' language: python forks, command lets a thread start them where there are no walls.
    """

    root: Path
    user: int
    python: str
    way: str
    secret: str = field(default_factory=lambda: f"planted-{uuid4().hex}")
    mark: str = field(default_factory=lambda: f"portal-attack-{uuid4().hex}")

    def __post_init__(self) -> None:
        self.data = self.root / "data"
        self.runs = self.data / "runs"
        (self.runs / "other.1").mkdir(parents=True)
        (self.runs / "other.1" / "input.txt").write_text("another's")
        for name in ("secret_key", "portal.db"):
            (self.data / name).write_text(self.secret)
        for path in (self.root, *self.root.rglob("*")):
            os.chown(path, self.user, self.user)
            path.chmod(0o700 if path.is_dir() else 0o600)
        self.known: dict[tuple[int, str], Any] = {}
        self.begun: set[int] = set()
        self.service = subprocess.Popen(
            [self.python, "-c", SERVICE, self.secret, json.dumps(self.given)],
            stdout=subprocess.PIPE, env={"SECRET": self.secret}, **self.as_user,
        )  # fmt: skip
        assert self.service.stdout is not None
        self.ports = json.loads(self.service.stdout.readline())
        self.starter = subprocess.Popen(
            [self.python, "-c", STARTER, str(ROOT), self.way],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **self.as_user,
        )  # fmt: skip

    @property
    def as_user(self) -> dict[str, Any]:
        return {} if self.user == os.geteuid() else {"user": self.user, "group": self.user, "extra_groups": []}

    @cached_property
    def given(self) -> dict[str, Any]:
        outside = ("/etc", "/usr/local", "/usr/local/bin", "/var", "/root", "/", "/dev", self.root, self.data)
        return {
            "secret": self.secret, "mark": self.mark, "data": str(self.data), "settings": str(self.data / "secret_key"),
            "database": str(self.data / "portal.db"), "broker": str(self.data / "broker.sock"),
            "other": str(self.runs / "other.1"), "abstract": self.mark, "key": str(int(uuid4().hex[:7], 16)),
            "outside": [f"{place}/{self.mark}" for place in outside], "letters": str(self.data / "letters.sock"),
        }  # fmt: skip

    def run(self, level: int, *names: str, **limits: int) -> Run:
        """One run that tries all of these. A warm one has waited for its order, which needs another one before it."""
        if self.way != "fresh" and level not in self.begun:
            self.begun.add(level)
            self.run(level)
        space = self.runs / f"{uuid4()}.1"
        work = space / "tmp" / "work"
        work.mkdir(parents=True)
        ports = {"service": self.service.pid, "port": self.ports[0], "datagrams": self.ports[1]}
        (space / "given.json").write_text(json.dumps(self.given | ports))
        argv = self.words(space, [str(space / "given.json"), *names])
        spec = {
            "argv": argv,
            "environment": {"PATH": os.defpath},
            "work": str(work),
            "measured": str(space / "tmp"),
            "limits": {"wall_seconds": PATIENCE, **limits},
            "grace_seconds": 0,
            "patience_seconds": 2 * PATIENCE,
            "confinement": {
                "level": level,
                "own_walls": self.way != "fresh",
                "readable": homes(self.python),
                "hidden": [str(self.data)],
                "files": [str(each) for each in space.iterdir() if each.is_file()],
            },
        }
        (space / "launch.json").write_text(json.dumps(spec))
        for path in (space, *space.rglob("*")):
            os.chown(path, self.user, self.user)
        self.launch(space)
        return Run(work, json.loads((space / "outcome.json").read_text()))

    def words(self, space: Path, words: list[str]) -> list[str]:
        """What starts the prisoner: itself, a command, or the task of the driver, which a fork runs in itself."""
        program = str(shutil.copy(PRISONER, space))
        alone = [self.python, "-I", "-S", program, *words]
        if self.way == "fresh":
            return alone
        if self.way == "command":
            (space / "task.sh").write_text(f"{LIMITED}exec {shlex.join(alone)}\n")
            return [SHELL, str(space / "task.sh")]
        (space / "task.py").write_text(TASK.format(program=program, words=words))
        return [self.python, str(shutil.copy(DRIVER, space))]

    def launch(self, space: Path) -> None:
        """See it to its end, by a launcher that this world's user starts."""
        if self.way != "fresh":
            assert self.starter.stdin is not None and self.starter.stdout is not None
            print(space, file=self.starter.stdin, flush=True)
            assert self.starter.stdout.readline() == "started\n"
            eventually(lambda: (space / "outcome.json").exists(), 2 * PATIENCE, pause=0.02)
        else:
            words = [self.python, "-I", "-S", str(local.LAUNCHER), str(space)]
            alone: dict[str, Any] = {"env": {"PATH": os.defpath}, "cwd": "/", "check": False}
            subprocess.run(words, timeout=2 * PATIENCE, **alone, **self.as_user)
        assert (space / "outcome.json").exists(), (space / "launcher.log").read_text()

    def quiet(self, level: int) -> dict[str, Any]:
        """What a run got into that tried all that disturbs nobody."""
        if (level, "quiet") not in self.known:
            run = self.run(level, *QUIET, output_bytes=MEGABYTE)
            found = run.found
            found["outside"] = self.takes_away(*self.given["outside"])
            found["temporary"] = self.takes_away(f"/tmp/{self.mark}", f"/var/tmp/{self.mark}")  # noqa: S108
            found["shared_memory"] = self.takes_away(f"/dev/shm/{self.mark}")  # noqa: S108
            found["setuid"] = any(each.lstat().st_mode & (stat.S_ISUID | stat.S_ISGID) for each in run.work.iterdir())
            self.known[level, "quiet"] = found
        return self.known[level, "quiet"]

    def takes_away(self, *places: str) -> bool:
        """Whether there was anything to take."""
        there = [Path(each) for each in places if Path(each).exists()]
        for each in there:
            each.unlink()
        return bool(there)

    def close(self) -> None:
        for each in (self.service, self.starter):
            each.kill()
            each.wait()
        shutil.rmtree(self.root, ignore_errors=True)


@dataclass
class Run:
    work: Path
    outcome: dict[str, Any]

    @property
    def found(self) -> dict[str, Any]:
        """What it told; nothing where it was ended before."""
        file = self.work / "found.json"
        found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        return found

    @property
    def reason(self) -> str:
        return str(self.outcome["reason"])

    @property
    def size(self) -> int:
        return sum(each.stat().st_size for each in self.work.iterdir())


QUIET = {
    "environment": "SB-01", "settings": "SB-02", "database": "SB-03", "broker": "SB-04", "loopback": "SB-05",
    "other_run": "SB-06", "shadow": "SB-07", "home_of_root": "SB-08", "outside": "SB-09", "temporary": "SB-10",
    "shared_memory": "SB-11", "kills": "SB-12", "traces": "SB-13", "others": "SB-14", "setuid": "SB-23",
    "datagram": "SB-27", "vsock": "SB-28", "netlink": "SB-29", "raw": "SB-30", "abstract": "SB-31", "keyring": "SB-32",
    "io_uring": "SB-33", "mounts": "SB-34", "handles": "SB-35", "machine": "SB-36", "secret": "SB-38",
    "reserves": "SB-40", "bounds_the_service": "SB-44", "letter": "SB-45", "changes_modes": "SB-46",
    "memory_of_the_teller": "SB-47", "is_spared": "SB-49",
}  # fmt: skip


def starters() -> list[str]:
    return ["root", "ordinary"] if os.geteuid() == 0 else ["ordinary"]


def cells() -> list[tuple[str, int, str]]:
    levels = [(who, level) for who in starters() for level in offered() if level < 4 or who == "root"]
    return [(who, level, way) for who, level in levels for way in WAYS]


@pytest.fixture(scope="session")
def worlds() -> Iterator[Callable[[str, str], World]]:
    made: dict[tuple[str, str], World] = {}

    def world(who: str, way: str) -> World:
        if (who, way) not in made:
            user = 0 if who == "root" else os.geteuid() or ORDINARY
            root = Path(tempfile.mkdtemp(prefix="portal-world-", dir="/var/tmp"))
            made[who, way] = World(root, user, python_for(user), way)
        return made[who, way]

    yield world
    for each in made.values():
        each.close()


def python_for(user: int) -> str:
    """This one, unless another user cannot reach it."""
    if user == os.geteuid():
        return sys.executable
    base = os.path.realpath(sys.executable)
    reached = subprocess.run([base, "-c", ""], user=user, group=user, capture_output=True) if reachable(base) else None
    return base if reached and reached.returncode == 0 else "/usr/bin/python3"


def reachable(path: str) -> bool:
    return all(each.stat().st_mode & 0o001 for each in Path(path).parents)


@pytest.fixture(params=cells(), ids=lambda cell: "-".join(map(str, cell)))
def cell(request: pytest.FixtureRequest, worlds: Callable[[str, str], World]) -> tuple[World, str, int]:
    who, level, way = request.param
    return worlds(who, way), who, level


Cell = tuple[World, str, int]


def expects_in(number: str, who: str, level: int) -> bool:
    least = TABLE["blocked_from"][number]
    if landlock.version() < landlock.SCOPED:
        least = TABLE["old_landlock"].get(number, least)
    return bool(level < (TABLE["ordinary"].get(number, least) if who == "ordinary" else least))


def check(number: str, cell: Cell, got_in: object) -> None:
    _, who, level = cell
    assert bool(got_in) is expects_in(number, who, level), f"{number} at level {level}, started by {who}: {got_in}"


@pytest.mark.attack(
    "SB-01", "SB-02", "SB-03", "SB-04", "SB-05", "SB-06", "SB-07", "SB-08", "SB-09", "SB-10", "SB-11", "SB-12", "SB-13",
    "SB-14", "SB-23", "SB-27", "SB-28", "SB-29", "SB-30", "SB-31", "SB-32", "SB-33", "SB-34", "SB-35", "SB-36", "SB-38",
    "SB-40", "SB-44", "SB-45", "SB-46", "SB-47", "SB-49",
)  # fmt: skip
@pytest.mark.parametrize("name", QUIET)
def test_it_gets_in_only_where_the_table_says_so(cell: Cell, name: str) -> None:
    world, _, level = cell

    check(QUIET[name], cell, world.quiet(level)[name])


@pytest.mark.attack("SB-15")
def test_it_cannot_fork_without_end(cell: Cell) -> None:
    world, _, level = cell

    check("SB-15", cell, (world.run(level, "forks").found.get("forks") or 0) >= LOUD)


@pytest.mark.attack("SB-16")
def test_it_cannot_start_threads_without_end(cell: Cell) -> None:
    world, _, level = cell

    check("SB-16", cell, (world.run(level, "threads").found.get("threads") or 0) >= LOUD)


@pytest.mark.attack("SB-17")
def test_it_takes_no_more_memory_than_it_may(cell: Cell) -> None:
    world, _, level = cell

    check("SB-17", cell, world.run(level, "takes_memory", memory_bytes=100 * MEGABYTE).reason != "memory")


@pytest.mark.attack("SB-18")
def test_it_takes_no_more_memory_in_many_processes(cell: Cell) -> None:
    world, _, level = cell

    check("SB-18", cell, world.run(level, "takes_memory_in_many", memory_bytes=200 * MEGABYTE).reason != "memory")


@pytest.mark.attack("SB-19")
def test_it_takes_no_more_processor_time_than_it_may(cell: Cell) -> None:
    world, _, level = cell

    check("SB-19", cell, world.run(level, "burns", cpu_seconds=1).reason != "cpu_time")


@pytest.mark.attack("SB-20")
def test_it_does_not_fill_the_disk_with_many_files(cell: Cell) -> None:
    world, _, level = cell

    run = world.run(level, "fills", output_bytes=100 * MEGABYTE)

    check("SB-20", cell, run.reason != "output_limit" or run.size >= 1000 * MEGABYTE)


@pytest.mark.attack("SB-39", "SB-48")
@pytest.mark.parametrize(
    ("number", "name", "reason"),
    [
        ("SB-39", "deletes_and_keeps", "output_limit"),
        ("SB-48", "fills_closed_folders", "output_limit"),
        ("SB-48", "fills_deep_folders", "files_limit"),
    ],
)
def test_it_does_not_fill_the_disk_with_files_that_nobody_sees(cell: Cell, number: str, name: str, reason: str) -> None:
    world, _, level = cell

    check(number, cell, world.run(level, name, output_bytes=20 * MEGABYTE).reason != reason)


@pytest.mark.attack("SB-41", "SB-42")
@pytest.mark.parametrize(("number", "name"), [("SB-41", "burns_in_orphans"), ("SB-42", "burns_in_forgotten_children")])
def test_it_hides_no_processor_time(cell: Cell, number: str, name: str) -> None:
    world, _, level = cell

    run = world.run(level, name, cpu_seconds=1)

    check(number, cell, run.reason != "cpu_time" or run.outcome["usage"]["cpu_seconds"] > 3)


@pytest.mark.attack("SB-43")
def test_it_takes_no_memory_that_is_nobodys(cell: Cell) -> None:
    world, _, level = cell

    run = world.run(level, "takes_memory_of_nobody", memory_bytes=200 * MEGABYTE)

    check("SB-43", cell, run.found.get("takes_memory_of_nobody"))


@pytest.mark.attack("SB-21")
def test_it_does_not_use_all_inodes_up(cell: Cell) -> None:
    world, _, level = cell

    run = world.run(level, "litters", files=1000)

    check("SB-21", cell, run.reason != "files_limit" or len(list(run.work.iterdir())) >= 20_000)


@pytest.mark.attack("SB-22")
def test_it_makes_no_file_beyond_its_limit(cell: Cell) -> None:
    world, _, level = cell

    check("SB-22", cell, world.run(level, "stretches", output_bytes=100 * MEGABYTE).size >= 100 * MEGABYTE)


@pytest.mark.attack("SB-24", "SB-25", "SB-26")
@pytest.mark.parametrize(
    ("number", "name"), [("SB-24", "double_forked"), ("SB-25", "of_own_session"), ("SB-26", "deaf")]
)
def test_it_leaves_no_process_behind(cell: Cell, number: str, name: str) -> None:
    world, _, level = cell

    assert world.run(level, name).found == {name: 1}

    check(number, cell, processes_with(world.mark))


def processes_with(mark: str) -> list[int]:
    """Those that bear it among their words, but the service, which was given it with its own."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if mark.encode() in each.read_bytes().split(b"\0"):
                found.append(int(each.parent.name))
    return found


@pytest.mark.attack("SB-37")
def test_it_leaves_nothing_that_the_next_run_sees(cell: Cell) -> None:
    world, _, level = cell

    world.run(level, "litters_everywhere")
    found = world.run(level, "finds_anything").found["finds_anything"]

    places = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/run/lock", "/dev/mqueue", "", "/home", world.data)  # noqa: S108
    world.takes_away(*(f"{place}/{world.mark}" for place in places))
    key = world.given["key"]
    subprocess.run(["ipcrm", "-M", key, "-S", key], capture_output=True, check=False)
    check("SB-37", cell, found)


@pytest.mark.attack("SB-01")
def test_it_was_tried_at_level_3_at_least_where_all_is_tested() -> None:
    assert os.environ.get("CI") != "true" or max(offered()) >= 3


def test_the_table_names_every_attack_once() -> None:
    assert list(TABLE["blocked_from"]) == list(TABLE["attacks"])
