"""The memory of a warm parent: a fork copies the tables of its pages, and each page that it writes to."""

from __future__ import annotations

import ctypes
import os
import re
import struct
from contextlib import suppress

from workers.confinement.kernel import LIBC, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = os.sysconf("SC_PAGE_SIZE")
LARGE = 1 << 21  # bytes
COLLAPSE = 25  # the kernel's word, from Linux 6.1 on
OWN_MEMORY = re.compile(r"^(\w+)-(\w+) rw-p 0+ 00:00 0 +(?:\[heap\])?$", re.MULTILINE)
WRITABLE = re.compile(r"^(\w+)-(\w+) rw-p ", re.MULTILINE)
PIDFD_OPEN, PROCESS_MADVISE, POPULATE_WRITE = 434, 440, 23  # of oneself from Linux 6.13 on
MOST = 1024  # places in one call
OWN = 1 << 56  # of a page's word: no other process has it

Ranges = list[tuple[int, int]]  # where each begins, and how many bytes it has
Areas = list[tuple[int, int]]  # where each begins and ends

expected: list[tuple[ctypes.Array[ctypes.c_size_t], int]] = []  # as the kernel takes them, and how many


def gather() -> None:
    """In large pages; what of it cannot be is left as it is."""
    for start, end in areas("self", OWN_MEMORY):
        first, last = -(-start // LARGE) * LARGE, end // LARGE * LARGE
        if first < last:
            LIBC.madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), COLLAPSE)


def areas(process: int | str, which: re.Pattern[str]) -> Areas:
    with open(f"/proc/{process}/maps", encoding="ascii", errors="replace") as maps:
        return [(int(start, 16), int(end, 16)) for start, end in which.findall(maps.read())]


def written(process: int) -> Ranges:
    """What a fork has of its own, in memory that this process has, too."""
    both = list(_common(areas("self", WRITABLE), areas(process, WRITABLE)))
    with open(f"/proc/{process}/pagemap", "rb", buffering=0) as pages:
        found = [each for area in both for each in _own(pages.fileno(), *area)]
    ranges: Ranges = []
    for page in found:
        if ranges and sum(ranges[-1]) == page:
            ranges[-1] = (ranges[-1][0], ranges[-1][1] + PAGE)
        else:
            ranges.append((page, PAGE))
    return ranges


def _common(mine: Areas, other: Areas) -> Iterator[tuple[int, int]]:
    for start, end in other:
        parts = ((max(start, begin), min(end, stop)) for begin, stop in mine)
        yield from (each for each in parts if each[0] < each[1])


def _own(pages: int, start: int, end: int) -> Iterator[int]:
    told = os.pread(pages, (end - start) // PAGE * 8, start // PAGE * 8)
    return (start + number * PAGE for number, (word,) in enumerate(struct.iter_unpack("=Q", told)) if word & OWN)


def expect(ranges: Ranges) -> None:
    for first in range(0, len(ranges), MOST):
        part = ranges[first : first + MOST]
        numbers = [number for each in part for number in each]
        expected.append(((ctypes.c_size_t * len(numbers))(*numbers), len(part)))


def copy() -> None:
    """In a fork that has time: what it is expected to write to, if the kernel knows how."""
    if not expected:
        return
    with suppress(OSError):
        mine = syscall(PIDFD_OPEN, os.getpid(), 0)
        try:
            for places, count in expected:
                syscall(PROCESS_MADVISE, mine, places, ctypes.c_size_t(count), POPULATE_WRITE, 0)
        finally:
            os.close(mine)
