"""What may go wrong, one function a kind. Each says whether it hit anything; the rig starts again what it killed."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from redis import RedisError

from tests.faults.client import NoAnswer
from tests.faults.journal import Back, Injected, Killed, Request, Stop
from tests.faults.records import Line, execution, launchers_of, processes_of
from tests.faults.rig import FLOOR_BYTES, LEASE, Rig, Service
from tests.servers import eventually

BOTH = ("sqlite", "postgresql")
SQLITE, POSTGRESQL = BOTH[:1], BOTH[1:]
Make = Callable[["Scene"], bool]
HOSTILE = (
    b"not json at all \xff\xfe",
    b"{}",
    b"[]",
    b"null",
    b'"wake"',
    b'{"body": 7}',
    b"x" * 2_000_000,
)


@dataclass(frozen=True)
class Kind:
    """One kind of fault. `needs`: what nothing else may disturb meanwhile. A `slow` one is for long runs only."""

    name: str
    make: Make
    needs: str
    databases: tuple[str, ...] = BOTH
    slow: bool = False


KINDS: dict[str, Kind] = {}


def kind(name: str, needs: str, databases: tuple[str, ...] = BOTH, slow: bool = False) -> Callable[[Make], Make]:
    def add(make: Make) -> Make:
        KINDS[name] = Kind(name, make, needs, databases, slow)
        return make

    return add


@dataclass
class Scene:
    """The rig as one fault sees it: with its own chance, and the line of the journal that it fills."""

    rig: Rig
    chance: random.Random
    injected: Injected

    def pause(self, least: float, most: float) -> None:
        time.sleep(self.chance.uniform(least, most))

    def running(self) -> list[Line]:
        """User processes that began and did not end."""
        lines = execution(self.rig.log)
        over = {(line.identity, line.task, line.pid) for line in lines if line.word in ("end", "fail")}
        begun = [line for line in lines if line.word == "start" and (line.identity, line.task, line.pid) not in over]
        return [line for line in begun if _is_of(line)]

    def is_back(self, what: str) -> None:
        self.rig.journal.back.append(Back(what, time.time()))


def _is_of(line: Line) -> bool:
    """Whether the process of this number is still the one that wrote the line."""
    try:
        return line.identity.encode() in Path(f"/proc/{line.pid}/environ").read_bytes()
    except OSError:
        return False


def _victims(pid: int) -> list[str]:
    """The submission whose run a process belongs to."""
    environment = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    home = next((each for each in environment.split("\0") if each.startswith("HOME=")), "")
    return [home.rpartition("/")[2]] if home else []


# Processes


@kind("web killed", "web")
def web_killed(scene: Scene) -> bool:
    return scene.rig.services["web"].signal(signal.SIGKILL)


@kind("worker killed", "worker")
def worker_killed(scene: Scene) -> bool:
    return scene.rig.worker(scene.chance).signal(signal.SIGKILL)


@kind("worker's main process killed", "worker")
def worker_main_killed(scene: Scene) -> bool:
    return _kill(scene.rig.worker(scene.chance).pid)


@kind("worker's child killed", "worker")
def worker_child_killed(scene: Scene) -> bool:
    children = scene.rig.worker(scene.chance).children()
    return bool(children) and _kill(scene.chance.choice(children))


@kind("launcher killed", "run")
def launcher_killed(scene: Scene) -> bool:
    launchers = list(launchers_of(scene.rig.runs))
    if not launchers:
        return False
    return _kill(scene.chance.choice(launchers))


@kind("user's process killed", "run")
def user_process_killed(scene: Scene) -> bool:
    """Its death is the user's own failure, hence told before it is done."""
    running = scene.running()
    if not running:
        return False
    chosen = scene.chance.choice(running)
    scene.injected.victims.append(chosen.identity)
    scene.rig.journal.killed.append(Killed(chosen.identity, chosen.task, time.time()))
    return _kill(chosen.pid)


@kind("clock killed", "clock")
def clock_killed(scene: Scene) -> bool:
    return scene.rig.services["clock"].signal(signal.SIGKILL)


@kind("no clock for a while", "clock")
def no_clock(scene: Scene) -> bool:
    with _away(scene.rig.services["clock"]):
        scene.pause(6, 10)
    return True


@kind("worker frozen beyond its lease", "worker")
def worker_frozen(scene: Scene) -> bool:
    service = scene.rig.worker(scene.chance)
    if not service.signal(signal.SIGSTOP):
        return False
    try:
        scene.pause(1.5 * LEASE, 5 * LEASE)
    finally:
        service.signal(signal.SIGCONT)
    return True


@kind("worker's child frozen", "worker")
def worker_child_frozen(scene: Scene) -> bool:
    """Just while it has a run: it goes on between any two of its steps, when the run may be another's."""
    children = scene.rig.worker(scene.chance).children()
    if not children:
        return False
    chosen = scene.chance.choice(children)
    with suppress(ProcessLookupError):
        os.kill(chosen, signal.SIGSTOP)
        scene.pause(1.2 * LEASE, 3.2 * LEASE)
        os.kill(chosen, signal.SIGCONT)
        return True
    return False


@kind("worker's machine lost", "worker")
def machine_lost(scene: Scene) -> bool:
    """All that ran on a node is gone with it, and for so long that the other one takes its runs over."""
    service = scene.rig.worker(scene.chance)
    host = _host(service.pid)
    if not host or not scene.rig.hosts_differ:
        return False
    with _away(service):
        for pid in processes_of(scene.rig.runs):
            if _host(pid) == host:
                _kill(pid)
        scene.pause(2.6 * LEASE, 4 * LEASE)
    return True


@kind("rolling restart", "worker")
def rolling_restart(scene: Scene) -> bool:
    """The new worker is there before the old one is asked to end."""
    service = scene.rig.worker(scene.chance)
    old = service.process
    if old is None or old.poll() is not None:
        return False
    service.start()
    scene.pause(1, 3)
    with suppress(ProcessLookupError):
        os.kill(old.pid, signal.SIGTERM)
    eventually(lambda: old.poll() is not None, 40)
    return True


def _host(pid: int) -> str:
    """The name space of host names that a process lives in."""
    try:
        return str(Path(f"/proc/{pid}/ns/uts").readlink())
    except OSError:
        return ""


def _kill(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


@contextmanager
def _away(service: Service) -> Iterator[None]:
    """Killed, and not started again until the end."""
    service.held = True
    try:
        service.signal(signal.SIGKILL)
        yield
    finally:
        service.held = False


# Broker


@kind("broker killed", "broker")
def broker_killed(scene: Scene) -> bool:
    hit = scene.rig.services["broker"].signal(signal.SIGKILL)
    _until_broker_answers(scene)
    return hit


@kind("broker dead throughout", "broker")
def broker_dead(scene: Scene) -> bool:
    with _away(scene.rig.services["broker"]):
        scene.pause(6, 12)
    _until_broker_answers(scene)
    return True


@kind("broker emptied", "broker")
def broker_emptied(scene: Scene) -> bool:
    with suppress(RedisError):
        return bool(scene.rig.broker().flushall())
    return False


@kind("broker frozen", "broker")
def broker_frozen(scene: Scene) -> bool:
    broker = scene.rig.services["broker"]
    hit = broker.signal(signal.SIGSTOP)
    try:
        scene.pause(3, 8)
    finally:
        broker.signal(signal.SIGCONT)
    scene.is_back("broker")
    return hit


@kind("words said again", "words")
def words_again(scene: Scene) -> bool:
    with suppress(RedisError):
        broker = scene.rig.broker()
        for word in ("wake", "tell", "sweep"):
            for _ in range(20):
                broker.lpush(scene.chance.choice(("chores", "every", "localhost")), _message(word, []))
        return True
    return False


@kind("hostile words", "words")
def hostile_words(scene: Scene) -> bool:
    """Garbage, unknown tasks, wrong arguments, words of other types: whoever may write to the broker may do this."""
    words = [
        *HOSTILE,
        _message("no.such.task", []),
        _message("wake", [1, "two", {"three": 3}]),
        _message("sweep", ["x" * 500_000]),
        _message("wake", [], content_type="application/x-python-serialize"),
        _message("wake", [], body="%%%"),
        _message("wake", [], encoding="none"),
        _message("wake", [], headers={"task": "wake", "id": 7, "eta": "never", "expires": -1}),
    ]
    with suppress(RedisError):
        broker = scene.rig.broker()
        for word in scene.chance.sample(words, 6):
            broker.lpush(scene.chance.choice(("chores", "every", "localhost")), word)
        scene.injected.detail = "6 of them"
        return True
    return False


def _message(
    word: str,
    arguments: list[object],
    content_type: str = "application/json",
    body: str | None = None,
    headers: dict[str, object] | None = None,
    encoding: str | None = "base64",
) -> bytes:
    """A word as Celery puts it into Redis."""
    identity = str(uuid4())
    about = {"lang": "py", "task": word, "id": identity, "root_id": identity, "eta": None, "expires": None}
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    words = json.dumps([arguments, {}, embed]).encode()
    told = {
        "body": body or base64.b64encode(words).decode(),
        "content-encoding": "utf-8",
        "content-type": content_type,
        "headers": about if headers is None else headers,
        "properties": {
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "chores"},
            "priority": 0,
            "body_encoding": encoding,
            "delivery_tag": str(uuid4()),
        },
    }
    return json.dumps(told).encode()


def _until_broker_answers(scene: Scene) -> None:
    def answers() -> bool:
        with suppress(RedisError):
            return bool(scene.rig.broker().ping())
        return False

    eventually(answers, 30)
    scene.is_back("broker")


# Database


@kind("database stopped at once", "database", POSTGRESQL)
def database_stopped(scene: Scene) -> bool:
    cluster = scene.rig.cluster
    assert cluster
    cluster.stop()
    scene.pause(0, 4)
    cluster.start()
    scene.is_back("database")
    return True


@kind("database's connections ended", "database", POSTGRESQL)
def connections_ended(scene: Scene) -> bool:
    assert scene.rig.cluster
    scene.rig.cluster.terminate_backends()
    return True


@kind("commit without answer", "database", POSTGRESQL)
def answers_lost(scene: Scene) -> bool:
    proxy = scene.rig.proxy
    assert proxy
    return _lose(scene, proxy.lose_answers)


@kind("commit lost", "database", POSTGRESQL)
def commits_lost(scene: Scene) -> bool:
    proxy = scene.rig.proxy
    assert proxy
    return _lose(scene, proxy.lose_commits)


def _lose(scene: Scene, lose: Callable[[int], None]) -> bool:
    proxy = scene.rig.proxy
    assert proxy
    before = proxy.lost
    wanted = scene.chance.randint(1, 6)
    lose(wanted)
    deadline = time.monotonic() + 5
    while proxy.lost < before + wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    lose(0)
    scene.injected.detail = f"{proxy.lost - before} of {wanted}"
    return proxy.lost > before


@kind("database frozen", "database", POSTGRESQL)
def database_frozen(scene: Scene) -> bool:
    cluster = scene.rig.cluster
    assert cluster
    cluster.freeze()
    try:
        scene.pause(0.5 * LEASE, 2 * LEASE)
    finally:
        cluster.thaw()
    scene.is_back("database")
    return True


@kind("database held by another", "database", SQLITE)
def database_held(scene: Scene) -> bool:
    """Somebody else writes for so long that leases run out."""
    with closing(sqlite3.connect(scene.rig.database.place, timeout=20, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        scene.pause(0.5 * LEASE, 2 * LEASE)
        other.execute("ROLLBACK")
    scene.is_back("database")
    return True


@kind("killed while it writes", "database", SQLITE)
def writer_killed(scene: Scene) -> bool:
    """Whoever holds SQLite's write lock just now: 120 is its byte of the shared memory file."""
    inode = Path(f"{scene.rig.database.place}-shm").stat().st_ino
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if writer := _writer(inode):
            scene.injected.detail = Path(f"/proc/{writer}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:90]
            return _kill(writer)
    return False


def _writer(inode: int) -> int | None:
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if words[3] == "WRITE" and words[5].endswith(f":{inode}") and words[6] == "120":
            return int(words[4]) if int(words[4]) != os.getpid() else None
    return None


# Disk, mail


@kind("disk of the runs full", "disk")
def runs_disk_full(scene: Scene) -> bool:
    return _full(scene, scene.rig.runs)


@kind("disk of the files full", "disk")
def files_disk_full(scene: Scene) -> bool:
    return _full(scene, scene.rig.files)


def _full(scene: Scene, directory: Path) -> bool:
    """To the last byte, or only below the floor; again and again, as others free some meanwhile."""
    if not scene.rig.disks:
        scene.injected.detail = "no mount was permitted"
        return False
    keep = scene.chance.choice((0, 0, FLOOR_BYTES // 2))
    filler = directory / "filler"
    deadline = time.monotonic() + scene.chance.uniform(2, 6)
    try:
        while time.monotonic() < deadline:
            _fill(filler, directory, keep)
            time.sleep(0.02)
    finally:
        filler.unlink(missing_ok=True)
    return True


def _fill(filler: Path, directory: Path, keep: int) -> None:
    found = os.statvfs(directory)
    free = found.f_bavail * found.f_frsize - keep
    with suppress(OSError), filler.open("ab") as file:
        while free > 0:
            free -= file.write(b"\0" * min(free, 1 << 20))
            file.flush()


@kind("mail server away", "mail", slow=True)
def mail_away(scene: Scene) -> bool:
    scene.rig.post.close()
    try:
        scene.pause(3, 8)
    finally:
        scene.rig.post.open()
    return True


# What people do


@kind("stop", "people")
def stop(scene: Scene) -> bool:
    """A submission of which it is not known that it has ended; sometimes twice."""
    chosen = _some_submission(scene, ("QUEUED", "RUNNING"))
    if chosen is None:
        return False
    scene.injected.victims.append(chosen)
    for _ in range(scene.chance.choice((1, 1, 2))):
        _ask_stop(scene, chosen)
    return True


def _ask_stop(scene: Scene, uuid: str) -> None:
    asked = time.time()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not scene.rig.over.is_set():
        with suppress(NoAnswer):
            answer = scene.rig.client.stop(uuid)
            scene.rig.journal.statuses[answer.status] += 1
            if answer.status == 202:
                waiting = bool(answer.body.get("stopping"))
                scene.rig.journal.stops.append(Stop(uuid, asked, time.time(), waiting))
                return
            scene.injected.detail = f"answered {answer.status}"
        time.sleep(0.3)
    scene.rig.journal.stops.append(Stop(uuid, asked, time.time(), False))


@kind("resume", "people")
def resume(scene: Scene) -> bool:
    chosen = _some_submission(scene, ("ERROR", "STOPPED"))
    source = next((each for each in scene.rig.journal.accepted if chosen in _submissions_of(scene, each)), None)
    if chosen is None or source is None:
        return False
    scene.injected.victims.append(chosen)
    [job] = [row["job_name"] for row in _ask(scene, f"SELECT job_name FROM submission WHERE uuid = '{chosen}'")]
    request = Request(
        source.name, (str(job),), source.upload, source.email, str(uuid4()), time.time(), resumed_from=chosen
    )
    scene.rig.journal.requests.append(request)
    return _ask_resume(scene, request, chosen)


def _ask_resume(scene: Scene, request: Request, chosen: str) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not scene.rig.over.is_set():
        with suppress(NoAnswer):
            answer = scene.rig.client.resume(chosen, str(request.key))
            scene.rig.journal.statuses[answer.status] += 1
            if answer.status == 201:
                request.answered, request.uuid = time.time(), str(answer.body["batch"])
                return True
            scene.injected.detail = f"answered {answer.status} {answer.body.get('detail', '')}"
            if answer.status < 500:
                return False
        time.sleep(0.3)
    return False


def _some_submission(scene: Scene, states: tuple[str, ...]) -> str | None:
    wanted = " OR ".join(f"state = '{state}'" for state in states)
    rows = _ask(scene, f"SELECT uuid FROM submission WHERE ({wanted}) ORDER BY id DESC LIMIT 30")
    return str(scene.chance.choice(rows)["uuid"]) if rows else None


def _submissions_of(scene: Scene, request: Request) -> list[str]:
    question = f"SELECT s.uuid FROM submission s JOIN batch b ON b.id = s.batch_id WHERE b.uuid = '{request.uuid}'"
    return [str(row["uuid"]) for row in _ask(scene, question)]


def _ask(scene: Scene, question: str) -> list[dict[str, object]]:
    """Nothing while the database is away."""
    try:
        return scene.rig.database.rows(question)
    except Exception:  # noqa: BLE001 - whatever a database that is being tormented says
        return []


@kind("sweeps at once", "sweep")
def sweeps_at_once(scene: Scene) -> bool:
    sweeps = [threading.Thread(target=_sweep, args=(scene,)) for _ in range(2)]
    for each in sweeps:
        each.start()
    for each in sweeps:
        each.join()
    return True


def _sweep(scene: Scene) -> None:
    code = "from workers.sweep import sweep\nfor _ in range(20): sweep()"
    with suppress(Exception):
        scene.rig.python("-c", code, patience=30)
