"""The few calls of the kernel that Python has no function for."""

from __future__ import annotations

import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
CLONE_NEWNS = 0x20000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
LAST_CAPABILITY = "/proc/sys/kernel/cap_last_cap"


def prctl(option: int, value: int, more: object = 0) -> None:
    words = [ctypes.c_ulong(value), more if more else ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)]
    check(LIBC.prctl(option, *words), f"prctl {option}")


def syscall(number: int, *arguments: object) -> int:
    """The answer of a system call that the C library has no name for. Raises OSError."""
    return check(LIBC.syscall(ctypes.c_long(number), *arguments), f"system call {number}")


def private_mounts() -> None:
    """From here on this process has mounts of its own, which nobody else sees."""
    check(LIBC.unshare(CLONE_NEWNS), "unshare")
    mount("none", "/", "", MS_REC | MS_PRIVATE)


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    words = [os.fsencode(each) or None for each in (source, target, kind)]
    check(LIBC.mount(*words, ctypes.c_ulong(flags), os.fsencode(data) or None), f"mount {target}")


def drop_capabilities() -> None:
    """None is left after the next exec, not even root's; nothing to do for an ordinary user."""
    if os.geteuid() == 0:
        with open(LAST_CAPABILITY, encoding="ascii") as last:
            for capability in range(int(last.read()) + 1):
                prctl(PR_CAPBSET_DROP, capability)


def check(answer: int, what: str) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return answer
