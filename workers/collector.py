"""The collector: takes home what a run wrote. Plain files with one name only; links and devices stay behind.

It runs when nothing of the run is alive any more. What it leaves it tells, so that nothing vanishes in silence.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from portal import storage
from portal.domain.names import fits, public_file
from portal.services.progress import Claim, Found, Kept

MOST_FILES = 1000
MOST_NAMED = 5


class Collector:
    """Collects the files of one directory for one claim, within the room that the run's limits leave."""

    def __init__(self, directory: Path, claim: Claim) -> None:
        self.directory, self.claim = directory, claim
        self.kept: dict[str, Kept] = {}
        self.left: list[str] = []
        self.room = claim.work.limits.output_bytes

    def collect(self, names: Sequence[str], endings: Sequence[str]) -> Found:
        """Keep, of these files, those that match an ending, in the order of the endings. All, or nothing is stored."""
        try:
            missing = [each for each in endings if not self._take_all([name for name in names if fits(name, each)])]
        except BaseException:
            discard(Found(tuple(self.kept.values())))
            raise
        return Found(tuple(self.kept.values()), tuple(missing), tuple(_sentences(self.left)))

    def _take_all(self, names: Sequence[str]) -> int:
        """How many plain files there were among these, kept or left for want of room."""
        return sum(self._take(name) for name in names)

    def _take(self, name: str) -> bool:
        if name in self.kept or name in self.left:
            return True
        with plain_file(self.directory / name) as stream:
            if stream is None:
                return False
            if self._fits_in(stream):
                self._keep(name, stream)
            else:
                self.left.append(name)
        return True

    def _fits_in(self, stream: BinaryIO) -> bool:
        roomy = self.room is None or os.fstat(stream.fileno()).st_size <= self.room
        return roomy and len(self.kept) < MOST_FILES

    def _keep(self, name: str, stream: BinaryIO) -> None:
        key = f"runs/{self.claim.uuid}/{self.claim.attempt}/{len(self.kept) + 1}"
        blob = storage.put(key, stream, self.room)
        if self.room is not None:
            self.room -= blob.size
        self.kept[name] = Kept(public_file(self.claim.work.identity, name), blob)


@contextmanager
def plain_file(path: Path) -> Iterator[BinaryIO | None]:
    """A regular file with one name, opened without following links and without waiting; else None."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        yield None
        return
    if not _plain(os.fstat(descriptor)):
        os.close(descriptor)
        yield None
        return
    with os.fdopen(descriptor, "rb") as stream:
        yield stream


def _plain(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def _sentences(left: Sequence[str]) -> Iterator[str]:
    if left:
        some = ", ".join(public_file("", name) for name in left[:MOST_NAMED])
        more = f" and {len(left) - MOST_NAMED} more" if len(left) > MOST_NAMED else ""
        yield f"Not kept, being beyond the limits of size and number: {some}{more}"


def discard(found: Found) -> None:
    """Remove what was stored for a run that is another worker's by now."""
    for kept in found.kept:
        storage.delete(kept.blob.key)
