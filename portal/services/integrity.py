"""Whether a stored file is still what was kept: no changed byte of it leaves the portal unnoticed.

A file that is sent whole is hashed on its way, and its end is held until the SHA-256 is right: no second reading, and
whoever fetches it gets a transfer that breaks off. Of one that is read in parts all is looked at before. Either holds
for a while as long as its size, its times and its place on the disk stay: then the kernel sends it by itself.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import threading
import time
from collections import OrderedDict
from typing import Any, BinaryIO

from portal.database import transaction
from portal.domain.errors import Damaged
from portal.services import audit
from portal.services.results import Stored, open_file

BLOCK = 1 << 20
LOOKED_AT_FIRST = 4 << 20
TRUSTED_SECONDS = 600.0
MOST_TRUSTED = 10_000

Mark = tuple[int, ...]

log = logging.getLogger(__name__)

_trusted: OrderedDict[str, tuple[Mark, float]] = OrderedDict()
_lock = threading.Lock()


def whole(stored: Stored) -> BinaryIO:
    """To be read from its beginning to its end. Raises Damaged, of a long file on the way; NotFound."""
    if stored.size <= LOOKED_AT_FIRST:
        return part(stored)
    stream = _opened(stored)
    if _is_trusted(stored.key, _mark(stream)):
        return stream
    return io.BufferedReader(_Checked(stored, stream), BLOCK)


def part(stored: Stored) -> BinaryIO:
    """To be read anywhere. Raises Damaged, NotFound."""
    stream = _opened(stored)
    mark = _mark(stream)
    if not _is_trusted(stored.key, mark):
        _look(stored, stream)
        _trust(stored.key, mark)
        stream.seek(0)
    return stream


class _Checked(io.RawIOBase):
    """A file that gives its last bytes only if all were right."""

    def __init__(self, stored: Stored, stream: BinaryIO) -> None:
        self._stored, self._stream = stored, stream
        self._digest, self._left = hashlib.sha256(), stored.size
        self._mark = _mark(stream)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(min(len(buffer), self._left))
        self._digest.update(data)
        self._left -= len(data)
        if (not self._left or not data) and self._digest.hexdigest() != self._stored.sha256:
            raise _alarm(self._stored)
        if not self._left:
            _trust(self._stored.key, self._mark)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _opened(stored: Stored) -> BinaryIO:
    """A file of another length is wrong at once."""
    stream = open_file(stored)
    if os.fstat(stream.fileno()).st_size != stored.size:
        stream.close()
        raise _alarm(stored)
    return stream


def _look(stored: Stored, stream: BinaryIO) -> None:
    digest = hashlib.sha256()
    while block := stream.read(BLOCK):
        digest.update(block)
    if digest.hexdigest() != stored.sha256:
        stream.close()
        raise _alarm(stored)


def _mark(stream: BinaryIO) -> Mark:
    found = os.fstat(stream.fileno())
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _is_trusted(key: str, mark: Mark) -> bool:
    with _lock:
        known, since = _trusted.get(key, ((), 0.0))
    return known == mark and time.monotonic() - since < TRUSTED_SECONDS


def _trust(key: str, mark: Mark) -> None:
    with _lock:
        _trusted[key] = (mark, time.monotonic())
        while len(_trusted) > MOST_TRUSTED:
            _trusted.popitem(last=False)


def _alarm(stored: Stored) -> Damaged:
    """Tell whoever looks after the portal; what is returned is for whoever asked."""
    log.error("the stored file %s is damaged: it is not what was kept as %s", stored.key, stored.name)
    with transaction() as session:
        audit.record(session, "found damaged", "file", stored.name)
    return Damaged("This file is damaged in the portal's storage, so it is not given. Tell the administrator its name.")
