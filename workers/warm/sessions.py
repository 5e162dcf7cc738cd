"""The directory of an R session, and the session's end.

R removes that directory by a shell, and has every library do what it does at its end; both together cost as much as a
fork of R does. Here it is removed by a system call or two, and no library is asked that the run did not load itself.
"""

from __future__ import annotations

import ctypes
import os

from workers.confinement.kernel import LIBC, new_directory


class Loaded(ctypes.Structure):
    """What the C library tells of each library; how many there ever were, it tells with each."""

    _fields_ = (
        ("address", ctypes.c_void_p), ("name", ctypes.c_char_p), ("headers", ctypes.c_void_p),
        ("header_count", ctypes.c_ushort), ("ever", ctypes.c_ulonglong),
    )  # fmt: skip


LOOKING = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Loaded), ctypes.c_size_t, ctypes.c_void_p)
ENDING = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p)
ON_EXIT = LIBC.on_exit
told: list[int] = []


def look(library: ctypes._Pointer[Loaded], size: int, nothing: None) -> int:
    """At the first one alone."""
    told.append(library.contents.ever)
    return 1


looking = LOOKING(look)


def libraries() -> int:
    """How many this process has loaded so far."""
    LIBC.dl_iterate_phdr(looking, None)
    return told.pop()


def directory() -> bytes | None:
    """One of its own, where R would make it; None where R has to look further, or to complain."""
    parent = os.environb.get(b"TMPDIR", b"")
    made = new_directory(parent + b"/Rtmp") if parent.split() == [parent] else None
    if made:
        os.environb[b"R_SESSION_TMPDIR"] = made
    return made


def ending(directory: bytes | None, known: int) -> ctypes._FuncPointer:
    """For the C library to call when R has done all, and so has what the run's own libraries registered.

    `known`: the libraries that were loaded before the run; nobody would notice their ends.
    """
    process = os.getpid()

    def end(status: int, nothing: None) -> None:
        if os.getpid() != process:
            return
        if directory:
            remove(directory)
        if libraries() == known:
            LIBC.fflush(None)
            os._exit(status & 0xFF)

    return ENDING(end)


def remove(directory: bytes) -> None:
    """As R does it, unless there is less to do."""
    try:
        for each in os.listdir(directory):
            os.unlink(os.path.join(directory, each))
        os.rmdir(directory)
    except OSError:
        LIBC.system(b"rm -Rf " + directory)
