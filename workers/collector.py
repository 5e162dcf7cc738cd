"""The collector: takes home what a run wrote. Plain files only; devices, and links to what lies elsewhere, stay behind.

It runs when nothing of the run is alive any more. What it leaves it tells, so that nothing vanishes in silence.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from portal import storage
from portal.domain.names import fits, public_file
from portal.services.progress import Claim, Found, Kept

MOST_NAMED = 5


@dataclass(frozen=True)
class Room:
    """How many bytes, and how many files, a run may leave; None: any."""

    size: int | None
    files: int | None


class Collector:
    """Collects the files of one directory for one claim, within the room that there is."""

    def __init__(self, directory: Path, claim: Claim, room: Room) -> None:
        self.directory, self.claim = directory, claim
        self.kept: dict[str, Kept] = {}
        self.left: dict[str, None] = {}
        self.links: dict[str, None] = {}
        self.size, self.most = room.size, room.files

    def collect(self, names: Sequence[str], endings: Sequence[str]) -> Found:
        """Keep, of these files, those that match an ending, in the order of the endings. All, or nothing is stored."""
        try:
            missing = [each for each in endings if not self._take_all([name for name in names if fits(name, each)])]
        except BaseException:
            discard(Found(tuple(self.kept.values())))
            raise
        return Found(tuple(self.kept.values()), tuple(missing), tuple(self._sentences()))

    def _take_all(self, names: Sequence[str]) -> int:
        """How many plain files there were among these, kept or left for want of room."""
        return sum(self._take(name) for name in names)

    def _take(self, name: str) -> bool:
        if name in self.kept or name in self.left:
            return True
        with plain_file(self.directory / name, self._names_of) as stream:
            if stream is None:
                self._miss(name)
                return False
            if self._fits_in(stream):
                self._keep(name, stream)
            else:
                self.left[name] = None
        return True

    def _miss(self, name: str) -> None:
        with suppress(OSError):
            found = (self.directory / name).lstat()
            if stat.S_ISLNK(found.st_mode) or found.st_nlink > 1:
                self.links[name] = None

    def _fits_in(self, stream: BinaryIO) -> bool:
        roomy = self.size is None or os.fstat(stream.fileno()).st_size <= self.size
        return roomy and (self.most is None or len(self.kept) < self.most)

    def _keep(self, name: str, stream: BinaryIO) -> None:
        key = f"runs/{self.claim.uuid}/{self.claim.attempt}/{len(self.kept) + 1}"
        blob = storage.put(key, stream, self.size)
        if self.size is not None:
            self.size -= blob.size
        self.kept[name] = Kept(public_file(self.claim.work.identity, name), blob)

    def _names_of(self, found: os.stat_result) -> int:
        """How many names a file has in the directories of the run, all of which its code may write to."""
        return self._names[found.st_dev, found.st_ino]

    @cached_property
    def _names(self) -> Counter[tuple[int, int]]:
        """Of every file with several names."""
        return Counter((each.st_dev, each.st_ino) for each in _files_below(self.directory.parent) if each.st_nlink > 1)

    def _sentences(self) -> Iterator[str]:
        if self.left:
            yield f"Not kept, being beyond the limits of size and number: {_some(list(self.left))}"
        if self.links:
            yield f"Not kept, being links: {_some(list(self.links))}"


def _one(_: os.stat_result) -> int:
    return 1


@contextmanager
def plain_file(path: Path, known: Callable[[os.stat_result], int] = _one) -> Iterator[BinaryIO | None]:
    """A regular file all of whose names are known, opened without following links and without waiting; else None.

    One with a name elsewhere may be what its user may read and others may not.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        yield None
        return
    if not _plain(os.fstat(descriptor), known):
        os.close(descriptor)
        yield None
        return
    with os.fdopen(descriptor, "rb") as stream:
        yield stream


def _plain(found: os.stat_result, known: Callable[[os.stat_result], int]) -> bool:
    return stat.S_ISREG(found.st_mode) and (found.st_nlink == 1 or found.st_nlink == known(found))


def _files_below(directory: Path) -> Iterator[os.stat_result]:
    for place, _, names in os.walk(directory):
        for name in names:
            with suppress(OSError):
                yield Path(place, name).lstat()


def _some(names: Sequence[str]) -> str:
    some = ", ".join(public_file("", name) for name in names[:MOST_NAMED])
    return f"{some} and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else some


def discard(found: Found) -> None:
    """Remove what was stored for a run that is another worker's by now."""
    for kept in found.kept:
        storage.delete(kept.blob.key)
