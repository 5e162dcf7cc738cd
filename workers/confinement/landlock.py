"""Landlock: what files a process may use, by an ordinary user's own will; also no ports and no others' processes."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from functools import cache

from workers.confinement.kernel import syscall

CREATE, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION, PATH_BENEATH = 1, 1
LEAST = 4  # of the kernel's versions: the first that knows of ports, after those that know of cutting files short
SCOPED = 6  # from here on a process sends no signals out
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE, IOCTL_DEVICE = 1, 2, 4, 8, 1 << 14, 1 << 15
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEVICE
READING = EXECUTE | READ_FILE | READ_DIR
BIND_AND_CONNECT, SOCKETS_AND_SIGNALS = 3, 3


@cache
def version() -> int:
    """What this kernel knows of it; 0: nothing."""
    try:
        return syscall(CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(VERSION))
    except OSError:
        return 0


class Rules:
    """What may be used, and all that lies below it; what is not there is left out."""

    def __init__(self, network: bool) -> None:
        known = version()
        self.everything = (1 << (16 if known >= 5 else 15)) - 1
        ports = 0 if network else BIND_AND_CONNECT
        ruleset = struct.pack("=QQQ", self.everything, ports, SOCKETS_AND_SIGNALS)[: 24 if known >= SCOPED else 16]
        self.rules = syscall(CREATE, ruleset, ctypes.c_size_t(len(ruleset)), ctypes.c_uint32(0))

    def let_read(self, paths: Iterable[str]) -> None:
        for path in paths:
            _allow(self.rules, path, READING)

    def let_write(self, paths: Iterable[str]) -> None:
        for path in paths:
            _allow(self.rules, path, self.everything)

    def enforce(self) -> None:
        """From here on nothing else."""
        syscall(RESTRICT_SELF, ctypes.c_int(self.rules), ctypes.c_uint32(0))
        os.close(self.rules)


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= OF_FILES
        rule = struct.pack("=Qi", rights, place)
        syscall(ADD_RULE, ctypes.c_int(rules), ctypes.c_int(PATH_BENEATH), rule, ctypes.c_uint32(0))
    finally:
        os.close(place)
