"""The cleaner: what is over goes, with its processes; what is needed stays. The launchers and programs are real."""

from __future__ import annotations

import fcntl
import io
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from portal import queue, storage
from portal.database import now, transaction
from portal.domain.states import State
from portal.models import Account, Result, Run, Submission, Upload
from portal.services import keeping, progress, results
from portal.settings import settings
from tests.making import make_backend, make_job, make_task, submitted
from tests.servers import eventually
from workers import cleaner
from workers.cleaner import clean
from workers.execution import perform
from workers.runners import local
from workers.workspace import Workspace

Work = Callable[[], None]
FOREVER = "echo $$ > pid; sleep 600 & echo $! > child; wait"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch, session: Session, admin: Account) -> None:
    """What is left alone for a second is old, and the cleaner has its turn again at once. The portal is older."""
    quick(monkeypatch, orphan=1, lease=3, clean=0.2)
    with transaction(session):
        admin.created = now(-60)


def quick(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    for name, value in seconds.items():
        monkeypatch.setenv(f"PORTAL_{name.upper()}_SECONDS", str(value))
    monkeypatch.setenv("PORTAL_BEAT_SECONDS", "0.1")
    settings.cache_clear()


@pytest.fixture
def job(session: Session) -> str:
    make_task(session, "t", "command", "echo done", stdout=".txt")
    make_job(session, "job", [(1, "t")])
    return "job"


@pytest.fixture
def ended(session: Session, job: str, work: Work) -> Submission:
    submission = submitted(session, job)
    work()
    session.expire_all()
    assert submission.state is State.COMPLETE
    return submission


@pytest.fixture
def started(session: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], tuple[progress.Claim, Path]]]:
    """A run that goes on for ever, started by a worker that is lost, with a launcher that waits long for the next."""
    made: list[Path] = []

    def start() -> tuple[progress.Claim, Path]:
        make_task(session, "long", "command", FOREVER)
        make_job(session, "long", [(1, "long")])
        submitted(session, "long")
        claim = claimed()
        workspace = Workspace.of(claim)
        quick(monkeypatch, lease=600)
        workspace.prepare(workspace.sources(session))
        quick(monkeypatch, lease=3)
        session.rollback()
        with transaction() as own:
            progress.started(own, claim, local.handle(workspace.space))
        workspace.beat()
        local.start(local.handle(workspace.space))
        made.append(workspace.space)
        eventually(lambda: (workspace.directory / "child").exists())
        return claim, workspace.space

    yield start
    for space in made:
        local.end_abandoned(space)


def claimed() -> progress.Claim:
    with transaction() as own:
        claim = progress.claim(own, [queue.EVERY], "test", "elsewhere")
    assert claim is not None
    return claim


def pids(space: Path) -> list[int]:
    return [int(file.read_text()) for name in ("pid", "child") for file in space.glob(f"tmp/*/{name}")]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def cleaned_until(condition: Callable[[], bool]) -> None:
    eventually(lambda: clean() or condition())


def cleaned_for_a_while(data: Path) -> None:
    """Until things as old as everything here are gone: whatever stays then, stays."""
    bait_file, bait_space = data / "files" / "uploads" / str(uuid4()), settings().runs_directory / f"{uuid4()}.1"
    bait_file.parent.mkdir(parents=True, exist_ok=True)
    bait_file.touch()
    bait_space.mkdir(parents=True)
    cleaned_until(lambda: not bait_file.exists() and not bait_space.exists())


def over(session: Session, submission: Submission) -> None:
    with transaction(session):
        session.execute(update(Submission).where(Submission.id == submission.id).values(expires=now(-1)))


def is_gone(session: Session, submission_id: int) -> bool:
    session.rollback()
    session.expire_all()
    return session.get(Submission, submission_id) is None


def files(data: Path) -> list[str]:
    return sorted(str(path.relative_to(data / "files")) for path in data.glob("files/**/*") if path.is_file())


def spaces() -> list[str]:
    return sorted(path.name for path in settings().runs_directory.glob("*.*"))


def test_it_removes_what_is_due_without_waiting_for_its_turn_at_the_disk(
    session: Session, ended: Submission, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch, clean=600, orphan=600)
    clean()
    over(session, ended)

    clean()

    session.rollback()
    assert ended.removed is not None
    assert files(data) == []


def test_one_that_cannot_be_removed_keeps_no_other(
    session: Session, job: str, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = submitted(session, job), submitted(session, job)
    work()
    for submission in (first, second):
        over(session, submission)
    broken, remove = first.id, keeping.remove
    session.rollback()

    def remove_all_but_one(submission_id: int) -> None:
        if submission_id == broken:
            raise PermissionError
        remove(submission_id)

    monkeypatch.setattr(keeping, "remove", remove_all_but_one)
    clean()

    session.expire_all()
    assert (first.removed is None, second.removed is None) == (True, False)


def test_a_deleted_submission_is_stopped_and_gone_with_all_its_processes(session: Session, data: Path) -> None:
    make_task(session, "long", "command", FOREVER)
    make_job(session, "long", [(1, "long")])
    submission = submitted(session, "long")
    submission_id, claim = submission.id, claimed()
    space = Workspace.of(claim).space
    worker = threading.Thread(target=perform, args=(claim,))
    worker.start()
    eventually(lambda: len(pids(space)) == 2)
    processes = pids(space)
    session.rollback()

    with transaction(session):
        keeping.delete(session, submission)
    cleaned_until(lambda: is_gone(session, submission_id))
    worker.join()

    assert not any(map(alive, processes))
    assert (files(data), spaces()) == ([], [])


def test_it_ends_the_processes_of_a_run_that_is_over_and_removes_its_directory(
    session: Session, started: Callable[[], tuple[progress.Claim, Path]]
) -> None:
    claim, space = started()
    processes = pids(space)
    assert all(map(alive, processes))
    with transaction() as own:
        assert progress.release(own, claim, "it was lost")

    cleaned_until(lambda: not space.exists())

    assert not any(map(alive, processes))


def test_it_leaves_the_directory_and_the_processes_of_a_run_that_goes_on(
    session: Session, started: Callable[[], tuple[progress.Claim, Path]], data: Path
) -> None:
    """Also under the number of an earlier attempt: the next worker takes up the very same processes."""
    claim, space = started()
    with transaction() as own:
        own.execute(update(Run).where(Run.id == claim.run_id).values(attempt=claim.attempt + 1))

    cleaned_for_a_while(data)

    assert all(map(alive, pids(space)))
    assert len(pids(space)) == 2


def test_it_leaves_the_directory_that_a_worker_is_about_to_start_in_and_none_of_its_earlier_tries(
    session: Session, job: str, data: Path
) -> None:
    submitted(session, job)
    claim = claimed()
    own, earlier = (
        settings().runs_directory / f"{claim.uuid}.{number}" for number in (claim.attempt, claim.attempt - 1)
    )
    for space in (own, earlier):
        space.mkdir(parents=True)
        os.utime(space, (0, 0))

    cleaned_until(lambda: not earlier.exists())

    assert own.exists()


def test_it_removes_directories_that_a_run_has_closed_below_a_backends_root_too(
    session: Session, tmp_path: Path, data: Path
) -> None:
    root = tmp_path / "elsewhere"
    make_backend(session, "there", root_directory=str(root))
    space = root / f"{uuid4()}.1"
    (space / "tmp" / "closed").mkdir(parents=True)
    (space / "tmp" / "closed" / "file").touch()
    (space / "tmp" / "closed").chmod(0)

    cleaned_until(lambda: not space.exists())


def test_it_leaves_a_directory_for_as_long_as_somebody_says_to_be_there(session: Session, data: Path) -> None:
    """It may be another portal's that shares the root directory: its run is not known here."""
    space = settings().runs_directory / f"{uuid4()}.1"
    space.mkdir(parents=True)
    os.utime(space, (0, 0))
    over = threading.Event()

    def beat() -> None:
        while not over.wait(0.05):
            (space / "beat").touch()

    (space / "beat").touch()
    worker = threading.Thread(target=beat)
    worker.start()
    try:
        cleaned_for_a_while(data)
        assert space.exists()
    finally:
        over.set()
        worker.join()
    cleaned_until(lambda: not space.exists())


def test_it_has_more_patience_with_the_directory_of_a_run_that_is_not_known_here(
    ended: Submission, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch, orphan=600)
    known, unknown = (settings().runs_directory / f"{uuid}.1" for uuid in (ended.runs[0].uuid, uuid4()))
    for space in (known, unknown):
        space.mkdir(parents=True)
        minute_ago = file_time(space) - 60
        os.utime(space, (minute_ago, minute_ago))

    cleaned_until(lambda: not known.exists())

    assert unknown.exists()


def test_it_leaves_the_directory_of_another_machine_for_a_day(ended: Submission, data: Path) -> None:
    there = settings().runs_directory / f"{ended.runs[0].uuid}.1"
    there.mkdir(parents=True)
    (there / "launched.json").write_text('{"pid": 1, "started": 1, "boot": "another", "namespace": "another"}')
    hour, day = (file_time(there) - seconds for seconds in (3_600, 90_000))
    os.utime(there, (hour, hour))

    cleaned_for_a_while(data)
    assert there.exists()

    os.utime(there, (day, day))
    cleaned_until(lambda: not there.exists())


def test_it_waits_a_lease_only_for_what_this_machine_started_before_it_was_booted_anew(
    session: Session, job: str, data: Path
) -> None:
    """No process outlives a boot. A directory says which boot it is of, its try's worker on which machine."""
    spaces_of = {}
    for host in (socket.gethostname(), "elsewhere"):
        submitted(session, job)
        with transaction() as own:
            claim = progress.claim(own, [queue.EVERY], f"{host}/before:7", f"{host}/before")
        assert claim is not None
        space = Workspace.of(claim).space
        space.mkdir(parents=True)
        (space / "launched.json").write_text('{"pid": 1, "started": 1, "boot": "before"}')
        with transaction() as own:
            progress.started(own, claim, {"host": f"{host}/before", "space": str(space)})
            assert progress.give_back(own, claim, "it was lost")
        spaces_of[host] = space

    cleaned_until(lambda: not spaces_of[socket.gethostname()].exists())
    cleaned_for_a_while(data)

    assert spaces_of["elsewhere"].exists()


def file_time(path: Path) -> float:
    return path.stat().st_mtime


def test_it_leaves_what_is_not_a_runs_directory(data: Path, tmp_path: Path) -> None:
    kept = [settings().runs_directory / name for name in ("notes", "notes.1", f"{uuid4()}", f"{uuid4()}.old")]
    for directory in kept:
        directory.mkdir(parents=True)
        os.utime(directory, (0, 0))
    treasure = tmp_path / "treasure"
    (treasure / "inner").mkdir(parents=True)
    (treasure / "inner").chmod(0o500)
    os.utime(treasure, (0, 0))
    (settings().runs_directory / f"{uuid4()}.1").symlink_to(treasure)

    cleaned_for_a_while(data)

    assert all(directory.exists() for directory in [*kept, treasure])
    assert (treasure / "inner").stat().st_mode & 0o777 == 0o500


def test_it_removes_files_that_no_row_names(session: Session, ended: Submission, data: Path) -> None:
    needed = files(data)
    uuid = ended.runs[0].uuid
    for key in (f"uploads/{uuid4()}", f"{storage.of_run(uuid)}1-99", f"runs/{uuid}/7/1", f"runs/{uuid4()}/0/1"):
        storage.put(key, io.BytesIO(b"left"))
    (data / "files" / "uploads" / f"{uuid4()}.0123.part").touch()
    (data / "files" / "runs" / str(uuid4()) / "1").mkdir(parents=True)
    assert len(files(data)) == len(needed) + 5

    cleaned_until(lambda: files(data) == needed)

    assert len(needed) == 2
    assert [path.name for path in (data / "files" / "runs").iterdir()] == [uuid[:2]]


def test_it_takes_no_file_for_old_by_a_clock_that_was_just_set(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row may be committed in this very moment. What is still not named a while later goes."""
    quick(monkeypatch, orphan=300, clean=0.2)
    clean()
    key = f"uploads/{uuid4()}"
    storage.put(key, io.BytesIO(b"x"))
    real, ahead = time.time, 3_600.0
    monkeypatch.setattr(time, "time", lambda: real() + ahead)
    monkeypatch.setattr(cleaner, "_age", lambda session: float("inf"))

    os.utime(turn_of("files"), (0, 0))
    clean()
    assert files(data) == [key]

    os.utime(turn_of("files"), (0, 0))
    clean()
    assert files(data) == []


@pytest.mark.parametrize(
    ("start", "mark"),
    [(storage.of_run, "-1"), ("runs/{}/".format, "-1"), ("runs/{}/".format, "/1")],
    ids=["now", "by an older version", "by the first one"],
)
def test_it_leaves_the_files_that_a_worker_is_about_to_name(
    session: Session, job: str, data: Path, start: Callable[[str], str], mark: str
) -> None:
    submitted(session, job)
    claim = claimed()
    keys = [f"{start(claim.uuid)}{attempt}{mark}" for attempt in (claim.attempt, claim.attempt + 1)]
    for key in keys:
        storage.put(key, io.BytesIO(b"x"))

    cleaned_until(lambda: keys[1] not in files(data))

    assert keys[0] in files(data)


def test_it_leaves_files_that_are_not_the_portals(data: Path) -> None:
    for name in ("README", "uploads/notes.txt", "backup/1"):
        storage.put(name, io.BytesIO(b"mine"))

    cleaned_for_a_while(data)

    assert files(data) == ["README", "backup/1", "uploads/notes.txt"]


def test_it_leaves_files_that_are_older_than_all_that_the_database_knows(
    session: Session, admin: Account, data: Path
) -> None:
    """As when the portal was started with another database by mistake."""
    with transaction(session):
        admin.created = now(3_600)
    key = f"uploads/{uuid4()}"
    storage.put(key, io.BytesIO(b"dear"))
    space = settings().runs_directory / f"{uuid4()}.1"
    space.mkdir(parents=True)

    cleaned_until(lambda: not space.exists())
    lock = turn_of("files")
    before = file_time(lock)
    cleaned_until(lambda: file_time(lock) > before)

    assert files(data) == [key]


def turn_of(chore: str) -> Path:
    return settings().portal_data / f"cleaning-{chore}.{socket.gethostname()}.lock"


def test_what_a_crash_left_after_a_removal_goes_with_a_later_pass(
    session: Session, ended: Submission, data: Path
) -> None:
    with transaction(session):
        for table in (Result, Upload):
            for row in session.query(table):
                session.delete(row)
    assert len(files(data)) == 2

    cleaned_until(lambda: files(data) == [])


def test_nothing_needed_goes(session: Session, ended: Submission, data: Path) -> None:
    needed = files(data)

    cleaned_for_a_while(data)

    assert files(data) == needed
    [kept] = results.of_submission(ended)
    with results.open_file(results.find(session, kept.name)) as stream:
        assert stream.read() == b"done\n"


def test_many_cleaners_at_once_do_no_harm(
    session: Session, job: str, work: Work, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted_now = [submitted(session, job) for _ in range(6)]
    work()
    for submission in submitted_now[:3]:
        over(session, submission)
    session.rollback()
    program = "from workers.cleaner import clean\nfor _ in range(20): clean()"
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: subprocess.run([sys.executable, "-c", program], check=False), range(4)))

    session.expire_all()
    assert [each.returncode for each in done] == [0, 0, 0, 0]
    assert [submission.removed is not None for submission in submitted_now] == [True] * 3 + [False] * 3
    assert [
        [message.sentence for message in submission.messages].count(keeping.OVER) for submission in submitted_now
    ] == [1] * 3 + [0] * 3
    assert len(files(data)) == 6


def test_it_goes_on_at_once_while_another_process_is_at_it(session: Session, ended: Submission) -> None:
    over(session, ended)
    clean()
    session.rollback()
    over(session, ended)
    with transaction(session):
        ended.removed = None
    with turn_of("submissions").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        clean()
        session.rollback()
        assert ended.removed is None

    clean()

    session.rollback()
    assert ended.removed is not None
