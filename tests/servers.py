"""Real servers on loopback, each started for the tests that name it and ended after them."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import redis as redis_client

ROOT = Path(__file__).resolve().parents[1]
OWN = re.compile(r"^(PORT|PORTAL_\w+|DATABASE_URL|BROKER_URL|SECRET_KEY|MAIL_\w+)$")
ADMIN_PASSWORD = "correct horse battery"


UNCONFINED = {"PORTAL_LEVEL": "1", "PORTAL_MIN_LEVEL": "1", "PORTAL_MIN_LEVEL_ANONYMOUS": "1"}


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without any setting of a portal, then what is given.

    Runs are not confined where nothing else is said, for tests that look over their shoulders by files of their own;
    in a whole portal (`settings_for`) they are, as far as the machine lets them.
    """
    return {name: value for name, value in os.environ.items() if not OWN.match(name)} | UNCONFINED | dict(extra)


def migrate(extra: Mapping[str, str]) -> None:
    """Bring a database to the newest migration by the command that an administrator uses."""
    flask("db", "upgrade", extra=extra)


def flask(*words: str, extra: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app", *words],
        cwd=ROOT, env=environment(extra), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(condition: Callable[[], object], seconds: float = 60, pause: float = 0.1) -> object:
    """Wait for something to become true, and give it; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in {seconds} s: {condition}"
        time.sleep(pause)
    return found


@contextmanager
def process(command: Sequence[str], extra: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a group of its own, its output in a file; ended by SIGTERM, then by force."""
    with log.open("ab") as output:
        started = subprocess.Popen(
            command, cwd=ROOT, env=environment(extra), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield started
    finally:
        end(started)


def end(started: subprocess.Popen[bytes], seconds: float = 20) -> None:
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 10)):
        if started.poll() is None:
            os.killpg(started.pid, number)
            try:
                started.wait(patience)
            except subprocess.TimeoutExpired:
                continue


@contextmanager
def postgresql() -> Iterator[str]:
    """A cluster of its own; gives the URL of an empty database in it."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    directory = Path(tempfile.mkdtemp(prefix="portal-pg-"))
    user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    if user:
        shutil.chown(directory, "postgres")
    port = free_port()
    settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={directory} -c max_connections=100"
    control = [*user, str(programs / "pg_ctl"), "-D", str(directory / "data"), "-w", "-s"]
    initdb = [
        *user,
        str(programs / "initdb"),
        "-D",
        str(directory / "data"),
        "-U",
        "portal",
        "-A",
        "trust",
        "-E",
        "UTF8",
    ]
    try:
        subprocess.run(initdb, check=True, capture_output=True, cwd="/")
        subprocess.run([*control, "-o", settings, "-l", str(directory / "log"), "start"], check=True, cwd="/")
        yield f"postgresql://portal@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, cwd="/")
        shutil.rmtree(directory, ignore_errors=True)


class Cluster:
    """A PostgreSQL cluster that can be stopped hard and started again on the same port."""

    def __init__(self, directory: Path) -> None:
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        self.port = free_port()
        self.url = f"postgresql://portal@127.0.0.1:{self.port}/postgres"
        self._data, self._log = directory / "data", directory / "log"
        self._as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        self._programs = programs
        if self._as_user:
            shutil.chown(directory, "postgres")
        self._run("initdb", "-D", str(self._data), "-U", "portal", "-A", "trust", "-E", "UTF8")

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._data.parent}"
        self._control("-o", f"{options} -c max_connections=100", "-l", str(self._log), "start")

    def stop(self) -> None:
        """As if the machine lost its power: no goodbye to anybody."""
        self._control("-m", "immediate", "stop")

    def restart(self) -> None:
        self.stop()
        self.start()

    def terminate_backends(self) -> None:
        """Cut every connection from the server's side."""
        execute(
            self.url, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'",
        )  # fmt: skip

    def freeze(self) -> None:
        """Every process of it stands still; its port still takes connections."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        postmaster = (self._data / "postmaster.pid").read_text().split()[0]
        tasks = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in [postmaster, *tasks]:
            os.kill(int(pid), number)

    def _control(self, *words: str) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-w", "-s", *words)

    def _run(self, program: str, *words: str) -> None:
        command = [*self._as_user, str(self._programs / program), *words]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/")


@contextmanager
def own_cluster() -> Iterator[Cluster]:
    """A cluster that a test may stop, freeze and start again."""
    directory = Path(tempfile.mkdtemp(prefix="portal-pg-"))
    cluster = Cluster(directory)
    try:
        cluster.start()
        yield cluster
    finally:
        with suppress(subprocess.CalledProcessError):
            cluster.stop()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def new_database(cluster: str, template: str = "template1") -> Iterator[str]:
    """A database of a cluster, empty or a copy of another one, dropped afterwards."""
    name = f"portal_{secrets.token_hex(4)}"
    execute(cluster, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield cluster.rpartition("/")[0] + f"/{name}"
    finally:
        execute(cluster, f"DROP DATABASE {name} WITH (FORCE)")


def execute(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        connection.cursor().execute(statement)
    finally:
        connection.close()


@contextmanager
def redis() -> Iterator[str]:
    """Debian's Redis with a password; gives its URL."""
    port, password = free_port(), secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="portal-redis-") as directory:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--requirepass", password, "--save", "",
                   "--appendonly", "no", "--maxmemory-policy", "noeviction", "--dir", directory]  # fmt: skip
        with process(command, {}, Path(directory) / "log"):
            eventually(lambda: _listens(port))
            yield f"redis://:{password}@127.0.0.1:{port}/0"


class Broker:
    """A Redis without persistence that can be frozen, emptied, killed and started again on the same port."""

    def __init__(self, directory: Path) -> None:
        self.port, self._password = free_port(), secrets.token_hex(8)
        self.url = f"redis://:{self._password}@127.0.0.1:{self.port}/0"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", self._password,
                 "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction", "--dir", str(self._directory)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        eventually(lambda: _listens(self.port))

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        if self._process:
            self._process.wait()

    def empty(self) -> None:
        redis_client.Redis.from_url(self.url).flushall()

    def length(self, queue: str) -> int:
        """How many words wait in a queue."""
        return int(redis_client.Redis.from_url(self.url).llen(queue))

    def _signal(self, number: int) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)


@contextmanager
def own_broker() -> Iterator[Broker]:
    """A Redis that a test may freeze, kill and start again."""
    with tempfile.TemporaryDirectory(prefix="portal-redis-") as directory:
        broker = Broker(Path(directory))
        broker.start()
        try:
            yield broker
        finally:
            broker.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True)
class Portal:
    """A running portal: its address, its data, and the settings that its processes have."""

    url: str
    data: Path
    settings: dict[str, str]
    log: Path
    starter: subprocess.Popen[bytes] | None = None

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/sign-in", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def settings_for(data: Path, extra: Mapping[str, str]) -> dict[str, str]:
    return {
        "PORT": str(free_port()),
        "PORTAL_DATA": str(data),
        "PORTAL_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "PORTAL_BEAT_SECONDS": "0.5",
        "PORTAL_POLL_SECONDS": "1",
        **{f"PORTAL_{what}_LIMIT": "100000 per minute" for what in ("SIGN_IN", "RATE", "SUBMIT", "MISS")},
        "PORTAL_QUEUE_HOG_SIZE": "",
        "PORTAL_QUEUE_HARD_LIMIT": "",
        "PORTAL_LEVEL": "4",
        **extra,
    }


@contextmanager
def portal_in_one(data: Path, extra: Mapping[str, str] | None = None) -> Iterator[Portal]:
    """What `make run` starts: SQLite, the embedded broker, and all processes under one."""
    chosen = settings_for(data, extra or {})
    log = data / "log"
    data.mkdir(parents=True, exist_ok=True)
    with process([sys.executable, "-m", "flask", "--app", "app", "start"], chosen, log) as starter:
        portal = Portal(f"http://127.0.0.1:{chosen['PORT']}", data, chosen, log, starter)
        eventually(lambda: portal.answers() or starter.poll() is not None)
        assert starter.poll() is None, log.read_text()
        yield portal


@contextmanager
def portal_apart(data: Path, database: str, broker: str, extra: Mapping[str, str] | None = None) -> Iterator[Portal]:
    """What an administrator starts apart: gunicorn, celery worker and beat on PostgreSQL and an external Redis."""
    chosen = settings_for(data, {"DATABASE_URL": database, "BROKER_URL": broker, **(extra or {})})
    data.mkdir(parents=True, exist_ok=True)
    flask("setup", extra=chosen)
    celery = [sys.executable, "-m", "celery", "-A", "workers.celery_app"]
    bind = f"127.0.0.1:{chosen['PORT']}"
    queues = "chores,high_localhost,localhost,low_localhost,high_R,R,low_R"
    with ExitStack() as stack:
        for command in (
            [sys.executable, "-m", "gunicorn", "-c", "python:portal.serving", "app:create_app()", "-b", bind, "-w",
             "2"],
            [*celery, "worker", "-Q", queues, "-c", "4", "--loglevel", "info"],
            [*celery, "beat", "--pidfile=", "--loglevel", "info"],
        ):  # fmt: skip
            stack.enter_context(process(command, chosen, data / "log"))
        portal = Portal(f"http://{bind}", data, chosen, data / "log")
        eventually(portal.answers)
        yield portal
