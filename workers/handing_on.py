"""The directory of a run that is over, handed on to a later step of the same submission.

Where steps follow each other within milliseconds, to make and remove three directories for each takes some of them. One
is handed on empty and as it was made, or not at all.
"""

# What each step goes through is written without pathlib, which would take as long as the kernel does.
# ruff: noqa: PTH104
from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from workers.beneath import DIRECTORY

MOST_BYTES = 4096  # of a directory that never held much


def hand_on(old: str, new: str, inner: tuple[str, str]) -> bool:
    """Give a directory another name, empty but for one in it and one in that, which are `inner`.

    False: it was not, and is still to be removed.
    """
    with suppress(OSError), ExitStack() as opened:
        space = opened.enter_context(_directory(old))
        outer = opened.enter_context(_directory(inner[0], space))
        innermost = opened.enter_context(_directory(inner[1], outer))
        if all(map(_is_as_made, (space, outer, innermost))):
            for directory, spared in ((innermost, ""), (outer, inner[1]), (space, inner[0])):
                _empty(directory, spared)
            os.rename(old, new)
            return True
    return False


@contextmanager
def _directory(name: str, around: int | None = None) -> Iterator[int]:
    descriptor = os.open(name, DIRECTORY, dir_fd=around)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_as_made(directory: int) -> bool:
    """Ours, closed to others, small, and with nothing attached to it that a later run could find."""
    found = os.fstat(directory)
    ours = (found.st_uid, found.st_gid) == (os.geteuid(), os.getegid()) and stat.S_IMODE(found.st_mode) == 0o700
    return ours and found.st_size <= MOST_BYTES and not os.listxattr(directory)


def _empty(directory: int, spared: str) -> None:
    """Raises OSError where it has another directory in it."""
    for name in os.listdir(directory):
        if name != spared:
            os.unlink(name, dir_fd=directory)
    os.utime(directory)
