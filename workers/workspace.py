"""One directory per run and start: stage in, describe the process, read its log, collect its files, tidy.

<root>/<run>.<attempt>/                 the launcher's: launch.json, launched.json, outcome.json, stdout, stderr, beat
<root>/<run>.<attempt>/tmp/             the analyst's: $TMP and TMPDIR
<root>/<run>.<attempt>/tmp/<identity>/  the working directory: the inputs, and whatever the code writes
"""

# What each step goes through is written without pathlib, which would take as long as the kernel does.
# ruff: noqa: PTH101, PTH102, PTH103, PTH105, PTH106, PTH110, PTH120, PTH123
from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import storage
from portal.domain.errors import NoRoom
from portal.domain.limits import LARGEST_LOG_BYTES
from portal.domain.masking import Mask
from portal.domain.names import fits, unmarked
from portal.domain.parameters import file_part
from portal.domain.work import Work
from portal.models import Run
from portal.services import progress, statements
from portal.services.progress import Claim, Found, Written
from portal.services.statements import rows
from portal.settings import settings
from workers import beneath
from workers.collector import MOST_ENTRIES, Collector, Room, mark, plain_file
from workers.confinement import probes
from workers.handing_on import hand_on
from workers.languages import Language, address_space, language, readable, tell_of_inputs, warm
from workers.warm import environ, proofs

GRACE_SECONDS = 5
LOG_STEP = 256_000
MOST_KNOWN = 1000  # files
LOG_CUT = b"\n[log cut: the whole output is in the result file]\n"
LAUNCH = "launch.json"
GIVEN = "given"  # in it: the marks of the files that the run was given, by name
GIVEN_BEFORE = "staged.json"  # where an older version kept them
TEMPORARY = "tmp"
READABLE = "readable"  # the option of a backend that names directories, with colons between
LAUNCHERS_MARK = 100  # bytes at most, where the launcher cut the log


@dataclass(frozen=True)
class Source:
    """A stored file, under the name that the run finds it by."""

    name: str
    key: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Sources:
    """What a run is brought: all that it may take by its input endings, and the files of its own parameters."""

    offered: Sequence[Source] = ()
    own: Sequence[Source] = ()

    @property
    def size(self) -> int:
        return sum(each.size for each in (*self.offered, *self.own))


class Masked:
    """A log as it may be shown: how much of the run's own was taken, and what of it `waiting` to be kept.

    After another worker it is made anew from its beginning; so much as was kept already is left `behind`.
    """

    def __init__(self, mask: Mask) -> None:
        self.mask = mask
        self.taken = self.behind = 0
        self.waiting = b""

    def told(self, read: Callable[[int], bytes], last: bool) -> bytes:
        """What waits, with more of the log where nothing does."""
        while not self.waiting:
            data = read(self.taken)
            self.taken += len(data)
            masked = self.mask.fed(data, last=last and not data)
            self.waiting, self.behind = masked[self.behind :], max(0, self.behind - len(masked))
            if not data:
                break
        return self.waiting


class Workspace:
    """The directory of one run, as its worker sees it."""

    def __init__(self, space: Path, claim: Claim) -> None:
        self.space = space
        self.claim = claim
        self.work: Work = claim.work
        self.place = str(space)
        self.inside = f"{TEMPORARY}/{claim.work.identity}"
        self.shipped = {"stdout": 0, "stderr": 0}
        self.is_sure = True  # that what was not shipped is kept nowhere
        self.sealed: dict[str, str] = {}
        self.secrets: Mapping[str, str] = {}
        self.uploads: Sequence[Any] | None = None  # what came with the batch, once it was asked for
        self.before: Sequence[Source] | None = [] if claim.place.stage == 1 else None  # what was given, where known
        self.brought: Set[str] = frozenset()  # what the files are called that it was brought
        self.plan: Mapping[str, Any] = {}  # what is to be started, and how, once the directory is laid out
        self.marks: dict[str, list[int]] | None = None  # of what it was given, once that is known
        self._masked: dict[str, Masked] = {}
        self.most_log = claim.work.limits.log_bytes or LARGEST_LOG_BYTES

    @property
    def temporary(self) -> Path:
        return self.space / TEMPORARY

    @property
    def directory(self) -> Path:
        return self.space / self.inside

    @classmethod
    def of(cls, claim: Claim) -> Workspace:
        """The directory that the run was started in, or a new one's place."""
        if claim.handle:
            return cls(Path(claim.handle["space"]), claim)
        return cls(Path(f"{_root(claim)}/{claim.uuid}.{claim.attempt}"), claim)

    @classmethod
    def apart(cls, claim: Claim) -> Workspace:
        """A place that nobody else knows, for a run that others may still claim: then its attempt is theirs."""
        return cls(Path(f"{_root(claim)}/{claim.uuid}.{claim.attempt}.{uuid4().hex[:8]}"), claim)

    def sources(self, session: Session) -> Sources:
        """What is to be brought: the uploads, and what the steps before it gave."""
        offered = [*self._uploads(session), *self._results(session)] if self.work.inputs else []
        return Sources(offered, self._own_uploads(session))

    def takes(self, source: Source) -> bool:
        return any(fits(source.name, ending) for ending in self.work.inputs)

    def follows(self, other: Workspace) -> None:
        """A step of the same submission, of which more may be known than has to be asked for again."""
        self.uploads = other.uploads
        self.before = other.before

    def learn(self, given: Sequence[Source]) -> None:
        """What the step right before it gave."""
        if self.before is not None:
            known = [*self.before, *given]
            self.before = known if len(known) <= MOST_KNOWN else None

    def prepare(self, sources: Sources) -> None:
        """Make the directory, bring the inputs, and describe what is to be started. Raises OSError, Unavailable."""
        with self._whole_or_none():
            if not self.plan or not self.space.is_dir():
                self.tidy()
                self.lay_out()
            self._stage_in(sources)
            self.brought = {each.name for each in sources.offered}
            tell_of_inputs(language(self.work.language), self.work, self.space)
            self._write(LAUNCH, {**self.plan, GIVEN: self._marked()})

    def lay_out(self, over: Workspace | None = None) -> None:
        """All of it that needs no input, where nothing is, or in the directory of a run that is `over`. Raises OSError,
        Unavailable."""
        with self._whole_or_none():
            if not (over and self._is_handed_on(over)):
                self._make()
            self.plan = self._planned(language(self.work.language))

    def is_whole(self) -> bool:
        """Whether all is there that its run needs: the last that is written says what is to be started."""
        return os.path.exists(f"{self.place}/{LAUNCH}")

    def check_room(self) -> None:
        """Raises NoRoom when a run should neither begin nor go on here."""
        if short_of_disk(self.space):
            raise NoRoom("There is too little free disk on the worker's machine.")

    def earlier(self) -> list[Path]:
        """The directories of other tries of this run."""
        if self.claim.attempt == 1:
            return []
        return [each for each in self.space.parent.glob(f"{self.claim.uuid}.*") if each != self.space]

    def size(self) -> int:
        """How many bytes everything in it takes."""
        try:
            with beneath.directory(self.space) as directory:
                found = beneath.every(directory, MOST_ENTRIES)
                return sum(each.st_size for each in found if not stat.S_ISDIR(each.st_mode))
        except FileNotFoundError:
            return 0

    def beat(self) -> None:
        """Tell the launcher that a worker looks after it, and to wait as long as usual for the next word."""
        with open(f"{self.place}/beat", "wb") as beat:
            os.utime(beat.fileno())

    def hand_over(self, seconds: float) -> None:
        """Tell the launcher that for so long no worker may look after it, and that this is as it should be."""
        draft = self.space / "beat.new"
        draft.write_text(str(seconds + settings().portal_lease_seconds), "ascii")
        draft.replace(self.space / "beat")

    def resume_log(self, ends: Mapping[str, int]) -> None:
        """Go on with each stream where what is kept of it ends."""
        self.shipped.update({stream: ends[stream] for stream in self.shipped if stream in ends})
        for stream, masked in self._masked.items():
            masked.behind = self.shipped[stream]

    def keep_secret(self, values: Mapping[str, str]) -> None:
        """The values of the run's secrets, by variable: its log tells them to nobody."""
        self.secrets = values
        self._masked = {stream: Masked(Mask(values.values())) for stream in self.shipped} if values else {}

    def written(self, last: bool = False) -> list[Written]:
        """What the run wrote to its streams and was not shipped yet; the `last` of it when it has ended."""
        return [found for stream in self.shipped if (found := self._written(stream, last))]

    def ship(self, written: Sequence[Written]) -> None:
        """These bytes are kept; go on after them."""
        for each in written:
            self.shipped[each.stream] = each.start + len(each.data)
            if masked := self._masked.get(each.stream):
                masked.waiting = masked.waiting[len(each.data) :]

    def collect(self) -> Found:
        """The files that match the task's output endings, stored; and the endings that no file matched."""
        given = self._given()
        return Collector(self.claim, self._room(given), given).collect(self.space, self._kept_endings())

    def tidy(self) -> None:
        self.plan = {}
        remove(self.space)

    @contextmanager
    def _whole_or_none(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.tidy()
            raise

    def _is_handed_on(self, over: Workspace) -> bool:
        """By a step of the same submission."""
        kin = (over.claim.submission_id, over.inside, os.path.dirname(over.place))
        if kin != (self.claim.submission_id, self.inside, os.path.dirname(self.place)):
            return False
        return hand_on(over.place, self.place, (TEMPORARY, self.work.identity))

    def _make(self) -> None:
        try:
            os.mkdir(self.place, 0o700)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self.place), exist_ok=True)
            os.mkdir(self.place, 0o700)
        for directory in (TEMPORARY, self.inside):
            os.mkdir(f"{self.place}/{directory}", 0o700)

    def _results(self, session: Session) -> Sequence[Source]:
        if self.before is None:
            return _earlier_results(session, self.claim)
        return [each for each in self.before if self.takes(each)]

    def _uploads(self, session: Session) -> Iterator[Source]:
        """The job's input, then the files of its parameters; where two would bear one name, the second has its
        field's."""
        uploads = self._sent(session)
        fields = {""} if all(upload.field == "" for upload in uploads) else _fields(session, self.claim)
        taken: set[str] = set()
        for upload in uploads:
            ending = upload.ending if upload.field else progress.first_input(upload.inputs)
            if ending in taken:
                ending = file_part(upload.field, ending)
            if upload.field in fields:
                taken.add(ending)
                yield Source(self.work.file(ending), upload.key, upload.sha256, upload.size)

    def _own_uploads(self, session: Session) -> list[Source]:
        """The files of the run's own parameters."""
        own = self.work.files()
        sent = {upload.field: upload for upload in self._sent(session)} if own else {}
        files = [(self.work.file(each.text), sent[str(each.value)]) for each in own]
        return [Source(name, upload.key, upload.sha256, upload.size) for name, upload in files]

    def _sent(self, session: Session) -> Sequence[Any]:
        if self.uploads is None:
            self.uploads = rows(session, statements.UPLOADS, {"submission": self.claim.submission_id})
        return self.uploads

    def _stage_in(self, sources: Sources) -> None:
        """Bring, for every input ending, all files that match it, the newest also under the name the code expects;
        then the files of the task's own parameters."""
        for ending in self.work.inputs:
            matching = [each for each in sources.offered if fits(each.name, ending)]
            if matching:
                expected, newest = self.work.file(ending), self._newest(matching, ending)
                for each in (each for each in matching if each.name != expected):
                    self._bring(each, each.name)
                self._bring(newest, expected)
        for each in sources.own:
            self._bring(each, each.name)

    def _bring(self, source: Source, name: str) -> None:
        storage.copy_to(source.key, f"{self.place}/{self.inside}/{name}", source.sha256)

    def _newest(self, matching: Sequence[Source], ending: str) -> Source:
        """The newest file whose whole name is this ending's; the newest that matches if none is."""
        expected = self.work.file(ending)
        exact = [each for each in matching if unmarked(self.work.identity, each.name) == expected]
        return (exact or matching)[-1]

    def _planned(self, spoken: Language) -> Mapping[str, Any]:
        stdout = f"{self.place}/{self._log_file('stdout')}" if self.work.stdout else None
        return {
            "argv": list(spoken.prepare(self.work, self.space)),
            "environment": self._environment(),
            "work": f"{self.place}/{self.inside}",
            "measured": f"{self.place}/{TEMPORARY}",
            "stdout_file": stdout,
            "limits": vars(self.work.limits),
            "address_space": address_space(spoken, self.work.limits.memory_bytes),
            "confinement": self._confinement(spoken),
            "warm": self._warm(spoken),
            "grace_seconds": GRACE_SECONDS,
            "patience_seconds": 2 * settings().portal_lease_seconds,
        }

    def _marked(self) -> dict[str, list[int]]:
        with os.scandir(f"{self.place}/{self.inside}") as entries:
            self.marks = {each.name: mark(each.stat(follow_symlinks=False)) for each in entries}
        return self.marks

    def _warm(self, spoken: Language) -> tuple[str, ...] | None:
        """The warm parent whose fork the program shall be, where one can be confined as far as any other run."""
        wanted = warm(spoken, self.work) if settings().portal_warm else None
        return wanted if wanted and proofs.holds(wanted) else None

    def _confinement(self, spoken: Language) -> dict[str, object]:
        """What it may read: its language's programs, the directories that its backend names, and what was written
        for it; never the portal's data, should they lie there."""
        placement = self.work.placement
        named = [each for each in placement.options.get(READABLE, "").split(":") if each.startswith("/")]
        with os.scandir(self.place) as entries:
            written = [each.path for each in entries if each.is_file()]
        return {
            "level": probes.level(),
            "own_walls": probes.found().own_walls,
            "network": placement.network,
            "readable": [*readable(spoken, placement.options), *named],
            "hidden": [str(settings().portal_data), os.path.dirname(self.place)],
            "files": written,
        }

    def _environment(self) -> dict[str, str]:
        """A clean environment: nothing of the portal's own, then the task's variables."""
        own = {"HOME": f"{self.place}/{self.inside}", "TMPDIR": f"{self.place}/{TEMPORARY}"}
        return environ.USUAL | own | dict(self.work.variables)

    def _write(self, name: str, content: object) -> None:
        """Whole, or not at all."""
        draft = f"{self.place}/{name}.new"
        with open(draft, "wb") as file:
            file.write(json.dumps(content).encode())
        os.replace(draft, f"{self.place}/{name}")

    def _written(self, stream: str, last: bool) -> Written | None:
        start = self.shipped[stream]
        if masked := self._masked.get(stream):
            data = masked.told(lambda place: self._raw(stream, place), last)[:LOG_STEP]
        else:
            data = self._raw(stream, start)
        return Written(stream, start, data) if data else None

    def _raw(self, stream: str, start: int) -> bytes:
        """The next step of what the run itself wrote."""
        file = self._log_file(stream)
        if _length(f"{self.place}/{file}") <= start:
            return b""
        return self._log_of_result(file, start) if self._is_result(stream) else self._log(file, start)

    def _log(self, file: str, start: int) -> bytes:
        """The launcher has cut it already, with its own mark."""
        return _part(self.space, file, start, self.most_log + LAUNCHERS_MARK)

    def _log_of_result(self, file: str, start: int) -> bytes:
        """Only the log of it is cut: the file itself is kept whole."""
        return (
            _part(self.space, file, start, self.most_log) if start < self.most_log else LOG_CUT[start - self.most_log :]
        )

    def _is_result(self, stream: str) -> bool:
        return stream == "stdout" and bool(self.work.stdout)

    def _log_file(self, stream: str) -> str:
        """Below its directory."""
        return f"{self.inside}/{self.work.output(self.work.stdout)}" if self._is_result(stream) else stream

    def _kept_endings(self) -> list[str]:
        return list(dict.fromkeys([*self.work.outputs, *([self.work.stdout] if self.work.stdout else [])]))

    def _given(self) -> dict[str, list[int]]:
        """The marks of the files that the run was given, by name."""
        if self.marks is None:
            self.marks = self._read(LAUNCH).get(GIVEN)
        return self._read(GIVEN_BEFORE) if self.marks is None else self.marks

    def _read(self, name: str) -> dict[str, Any]:
        with open(f"{self.place}/{name}", "rb") as file:
            content: dict[str, Any] = json.loads(file.read())
        return content

    def _room(self, given: Mapping[str, Sequence[int]]) -> Room:
        """What was given may have been changed and be a result: it comes on top of what the run may add."""
        limits = self.work.limits
        free = shutil.disk_usage(settings().portal_data).free
        return Room(
            free if limits.output_bytes is None else limits.output_bytes + sum(size for _, size, _ in given.values()),
            None if limits.files is None else limits.files + len(given),
        )


def _root(claim: Claim) -> str:
    return claim.work.placement.root_directory or str(settings().runs_directory)


def short_of_disk(root: Path) -> bool:
    """Whether the disk that holds this directory, or will hold it, has less room than a run needs around it."""
    try:
        free = os.statvfs(root)
    except FileNotFoundError:
        return short_of_disk(root.parent)
    return free.f_bavail * free.f_frsize < settings().portal_disk_floor_bytes


def remove(space: Path) -> None:
    """Remove a run's directory, whatever its run did to it. Nothing of the run may be alive."""
    with suppress(OSError):
        os.chmod(space, 0o700)
        with beneath.directory(space) as directory:
            beneath.empty(directory)
        os.rmdir(space)


def _length(file: str) -> int:
    """Asked twice a second, mostly for nothing: hence no reading. No file has no length."""
    try:
        return os.lstat(file).st_size
    except OSError:
        return 0


def _part(space: Path, name: str, start: int, end: int) -> bytes:
    """The next step of a file from `start`, never beyond `end`."""
    with plain_file(space, name) as file:
        if file is None or start >= end:
            return b""
        file.seek(start)
        return file.read(min(LOG_STEP, end - start))


def _fields(session: Session, claim: Claim) -> set[str]:
    """The job's input, and the parameters that are files of any of its steps."""
    works = session.scalars(select(Run.work).where(Run.submission_id == claim.submission_id))
    return {"", *(str(each.value) for work in works for each in Work.from_json(work).files())}


def _earlier_results(session: Session, claim: Claim) -> list[Source]:
    """What the steps before it gave, of what it can take, in their order."""
    endings = {f"ending_{place}": ending for place, ending in enumerate(claim.work.inputs)}
    its = {"submission": claim.submission_id, "stage": claim.place.stage, **endings}
    found = rows(session, statements.results_before(len(endings)), its)
    places = _before(session, claim, {each.position for each in found})
    return [Source(each.name, each.key, each.sha256, each.size) for each in found if each.position in places]


def _before(session: Session, claim: Claim, places: Set[int]) -> Set[int]:
    """Those of these places, all of earlier stages, that the run comes after. The farther ones are rarely asked for."""
    if claim.place.needs is None or places <= claim.place.needs:
        return places
    near = Run.submission_id == claim.submission_id, Run.stage <= claim.place.stage
    rows = session.execute(select(Run.position, Run.stage, Run.state, Run.needs).where(*near))
    return progress.before(rows)[claim.place.key]
