"""The collector: takes home what a run wrote. Plain files only; devices, and links to what lies elsewhere, stay behind.

It runs when nothing of the run is alive any more, and trusts no name: each file is opened below the run's directory,
looked at, and kept under a second name of its own, so that however much it is, it is read once and written never; or
copied as far as it was long then, where that cannot be. The first name stays until the end is committed, so that
whoever takes the run up finds the same. The outputs that the task names come first, so that no flood of files
hides them. What it leaves it tells, so that nothing vanishes in silence.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from portal import storage
from portal.domain.names import fits, public_file
from portal.services.progress import Claim, Found, Kept
from workers import beneath

MOST_NAMED = 5
MOST_ENTRIES = 100_000
BEYOND = "Not kept, being beyond the limits of size and number: {}"
LINKS = "Not kept, being links: {}"
NO_FILES = "Not kept, being no plain files: {}"
CLOSED = "Not kept, being closed to reading: {}"
TOO_MANY = "Its directory has more than {:,} entries: only outputs under their whole names, and some others, are kept"
GONE = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP, errno.EXDEV)


@dataclass(frozen=True)
class Room:
    """How many bytes, and how many files, a run may leave; None: any number."""

    size: int
    files: int | None


class Collector:
    """Collects the files of one directory for one claim, within the room that there is.

    `given` has the marks of the files that the run was given, by name: untouched they are not its own.
    """

    def __init__(self, claim: Claim, room: Room, given: Mapping[str, Sequence[int]]) -> None:
        self.claim, self.given = claim, given
        self.size, self.files = room.size, room.files
        self.kept: dict[str, Kept] = {}
        self.left: dict[str, list[str]] = {}
        self.crowded = False
        self.temporary = self.directory = -1

    def collect(self, space: Path, endings: Sequence[str]) -> Found:
        """Keep the files in the run's space that match an ending, in the order of the endings. All, or nothing."""
        try:
            with ExitStack() as open_ones:
                taken = self._taken(self._candidates(endings)) if self._enter(space, open_ones) else {}
        except BaseException:
            discard(Found(tuple(self.kept.values())))
            raise
        return self._found(taken, endings)

    def _enter(self, space: Path, open_ones: ExitStack) -> bool:
        """False: a directory that the run removed, closed or put a link in place of, which has nothing for us."""
        try:
            self.temporary = open_ones.enter_context(beneath.directory(space, "tmp"))
            self.directory = open_ones.enter_context(beneath.directory(space, f"tmp/{self.claim.work.identity}"))
        except OSError as failure:
            if failure.errno not in GONE:
                raise
            return False
        return True

    def _candidates(self, endings: Sequence[str]) -> list[str]:
        """The outputs under the names that the task is told, then whatever else ends so."""
        told = [self.claim.work.output(each) for each in endings]
        names = sorted(self._names())
        return list(dict.fromkeys([*told, *(name for each in endings for name in names if fits(name, each))]))

    def _names(self) -> list[str]:
        """Of the files in the directory, so many as there may be."""
        most = MOST_ENTRIES if self.files is None else self.files
        with os.scandir(self.directory) as entries:
            names = [entry.name for entry in islice(entries, most + 1)]
        self.crowded = len(names) > most
        return names[:most]

    def _taken(self, names: Sequence[str]) -> dict[str, bool]:
        """Whether each is a plain file of the run's own, kept or left for want of room."""
        return {name: self._take(name) for name in names}

    def _take(self, name: str) -> bool:
        try:
            found = os.stat(name, dir_fd=self.directory, follow_symlinks=False)
        except OSError:
            return False
        if stat.S_ISDIR(found.st_mode) or self.given.get(name) == mark(found):
            return False
        if not stat.S_ISREG(found.st_mode):
            self._leave(LINKS if stat.S_ISLNK(found.st_mode) else NO_FILES, name)
            return False
        return self._open(name)

    def _open(self, name: str) -> bool:
        """What lies there by now is looked at once more, when it is open."""
        try:
            descriptor = beneath.opened(self.directory, name)
        except OSError as failure:
            self._leave(CLOSED if failure.errno == errno.EACCES else LINKS, name)
            return False
        with os.fdopen(descriptor, "rb") as stream:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or self._has_strange_names(descriptor):
                self._leave(LINKS if stat.S_ISREG(found.st_mode) else NO_FILES, name)
                return False
            if self._fits_in(found.st_size):
                self._keep(name, stream, found.st_size)
            else:
                self._leave(BEYOND, name)
        return True

    def _has_strange_names(self, descriptor: int) -> bool:
        """Names that neither the run's own directories have nor our store, where a lost worker's may go just now."""
        found = os.fstat(descriptor)
        while found.st_nlink > 1 and found.st_nlink > self._known(found):
            found, before = os.fstat(descriptor), found
            if found.st_nlink == before.st_nlink:
                return True
        return False

    def _leave(self, why: str, name: str) -> None:
        self.left.setdefault(why, []).append(name)

    def _fits_in(self, size: int) -> bool:
        return size <= self.size and (self.files is None or len(self.kept) < self.files)

    def _keep(self, name: str, stream: BinaryIO, size: int) -> None:
        key = f"{storage.of_run(self.claim.uuid)}{self.claim.attempt}-{len(self.kept) + 1}"
        blob = storage.adopt(key, stream) or storage.put(key, io.BufferedReader(_Beginning(stream, size)))
        self.size -= blob.size
        self.kept[name] = Kept(public_file(self.claim.work.identity, name), blob)

    def _known(self, found: os.stat_result) -> int:
        """How many names a file has in the directories of the run, all of which its code may write to, and with us."""
        its = found.st_dev, found.st_ino
        return self._names_in_space[its] + Counter(storage.inodes(storage.of_run(self.claim.uuid)))[its]

    @cached_property
    def _names_in_space(self) -> Counter[tuple[int, int]]:
        entries = beneath.every(self.temporary, MOST_ENTRIES)
        return Counter((each.st_dev, each.st_ino) for each in entries)

    def _found(self, taken: Mapping[str, bool], endings: Sequence[str]) -> Found:
        names = {each: sorted(name for name, there in taken.items() if there and fits(name, each)) for each in endings}
        kept = [self.kept[name] for name in dict.fromkeys(chain(*names.values())) if name in self.kept]
        return Found(tuple(kept), tuple(each for each in endings if not names[each]), tuple(self._sentences()))

    def _sentences(self) -> Iterator[str]:
        for why in (BEYOND, LINKS, NO_FILES, CLOSED):
            if names := self.left.get(why):
                yield why.format(_some(sorted(names)))
        if self.crowded:
            yield TOO_MANY.format(self.files or MOST_ENTRIES)


class _Beginning(io.RawIOBase):
    """So much of a file as it had when it was opened: one that still grows is not followed."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._left = stream, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


@contextmanager
def plain_file(space: Path, name: str) -> Iterator[BinaryIO | None]:
    """A regular file with one name, below the run's space, opened without following links or waiting; else None."""
    try:
        with beneath.directory(space) as root:
            descriptor = beneath.opened(root, name)
    except OSError:
        yield None
        return
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        yield stream if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 else None


def mark(found: os.stat_result) -> list[int]:
    """What changes when a file is written to, or another one is put in its place."""
    return [found.st_mtime_ns, found.st_size, found.st_ino]


def _some(names: Sequence[str]) -> str:
    some = ", ".join(public_file("", name) for name in names[:MOST_NAMED])
    return f"{some} and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else some


def discard(found: Found) -> None:
    """Remove what was stored for a run that is another worker's by now."""
    for kept in found.kept:
        storage.delete(kept.blob.key)
