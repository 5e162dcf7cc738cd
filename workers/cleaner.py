"""The cleaner removes what is over: submissions whose time has come, directories no run needs, files no row names.

Rows are read after the disk was looked at, so that nothing is judged by what was known before it was made. Each chore
has its turn on each machine, and a process that finds another one at it goes on at once.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import random
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from portal import storage
from portal.database import away, clock, reading
from portal.domain.states import State
from portal.models import Account, Attempt, Backend, Batch, Result, Run, Upload
from portal.services import keeping
from portal.settings import settings
from workers import workspace
from workers.runners import local

UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
SPACE = re.compile(rf"({UUID})\.\d+(\.[0-9a-f]+)?")  # the last part of those that were made before their claim
RESULT = re.compile(rf"runs/(?:[0-9a-f]{{2}}/)?({UUID})[./](\d+)[-/]\d+")  # older versions had a directory for each
UPLOAD = re.compile(rf"uploads/{UUID}")
DRAFT = re.compile(rf"(runs|uploads)/.+{re.escape(storage.DRAFT)}")
MANY = 500
DAY = 86_400.0
PASS_SECONDS = 20.0
TRUSTED_SECONDS = 60.0

Thing = TypeVar("Thing")

log = logging.getLogger(__name__)


def clean() -> None:
    """Whatever has its turn now: a person may wait for a deletion, the disk is looked through less often."""
    often, seldom = settings().portal_clean_seconds, settings().portal_orphan_seconds
    with _turn("submissions", 0) as ours:
        if ours:
            _remove_submissions()
    with _turn("directories", often) as ours:
        if ours:
            _remove_directories()
    with _turn("files", max(often, seldom)) as ours:
        if ours and _clock_is_steady():
            _remove_files()


@contextmanager
def _turn(chore: str, seconds: float) -> Iterator[bool]:
    """Whether a chore is ours: no process of this machine is at it, or was within so many seconds. A crash frees it."""
    settings().portal_data.mkdir(parents=True, exist_ok=True)
    with (settings().portal_data / f"cleaning-{chore}.{socket.gethostname()}.lock").open("ab") as file:
        ours = _alone(file.fileno()) and not 0 <= time.time() - os.fstat(file.fileno()).st_mtime < seconds
        if ours:
            os.utime(file.fileno())
        yield ours


def _clock_is_steady() -> bool:
    """Whether this machine's clock went on as time did since it was last asked: else a file of now may look old."""
    note = settings().portal_data / f"cleaning-clock.{socket.gethostname()}"
    before, now = _noted(note), {"boot": local.BOOT, "ahead": time.time() - time.monotonic()}
    draft = note.with_name(f"{note.name}{storage.DRAFT}")
    draft.write_text(json.dumps(now), "utf-8")
    draft.replace(note)
    if before.get("boot") != local.BOOT:
        return False
    if abs(now["ahead"] - before["ahead"]) < TRUSTED_SECONDS:
        return True
    log.warning("the clock of this machine was set, or it slept: files are looked through when it went on for a while")
    return False


def _noted(note: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(note.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return told


def _alone(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _for_each(things: Iterable[Thing], chore: Callable[[Thing], None]) -> None:
    """One thing's failure keeps no other from being removed, unless the database does not answer at all."""
    for thing in things:
        try:
            chore(thing)
        except Exception as failure:
            if away(failure):
                raise
            log.exception("%s could not be removed", thing)


def _within(seconds: float, things: Iterable[Thing]) -> Iterator[Thing]:
    """The things, until so many seconds have passed; a later pass has the others."""
    deadline = time.monotonic() + seconds
    for thing in things:
        if time.monotonic() > deadline:
            return
        yield thing


def _some(things: Iterator[Thing]) -> Iterator[list[Thing]]:
    """The things, a bounded number at a time."""
    while some := list(islice(things, MANY)):
        yield some


def _remove_submissions() -> None:
    with reading() as session:
        due = keeping.due(session)
    _for_each(due, _remove_submission)


def _remove_submission(submission_id: int) -> None:
    keeping.remove(submission_id)
    log.info("removed what was due of submission %s", submission_id)


def _remove_directories() -> None:
    over = (space for spaces in _some(_spaces()) for space in _over(spaces))
    _for_each(_within(PASS_SECONDS, over), _remove_directory)


def _spaces() -> Iterator[Path]:
    """The directories of runs on this machine. A backend's root that is not to be found is another machine's."""
    with reading() as session:
        roots = session.scalars(select(Backend.root_directory).distinct()).all()
    for root in dict.fromkeys([settings().runs_directory, *map(Path, filter(None, roots))]):
        with suppress(OSError), os.scandir(root) as entries:
            for entry in entries:
                if SPACE.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                    yield Path(entry)


def _over(spaces: Sequence[Path]) -> list[Path]:
    """Those that no run needs, and that were left alone for a while: a worker may be between two steps."""
    uuids = {_run_of(space) for space in spaces}
    with reading() as session:
        columns = select(Run.uuid, Run.state, Run.attempt, Run.handle)
        runs = session.execute(columns.where(Run.uuid.in_(uuids))).all()
    known = {run.uuid for run in runs}
    needed = {_own(run) for run in runs if run.state is State.RUNNING}
    others = [space for space in spaces if space.name not in needed]
    random.shuffle(others)  # what takes long must not keep the same ones waiting in every pass
    return [space for space in others if _left_alone(space) > _patience(_run_of(space) in known)]


def _run_of(space: Path) -> str:
    return space.name.partition(".")[0]


def _own(run: Row[Any]) -> str:
    """The name of the directory that a running run has, or that its worker is about to make."""
    space = (run.handle or {}).get("space")
    return Path(space).name if space else f"{run.uuid}.{run.attempt}"


def _patience(known: bool) -> float:
    """A run that this database does not know may be another portal's, which shares the root directory."""
    return settings().portal_lease_seconds if known else settings().portal_orphan_seconds


def _left_alone(space: Path) -> float:
    """For how many seconds no worker has done anything here, nor said that it is there."""
    try:
        touched = space.stat().st_mtime
    except FileNotFoundError:
        return 0
    with suppress(FileNotFoundError):
        touched = max(touched, (space / "beat").stat().st_mtime)
    return time.time() - touched


def _remove_directory(space: Path) -> None:
    untouched = _left_alone(space)
    if not _nothing_lives(space) and untouched < DAY:
        return
    workspace.remove(space)
    if space.exists():
        log.warning("the directory %s, which no run needs, cannot be removed wholly", space)
    else:
        log.info("removed the directory %s, which no run needs", space)


def _nothing_lives(space: Path) -> bool:
    """Whether all that was started there has ended, by us if need be. Another machine's, or a broken one: not sure."""
    try:
        return local.end_abandoned(space) or _is_of_an_earlier_boot(space)
    except (TypeError, ValueError, LookupError):
        return False


def _is_of_an_earlier_boot(space: Path) -> bool:
    """Whether this machine started it and was booted since: a worker is called after its machine and its boot."""
    boot = json.loads((space / "launched.json").read_text("utf-8"))["boot"]
    uuid, number = space.name.split(".")[:2]
    tries = select(Attempt.worker).join(Run, Run.id == Attempt.run_id)
    with reading() as session:
        worker = session.scalar(tries.where(Run.uuid == uuid, Attempt.number == int(number)))
    return boot != local.BOOT and (worker or "").startswith(f"{socket.gethostname()}/{boot}:")


def _remove_files() -> None:
    with reading() as session:
        oldest = _age(session)
    patience = settings().portal_orphan_seconds
    for files in _some(file for file in storage.every() if patience < file.age < oldest):
        _for_each(_unnamed(files), _remove_file)


def _age(session: Session) -> float:
    """How old what this database knows is. A file older than that is another database's, whose we must not touch."""
    firsts = [session.scalar(select(func.min(column))) for column in (Account.created, Batch.created)]
    known = [first for first in firsts if first is not None]
    return (clock(session) - min(known)).total_seconds() if known else 0


def _unnamed(files: Sequence[storage.File]) -> list[storage.File]:
    """Those that no row names, nor will: of a run that goes on, its results come at its end."""
    keys = [file.key for file in files]
    with reading() as session:
        growing = _growing(session, keys)
        named = _named(session, keys)
    return [file for file in files if file.key not in named and _is_over(file.key, growing)]


def _growing(session: Session, keys: Sequence[str]) -> set[tuple[str, str]]:
    """The runs that go on, with their attempts. To be asked before what is named."""
    running = select(Run.uuid, Run.attempt).where(Run.uuid.in_(_runs_of(keys)), Run.state == State.RUNNING)
    return {(uuid, str(attempt)) for uuid, attempt in session.execute(running)}


def _named(session: Session, keys: Sequence[str]) -> set[str]:
    uploads = select(Upload.key).where(Upload.key.in_([key for key in keys if UPLOAD.fullmatch(key)]))
    results = select(Result.key).join(Result.run).where(Run.uuid.in_(_runs_of(keys)), Result.key.in_(keys))
    return {*session.scalars(uploads), *session.scalars(results)}


def _runs_of(keys: Sequence[str]) -> set[str]:
    return {found[1] for key in keys if (found := RESULT.fullmatch(key))}


def _is_over(key: str, growing: set[tuple[str, str]]) -> bool:
    """What is not of the portal's own making is left alone."""
    if found := RESULT.fullmatch(key):
        return (found[1], found[2]) not in growing
    return bool(UPLOAD.fullmatch(key) or DRAFT.fullmatch(key))


def _remove_file(file: storage.File) -> None:
    if storage.age(file.key) < file.age:
        return  # somebody names it just now
    storage.delete(file.key)
    log.info("removed the file %s of %s bytes, which nothing names", file.key, file.size)
