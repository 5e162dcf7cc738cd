"""The few calls of the kernel that Python has no function for."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # whose numbers are none of the enums that take ten times as long
import ctypes
import os
import signal
import struct
from functools import cache
from itertools import pairwise

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mkdtemp.restype = ctypes.c_void_p
LIBC.prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
CLONE_FS, CLONE_NEWNS = 0x200, 0x20000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
HERE, RECURSIVE, ITSELF, READ_ONLY, DETACH = -100, 0x8000, 0x1000, 1, 2
CLONE_TREE, MOVE_ITSELF = 1, 4
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
LAST_CAPABILITY = "/proc/sys/kernel/cap_last_cap"
CAPSET = {"x86_64": 126, "aarch64": 91}
CAPABILITY_VERSION = 0x20080522
SIGNALS = sorted(int(each) for each in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})


def prctl(option: int, value: int, more: int = 0) -> None:
    check(LIBC.prctl(option, value, more, 0, 0), "prctl")


def end_with(parent: int) -> None:
    """Be killed when the parent dies, which may have happened just now."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(127)


def syscall(number: int, *arguments: object) -> int:
    """The answer of a system call that the C library has no name for. Raises OSError."""
    return check(LIBC.syscall(ctypes.c_long(number), *arguments), f"system call {number}")


def be_deaf() -> None:
    """No signal is heard, but for those that nobody can block, until all are heard again."""
    _signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def hear_again() -> None:
    _signal.pthread_sigmask(signal.SIG_SETMASK, ())


def reset_signals() -> None:
    """Each does what it does by itself, and is heard."""
    _signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        _signal.signal(number, _signal.SIG_DFL)
    hear_again()


def private_mounts() -> None:
    """From here on this process has mounts of its own, which nobody else sees."""
    unshare(CLONE_NEWNS)
    mount("none", "/", "", MS_REC | MS_PRIVATE)


def new_directory(beginning: bytes) -> bytes | None:
    """Its name, if it could be made: Python's own way to one takes more to load than all else of a launcher."""
    template = ctypes.create_string_buffer(beginning + b"XXXXXX")
    return template.value if LIBC.mkdtemp(template) else None


def own_directory() -> None:
    """From here on this thread works where it likes."""
    unshare(CLONE_FS)


def unshare(what: int) -> None:
    check(LIBC.unshare(what), "unshare")


def setns(namespace: int, kind: int) -> None:
    check(LIBC.setns(namespace, kind), "setns")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    words = [os.fsencode(each) or None for each in (source, target, kind)]
    check(LIBC.mount(*words, ctypes.c_ulong(flags), os.fsencode(data) or None), f"mount {target}")


def unmount(target: str) -> None:
    """It goes when nobody uses it any more, which nobody new can."""
    check(LIBC.umount2(os.fsencode(target), DETACH), f"unmount {target}")


def pivot_root(new: str, old: str) -> None:
    syscall(PIVOT_ROOT[os.uname().machine], os.fsencode(new), os.fsencode(old))


def protect(place: str, read_only: bool, within: int = HERE, how: int = 0) -> None:
    """A mount: without devices and without programs that make their user another."""
    added = MS_NOSUID | MS_NODEV | (READ_ONLY if read_only else 0)
    change = struct.pack("=QQQQ", added, 0, 0, 0)
    words = (ctypes.c_int(within), os.fsencode(place), ctypes.c_uint(how), change, ctypes.c_size_t(len(change)))
    syscall(MOUNT_SETATTR, *words)


def copy(place: str) -> int:
    """A mount of it and of all that is mounted in it, which is seen nowhere yet."""
    how = ctypes.c_uint(CLONE_TREE | RECURSIVE | os.O_CLOEXEC)
    return syscall(OPEN_TREE, ctypes.c_int(HERE), os.fsencode(place), how)


def tree(place: str, read_only: bool) -> int:
    """The same, protected."""
    found = copy(place)
    try:
        protect("", read_only, found, RECURSIVE | ITSELF)
    except OSError:
        os.close(found)
        raise
    return found


def move_mount(tree: int, place: str) -> None:
    how = ctypes.c_uint(MOVE_ITSELF)
    syscall(MOVE_MOUNT, ctypes.c_int(tree), b"", ctypes.c_int(HERE), os.fsencode(place), how)


def close_all_but(*kept: int) -> None:
    """Of the descriptors beyond the three streams."""
    ends = (2, *sorted(kept), os.sysconf("SC_OPEN_MAX"))
    for before, after in pairwise(ends):
        os.closerange(before + 1, after)


def bound_capabilities() -> None:
    """None can be had by an exec from here on."""
    for capability in range(last_capability() + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except PermissionError:  # of an ordinary user, who has none to drop
            break


def drop_capabilities() -> None:
    """None is left, not even root's or those of namespaces of one's own."""
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
