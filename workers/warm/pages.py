"""The memory of a warm parent in large pages: a fork copies the tables of its pages, and its end takes them down."""

from __future__ import annotations

import ctypes
import re

from workers.confinement.kernel import LIBC

LARGE = 1 << 21  # bytes
COLLAPSE = 25  # the kernel's word, from Linux 6.1 on
OWN_MEMORY = re.compile(r"^(\w+)-(\w+) rw-p 0+ 00:00 0 +(?:\[heap\])?$", re.MULTILINE)


def gather() -> None:
    """What of it cannot be is left as it is."""
    with open("/proc/self/maps", encoding="ascii", errors="replace") as maps:
        found = OWN_MEMORY.findall(maps.read())
    for start, end in found:
        first, last = -(-int(start, 16) // LARGE) * LARGE, int(end, 16) // LARGE * LARGE
        if first < last:
            LIBC.madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), COLLAPSE)
