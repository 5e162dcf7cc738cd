"""The rig: the real processes of one portal, each of which can be killed by itself; a supervisor starts them again.

Two worker nodes, the second with a host name of its own where the machine permits that, so that a run is taken up by
its handle on one node and queued again for the other. The rig's mounts live in a mount namespace of its own.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis
from aiosmtpd.controller import Controller

from tests.faults.client import Client
from tests.faults.journal import Journal
from tests.faults.records import Database, processes_of
from tests.proxy import CuttingProxy
from tests.servers import ADMIN_PASSWORD, ROOT, Cluster, environment, eventually, free_port

LEASE = 4.0
BEAT = 0.5
ORPHAN = 15
MAX_LOST = 12
DISK_BYTES = 64_000_000
FLOOR_BYTES = 8_000_000
SLOTS = 3
CLONE_NEWNS = 0x00020000
LIBC = ctypes.CDLL(None, use_errno=True)
SETTINGS = {
    "PORTAL_ADMIN_PASSWORD": ADMIN_PASSWORD,
    "PORTAL_LEASE_SECONDS": str(LEASE),
    "PORTAL_BEAT_SECONDS": str(BEAT),
    "PORTAL_POLL_SECONDS": "1",
    "PORTAL_CLEAN_SECONDS": "2",
    "PORTAL_ORPHAN_SECONDS": str(ORPHAN),
    "PORTAL_HAND_OVER_SECONDS": "20",
    "PORTAL_MAX_LOST": str(MAX_LOST),
    "PORTAL_DISK_FLOOR_BYTES": str(FLOOR_BYTES),
    "PORTAL_QUEUE_HOG_SIZE": "",
    "PORTAL_QUEUE_HARD_LIMIT": "",
    **{f"PORTAL_{what}_LIMIT": "100000 per minute" for what in ("SIGN_IN", "RATE", "SUBMIT", "MISS")},
}
QUEUES = "chores,every,high_localhost,localhost,low_localhost"


def own_mounts() -> bool:
    """From now on this process's mounts are its own and end with it, whatever ends it. False: not permitted."""
    if LIBC.unshare(CLONE_NEWNS) != 0:
        return False
    private = ["mount", "--make-rprivate", "/"]
    return subprocess.run(private, check=False, capture_output=True).returncode == 0


@dataclass
class Service:
    """One program in a group of its own. While `held` nobody starts it again."""

    name: str
    command: Sequence[str]
    settings: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    held: bool = False
    again: float | None = None
    former: list[int] = field(default_factory=list)
    closed: bool = False

    def start(self) -> None:
        if self.closed:
            return
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=environment(self.settings), stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, start_new_session=True,
            )  # fmt: skip
        self.former.append(self.process.pid)
        self.again = None

    @property
    def pid(self) -> int:
        return self.process.pid if self.process else 0

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> bool:
        """To the program and all of its group; False when there is none."""
        if not self.pid:
            return False
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)
            return True
        return False

    def children(self) -> list[int]:
        try:
            return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        except OSError:
            return []

    def ghosts(self) -> list[int]:
        """The earlier lives of which some process still lives."""
        return [pid for pid in self.former if pid != self.pid and _lives(pid)]

    def end(self) -> None:
        """With whatever is left of its earlier lives, for ever."""
        self.closed = True
        for pid in self.former:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        if self.process:
            self.process.wait()


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


class Post:
    """A real SMTP server that notes what it takes."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.port = free_port()
        self.controller: Controller | None = None

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:  # noqa: N802
        await asyncio.sleep(0)
        for to in envelope.rcpt_tos:  # type: ignore[attr-defined]
            self.journal.letters.append((time.time(), to))
        return "250 taken"

    def open(self) -> None:
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self.controller.start()

    def close(self) -> None:
        if self.controller:
            self.controller.stop()
            self.controller = None


class Rig:
    """One portal with everything it needs, under one directory that is removed when nothing was found."""

    def __init__(self, kind: str, directory: Path, chance: random.Random) -> None:
        self.kind, self.directory, self.chance = kind, directory, chance
        self.journal = Journal()
        self.data, self.log = directory / "data", directory / "log"
        self.runs, self.files = self.data / "runs", self.data / "files"
        self.temporary = directory / "tmp"
        self.cluster: Cluster | None = None
        self.proxy: CuttingProxy | None = None
        self.post = Post(self.journal)
        self.client = Client(free_port())
        self.broker_port = free_port()
        self.services: dict[str, Service] = {}
        self.disks = False
        self.hosts_differ = bool(_another_host())
        self.over = threading.Event()
        self._stack = ExitStack()

    @property
    def is_postgresql(self) -> bool:
        return self.kind == "postgresql"

    @property
    def database(self) -> Database:
        """Without the proxy, for the rig and the checker."""
        return Database(self.cluster.url if self.cluster else str(self.data / "portal.db"))

    @property
    def broker_url(self) -> str:
        """A socket in the data, as `make run` has it, or a Redis on the network."""
        if self.is_postgresql:
            return f"redis://127.0.0.1:{self.broker_port}/0"
        return f"redis+socket://{self.data / 'broker.sock'}"

    def broker(self) -> redis.Redis:
        """The rig's own connection to it."""
        if self.is_postgresql:
            return redis.Redis(port=self.broker_port, socket_timeout=5)
        return redis.Redis(unix_socket_path=str(self.data / "broker.sock"), socket_timeout=5)

    @contextmanager
    def running(self) -> Iterator[Rig]:
        try:
            self._make_directories()
            self.post.open()
            self._stack.callback(self.post.close)
            if self.is_postgresql:
                self._start_postgresql()
            self._prepare()
            for service in self._services():
                self.services[service.name] = service
                service.start()
            supervisor = threading.Thread(target=self._supervise, daemon=True)
            supervisor.start()
            eventually(self.client.answers, 60)
            yield self
        finally:
            self.over.set()
            self._end()

    def worker(self, chance: random.Random) -> Service:
        return self.services[chance.choice(("worker a", "worker b"))]

    def as_settings(self) -> dict[str, str]:
        found = SETTINGS | {
            "PORT": str(self.client.port),
            "PORTAL_DATA": str(self.data),
            "TMPDIR": str(self.temporary),
            "MAIL_SERVER": "127.0.0.1",
            "MAIL_PORT": str(self.post.port),
            "MAIL_FROM": "portal@example.org",
            "BROKER_URL": self.broker_url,
        }
        return found | ({"DATABASE_URL": self.proxy.url} if self.proxy else {})

    def python(self, *words: str, patience: float = 60) -> subprocess.CompletedProcess[str]:
        """A program with the portal's settings, run to its end."""
        return subprocess.run(
            [sys.executable, *words],
            cwd=ROOT, env=environment(self.as_settings()), capture_output=True, text=True, check=False,
            timeout=patience,
        )  # fmt: skip

    def _make_directories(self) -> None:
        for each in (self.runs, self.files, self.log / "locks", self.log / "failed", self.temporary):
            each.mkdir(parents=True)
        self.log.chmod(0o777)
        self.disks = all(self._mount(each) for each in (self.runs, self.files))

    def _mount(self, directory: Path) -> bool:
        size = f"size={DISK_BYTES if directory == self.runs else 4 * DISK_BYTES}"
        command = ["mount", "-t", "tmpfs", "-o", size, "none", str(directory)]
        if subprocess.run(command, check=False, capture_output=True).returncode != 0:
            return False
        self._stack.callback(subprocess.run, ["umount", "-l", str(directory)], check=False, capture_output=True)
        return True

    def _start_postgresql(self) -> None:
        where = self.directory / "postgresql"
        where.mkdir()
        self.directory.chmod(0o755)
        self.cluster = Cluster(where)
        self._stack.callback(self._stop_postgresql)
        self.cluster.start()
        self.proxy = CuttingProxy(self.cluster.url)
        self._stack.callback(self.proxy.close)

    def _stop_postgresql(self) -> None:
        if self.cluster:
            with suppress(OSError, subprocess.CalledProcessError):
                self.cluster.thaw()
            with suppress(subprocess.CalledProcessError):
                self.cluster.stop()

    def _prepare(self) -> None:
        for words in (("-m", "flask", "--app", "app", "setup"), ("-m", "tests.faults.load", str(self.log), str(LEASE))):
            done = self.python(*words)
            assert done.returncode == 0, done.stderr

    def _services(self) -> Iterator[Service]:
        celery = [sys.executable, "-m", "celery", "-A", "workers.celery_app"]
        settings = self.as_settings()
        bind = f"127.0.0.1:{self.client.port}"
        web = [sys.executable, "-m", "gunicorn", "-c", "python:portal.serving", "app:create_app()", "-b", bind,
               "-w", "2"]  # fmt: skip
        worker = [*celery, "worker", "-Q", QUEUES, "-c", str(SLOTS), "--loglevel", "info", "--without-gossip",
                  "--without-mingle", "--without-heartbeat"]  # fmt: skip
        yield self._service("broker", self._broker(), settings)
        yield self._service("web", web, settings)
        yield self._service("worker a", [*worker, "-n", "a@%h"], settings)
        yield self._service("worker b", [*_another_host(), *worker, "-n", "b@%h"], settings)
        yield self._service("clock", [*celery, "beat", "--pidfile=", "--loglevel", "warning"], settings)

    def _service(self, name: str, command: Sequence[str], settings: Mapping[str, str]) -> Service:
        return Service(name, command, settings, self.directory / f"{name}.log")

    def _broker(self) -> list[str]:
        own = ["--port", "0", "--unixsocket", str(self.data / "broker.sock")]
        where = ["--port", str(self.broker_port), "--bind", "127.0.0.1"] if self.is_postgresql else own
        return ["redis-server", *where, "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction",
                "--dir", str(self.data)]  # fmt: skip

    def _supervise(self) -> None:
        """Start what ended again after a random pause, mostly short; now and then longer than another node waits."""
        while not self.over.wait(0.1):
            for service in list(self.services.values()):
                if service.held or service.alive():
                    continue
                if service.again is None:
                    long = service.name.startswith("worker") and self.chance.random() < 0.25
                    service.again = time.monotonic() + self.chance.uniform(*((10, 14) if long else (0.1, 1.5)))
                if time.monotonic() >= service.again:
                    service.start()

    def _end(self) -> None:
        for service in self.services.values():
            service.held = True
        for service in self.services.values():
            service.end()
        for pid in processes_of(self.runs):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._stack.close()


def _another_host() -> list[str]:
    """In front of a command: a host name of its own, or nothing where that is not permitted."""
    words = ["unshare", "--uts", "sh", "-c", 'hostname node-b && exec "$@"', "sh"]
    possible = shutil.which("unshare") and subprocess.run([*words, "true"], check=False, capture_output=True)
    return words if possible and possible.returncode == 0 else []
