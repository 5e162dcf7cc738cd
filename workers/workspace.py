"""One directory per run and start: stage in, describe the process, read its log, collect its files, tidy.

<root>/<run>.<attempt>/             the launcher's: launch.json, launched.json, outcome.json, stdout, stderr, beat
<root>/<run>.<attempt>/<identity>/  the analyst's: the inputs, and whatever the code writes
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import storage
from portal.domain.names import SAFE_NAME, file_for, fits, public_file
from portal.domain.work import Work
from portal.models import Result, Run, Submission
from portal.services.progress import Claim, Kept, Written
from portal.settings import settings
from workers.languages import language

GRACE_SECONDS = 5
LOG_STEP = 256_000
MOST_FILES = 1000


class Workspace:
    """The directory of one run, as its worker sees it."""

    def __init__(self, space: Path, claim: Claim) -> None:
        self.space = space
        self.claim = claim
        self.work: Work = claim.work
        self.directory = space / claim.work.identity
        self.shipped = {"stdout": 0, "stderr": 0}

    @classmethod
    def of(cls, claim: Claim) -> Workspace:
        """The directory that the run was started in, or a new one's place."""
        if claim.handle:
            return cls(Path(claim.handle["space"]), claim)
        root = Path(claim.work.placement.root_directory or settings().runs_directory)
        return cls(root / f"{claim.uuid}.{claim.attempt}", claim)

    def prepare(self, session: Session) -> None:
        """Make the directory, bring the inputs, and describe what is to be started. Raises OSError, Unavailable."""
        shutil.rmtree(self.space, ignore_errors=True)
        self.directory.mkdir(parents=True, mode=0o700)
        (self.space / "tmp").mkdir(mode=0o700)
        self._stage_in(session)
        argv = language(self.work.language).prepare(self.work, self.space)
        self._describe(argv)

    def beat(self) -> None:
        """Tell the launcher that a worker looks after it."""
        (self.space / "beat").touch()

    def written(self) -> list[Written]:
        """What the run wrote to its streams and was not shipped yet."""
        return [found for stream in self.shipped if (found := self._written(stream))]

    def ship(self, written: Sequence[Written]) -> None:
        """These bytes are kept; go on after them."""
        for each in written:
            self.shipped[each.stream] = each.start + len(each.data)

    def collect(self) -> tuple[list[Kept], list[str]]:
        """The files that match the task's output endings, stored; and the endings that no file matched."""
        kept, missing = [], []
        for ending in self._kept_endings():
            names = [name for name in self._own_files() if fits(name, ending)][:MOST_FILES]
            found = [each for name in names if (each := self._keep(name))]
            kept += [each for each in found if each not in kept]
            if not found:
                missing.append(ending)
        return kept, missing

    def tidy(self) -> None:
        _unlock(self.space)
        shutil.rmtree(self.space, ignore_errors=True)

    def _stage_in(self, session: Session) -> None:
        """Bring, for every input ending, all files that match it; the newest also under the name the code expects."""
        sources = list(_sources(session, self.claim))
        for ending in self.work.inputs:
            matching = [(name, key) for name, key in sources if fits(name, ending)]
            for name, key in matching:
                storage.copy_to(key, self.directory / name)
            expected = self.directory / self.work.file(ending)
            if matching and not expected.exists():
                storage.copy_to(matching[-1][1], expected)
        self._write("staged.json", {path.name: _mark(path.lstat()) for path in self.directory.iterdir()})

    def _describe(self, argv: Sequence[str]) -> None:
        limits = asdict(self.work.limits)
        stdout = str(self.directory / self.work.file(self.work.stdout)) if self.work.stdout else None
        self._write(
            "launch.json",
            {
                "argv": list(argv),
                "environment": self._environment(),
                "work": str(self.directory),
                "stdout_file": stdout,
                "limits": limits,
                "grace_seconds": GRACE_SECONDS,
                "patience_seconds": 2 * settings().portal_lease_seconds,
            },
        )

    def _environment(self) -> dict[str, str]:
        """A clean environment: nothing of the portal's own, then the task's variables."""
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.directory),
            "TMPDIR": str(self.space / "tmp"),
            "LANG": "C.UTF-8",
        } | dict(self.work.variables)

    def _write(self, name: str, content: object) -> None:
        (self.space / name).write_text(json.dumps(content), "utf-8")

    def _written(self, stream: str) -> Written | None:
        start = self.shipped[stream]
        try:
            with self._log_file(stream).open("rb") as file:
                file.seek(start)
                data = file.read(min(LOG_STEP, self._log_left(stream)))
        except FileNotFoundError:
            return None
        return Written(stream, start, data) if data else None

    def _log_left(self, stream: str) -> int:
        """Room for the launcher's own mark where it cut the log."""
        return max(0, self.work.limits.log_bytes + 100 - self.shipped[stream])

    def _log_file(self, stream: str) -> Path:
        if stream == "stdout" and self.work.stdout:
            return self.directory / self.work.file(self.work.stdout)
        return self.space / stream

    def _kept_endings(self) -> list[str]:
        return list(dict.fromkeys([*self.work.outputs, *([self.work.stdout] if self.work.stdout else [])]))

    def _own_files(self) -> list[str]:
        """The files that the run wrote or changed, by name; what it was given is not its own."""
        staged = json.loads((self.space / "staged.json").read_text("utf-8"))
        entries = sorted(os.scandir(self.directory), key=lambda entry: entry.name)
        return [
            entry.name
            for entry in entries
            if entry.is_file(follow_symlinks=False)
            and staged.get(entry.name) != _mark(entry.stat(follow_symlinks=False))
        ]

    def _keep(self, name: str) -> Kept | None:
        """Store one file under its public name; links, devices and odd names are not kept."""
        if not SAFE_NAME.fullmatch(name):
            return None
        with _open_plain(self.directory / name) as stream:
            if stream is None:
                return None
            public = public_file(self.work.identity, name)
            return Kept(public, storage.put(f"runs/{self.claim.uuid}/{self.claim.attempt}/{name}", stream))


class _open_plain:  # noqa: N801 - reads as the function that it is
    """A regular file with one name, opened without following links and without waiting; else None."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stream: BinaryIO | None = None

    def __enter__(self) -> BinaryIO | None:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            return None
        found = os.fstat(descriptor)
        self.stream = os.fdopen(descriptor, "rb")
        return self.stream if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 else None

    def __exit__(self, *_: object) -> None:
        if self.stream:
            self.stream.close()


def _unlock(space: Path) -> None:
    """Let every directory be emptied, also those that the run has closed."""
    for directory, names, _ in os.walk(space):
        for path in (Path(directory, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o700)


def _mark(found: os.stat_result) -> list[int]:
    return [found.st_mtime_ns, found.st_size, found.st_ino]


def _sources(session: Session, claim: Claim) -> Iterator[tuple[str, str]]:
    """(file name, storage key) of everything that the run may take: the upload, then the earlier steps' results."""
    submission = session.get_one(Submission, claim.submission_id)
    stage = session.scalars(select(Run.stage).where(Run.id == claim.run_id)).one()
    for upload in submission.batch.uploads:
        yield file_for(claim.work.identity, _upload_ending(submission)), upload.key
    earlier = (
        select(Result)
        .join(Result.run)
        .where(Result.submission_id == submission.id, Run.stage < stage)
        .order_by(Run.stage, Run.position, Result.id)
    )
    for result in session.scalars(earlier):
        yield result.name, result.key


def _upload_ending(submission: Submission) -> str:
    """The upload bears the first input ending of the first step, as the first system named it."""
    inputs = submission.runs[0].work["inputs"]
    return str(inputs[0]) if inputs else ".input"
