"""Landlock: what files a process may use, by an ordinary user's own will; also no ports and no others' processes."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from contextlib import suppress
from functools import cache

from workers.confinement.kernel import LIBC, check, syscall

CREATE, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION, PATH_BENEATH = 1, 1
LEAST = 4  # of the kernel's versions: the first that knows of ports, after those that know of cutting files short
SCOPED = 6  # from here on a process sends no signals out
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE, IOCTL_DEVICE = 1, 2, 4, 8, 1 << 14, 1 << 15
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEVICE
READING = EXECUTE | READ_FILE | READ_DIR
BIND_AND_CONNECT, SOCKETS_AND_SIGNALS = 3, 3
ADDING = LIBC["syscall"]
ADDING.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)

Place = tuple[int, bytes]  # where it is open, and what may be done there, as the kernel reads it


@cache
def version() -> int:
    """What this kernel knows of it; 0: nothing."""
    try:
        return syscall(CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(VERSION))
    except OSError:
        return 0


def everything() -> int:
    """All rights that this kernel knows."""
    return (1 << (16 if version() >= 5 else 15)) - 1


class Rules:
    """What may be used, and all that lies below it; what is not there is left out."""

    def __init__(self, network: bool) -> None:
        ports = 0 if network else BIND_AND_CONNECT
        ruleset = struct.pack("=QQQ", everything(), ports, SOCKETS_AND_SIGNALS)[: 24 if version() >= SCOPED else 16]
        self.rules = syscall(CREATE, ruleset, ctypes.c_size_t(len(ruleset)), ctypes.c_uint32(0))

    def let_read(self, paths: Iterable[str]) -> None:
        self._let(paths, READING)

    def let_write(self, paths: Iterable[str]) -> None:
        self._let(paths, everything())

    def let(self, places: Iterable[Place]) -> None:
        for _, rule in places:
            check(ADDING(ADD_RULE, self.rules, PATH_BENEATH, rule, 0), "a rule of Landlock")

    def enforce(self) -> None:
        """From here on nothing else."""
        syscall(RESTRICT_SELF, ctypes.c_int(self.rules), ctypes.c_uint32(0))
        os.close(self.rules)

    def _let(self, paths: Iterable[str], rights: int) -> None:
        places = opened(paths, rights)
        self.let(places)
        for descriptor, _ in places:
            os.close(descriptor)


def opened(paths: Iterable[str], rights: int) -> list[Place]:
    """Those of these that are there."""
    places = []
    for path in paths:
        with suppress(OSError):
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            fitting = rights if stat.S_ISDIR(os.fstat(descriptor).st_mode) else rights & OF_FILES
            places.append((descriptor, struct.pack("=Qi", fitting, descriptor)))
    return places
