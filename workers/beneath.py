"""Files below a directory that somebody else filled: opened so that no name, link or mount leads out of it.

The kernel sees to that itself (openat2); where it cannot, each directory on the way is opened by itself.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

OPENAT2 = 437
NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH = 0x01, 0x02, 0x04, 0x08
RESOLVE = NO_XDEV | NO_MAGICLINKS | NO_SYMLINKS | BENEATH
FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
UNKNOWN = (errno.ENOSYS, errno.EPERM)  # an older kernel, or a filter that does not know the call
TRIES = 5
LIBC = ctypes.CDLL(None, use_errno=True)


def opened(directory: int, name: str, flags: int = FILE) -> int:
    """A descriptor of what lies below an open directory under this name. Waits for nothing. Raises OSError."""
    for _ in range(TRIES):
        try:
            return _resolved(directory, os.fsencode(name), flags)
        except BlockingIOError:  # something was renamed meanwhile
            continue
        except OSError as failure:
            if failure.errno not in UNKNOWN:
                raise
            break
    return step_by_step(directory, name, flags)


def _resolved(directory: int, name: bytes, flags: int) -> int:
    how = ctypes.create_string_buffer(struct.pack("QQQ", flags, 0, RESOLVE))
    found = LIBC.syscall(OPENAT2, directory, name, how, ctypes.c_size_t(struct.calcsize("QQQ")))
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(name))
    return int(found)


def step_by_step(directory: int, name: str, flags: int = FILE) -> int:
    """The same without the kernel's help. Raises OSError."""
    *places, last = name.split("/")
    if ".." in (*places, last) or not all((*places, last)):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)
    here = os.dup(directory)
    try:
        for place in places:
            here, before = os.open(place, DIRECTORY, dir_fd=here), here
            os.close(before)
        return _same_device(os.open(last, flags | os.O_NOFOLLOW, dir_fd=here), directory)
    finally:
        os.close(here)


def _same_device(descriptor: int, directory: int) -> int:
    if os.fstat(descriptor).st_dev == os.fstat(directory).st_dev:
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


@contextmanager
def directory(root: Path, name: str = "") -> Iterator[int]:
    """A descriptor of a directory that may be trusted, or of one `name` below it that may not. Raises OSError."""
    descriptor = os.open(root, DIRECTORY)
    try:
        if name:
            descriptor, root_itself = opened(descriptor, name, DIRECTORY), descriptor
            os.close(root_itself)
        yield descriptor
    finally:
        os.close(descriptor)


def every(directory: int, most: int) -> Iterator[os.stat_result]:
    """Of what lies below an open directory, however deep, at most so many entries."""
    waiting = ["."]
    while waiting and most > 0:
        place = waiting.pop()
        with suppress(OSError), _scanned(directory, place) as entries:
            for entry in entries:
                most -= 1
                if most < 0:
                    return
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{place}/{entry.name}")
                yield entry.stat(follow_symlinks=False)


@contextmanager
def _scanned(directory: int, place: str) -> Iterator[Iterator[os.DirEntry[str]]]:
    descriptor = opened(directory, place, DIRECTORY)
    try:
        with os.scandir(descriptor) as entries:
            yield entries
    finally:
        os.close(descriptor)


def empty(directory: int) -> None:
    """Remove all that lies below an open directory, as far as it can be: also what was closed, and however deep.

    What lies in a directory is brought up before it goes, so that no way there becomes too long.
    """
    waiting = _cleared(directory, directory)
    while waiting:
        name = waiting.pop()
        with suppress(OSError):
            _let_in(directory, name)
            inner = os.open(name, DIRECTORY, dir_fd=directory)
            try:
                waiting += _cleared(inner, directory)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=directory)


def _cleared(inner: int, directory: int) -> list[str]:
    """Remove the files of an inner directory and bring its directories up; what they are called there. Those that are
    up already keep their names."""
    with os.scandir(inner) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    brought = []
    for name, is_directory in found:
        with suppress(OSError):
            if not is_directory:
                os.unlink(name, dir_fd=inner)
            elif inner == directory:
                brought.append(name)
            else:
                _let_in(inner, name)
                os.rename(name, up := uuid4().hex, src_dir_fd=inner, dst_dir_fd=directory)
                brought.append(up)
    return brought


def _let_in(directory: int, name: str) -> None:
    os.chmod(name, 0o700, dir_fd=directory)
