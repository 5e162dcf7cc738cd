"""The few calls of the kernel that Python has no function for."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from functools import cache
from itertools import pairwise

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
CLONE_NEWNS = 0x20000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MOUNT_SETATTR, HERE, RECURSIVE, READ_ONLY, DETACH = 442, -100, 0x8000, 1, 2
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
LAST_CAPABILITY = "/proc/sys/kernel/cap_last_cap"
CAPSET = {"x86_64": 126, "aarch64": 91}
CAPABILITY_VERSION = 0x20080522


def prctl(option: int, value: int, more: object = 0) -> None:
    words = [ctypes.c_ulong(value), more if more else ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)]
    check(LIBC.prctl(option, *words), f"prctl {option}")


def end_with(parent: int) -> None:
    """Be killed when the parent dies, which may have happened just now."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(127)


def syscall(number: int, *arguments: object) -> int:
    """The answer of a system call that the C library has no name for. Raises OSError."""
    return check(LIBC.syscall(ctypes.c_long(number), *arguments), f"system call {number}")


def private_mounts() -> None:
    """From here on this process has mounts of its own, which nobody else sees."""
    unshare(CLONE_NEWNS)
    mount("none", "/", "", MS_REC | MS_PRIVATE)


def unshare(namespaces: int) -> None:
    check(LIBC.unshare(namespaces), "unshare")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    words = [os.fsencode(each) or None for each in (source, target, kind)]
    check(LIBC.mount(*words, ctypes.c_ulong(flags), os.fsencode(data) or None), f"mount {target}")


def unmount(target: str) -> None:
    """It goes when nobody uses it any more, which nobody new can."""
    check(LIBC.umount2(os.fsencode(target), DETACH), f"unmount {target}")


def pivot_root(new: str, old: str) -> None:
    syscall(PIVOT_ROOT[os.uname().machine], os.fsencode(new), os.fsencode(old))


def protect(place: str, recursive: bool, read_only: bool) -> None:
    """A mount, and those in it: without devices and without programs that make their user another."""
    added = MS_NOSUID | MS_NODEV | (READ_ONLY if read_only else 0)
    change = struct.pack("=QQQQ", added, 0, 0, 0)
    how = ctypes.c_uint(RECURSIVE if recursive else 0)
    syscall(MOUNT_SETATTR, ctypes.c_int(HERE), os.fsencode(place), how, change, ctypes.c_size_t(len(change)))


def close_all_but(*kept: int) -> None:
    """Of the descriptors beyond the three streams."""
    ends = (2, *sorted(kept), os.sysconf("SC_OPEN_MAX"))
    for before, after in pairwise(ends):
        os.closerange(before + 1, after)


def drop_capabilities() -> None:
    """None is left, not even root's or those of namespaces of one's own, now and after an exec."""
    for capability in range(last_capability() + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except PermissionError:  # of an ordinary user, who has none to drop
            break
    syscall(CAPSET[os.uname().machine], struct.pack("=Ii", CAPABILITY_VERSION, 0), bytes(24))


@cache
def last_capability() -> int:
    with open(LAST_CAPABILITY, encoding="ascii") as last:
        return int(last.read())


def check(answer: int, what: str) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return answer
