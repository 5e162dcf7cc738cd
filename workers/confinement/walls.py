"""Walls around a process that is no fresh program: namespaces of its own, and a root with nothing but what it may see.

What bubblewrap does for a program that it starts, done by a fork for itself: thus the fork of a warm interpreter has
them, too. The order of the steps is bubblewrap's: a root for the time of building, in which the old one is `old` and
the new one `new`; then the old one goes.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import struct
from collections.abc import Iterable

from workers.confinement.kernel import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    mount,
    move_mount,
    pivot_root,
    protect,
    tree,
    unmount,
    unshare,
)
from workers.confinement.places import DEVICES

NEW_MOUNTS, NEW_CGROUP, NEW_NAMES, NEW_MESSAGES = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEW_USERS, NEW_PROCESSES, NEW_NETWORK = 0x10000000, 0x20000000, 0x40000000
ALL_BUT_NETWORK = NEW_MOUNTS | NEW_CGROUP | NEW_NAMES | NEW_MESSAGES | NEW_USERS | NEW_PROCESSES
BUILDING = "/tmp"  # noqa: S108 - any directory, over which nobody else sees the mount
OLD, NEW = "/old", "/new"
STREAMS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
SMALL = f"size={64 * 2**20}"  # of /tmp and /dev/shm
SET_FLAGS, UP, LOOPBACK = 0x8914, 0x1 | 0x40, b"lo"


def leave(user: int, network: bool) -> None:
    """Into namespaces of its own, as nobody in particular; of processes, only its children are in one."""
    mine, group = os.geteuid(), os.getegid()
    unshare(ALL_BUT_NETWORK | (0 if network else NEW_NETWORK))
    tell("/proc/self/setgroups", "deny")
    tell("/proc/self/uid_map", f"{user} {mine} 1")
    tell("/proc/self/gid_map", f"{user} {group} 1")
    socket.sethostname("job")
    if not network:
        bring_loopback_up()


def build(read: Iterable[str], links: Iterable[tuple[str, str]]) -> None:
    """A root of what every run may read, and links, to which more can be added until it is `finished`.

    In the first process of a namespace of processes. Raises OSError.
    """
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    mount("tmpfs", BUILDING, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=4m")
    for name in (OLD, NEW):
        os.mkdir(BUILDING + name)
    mount(BUILDING + NEW, BUILDING + NEW, "", MS_BIND)
    pivot_root(BUILDING, BUILDING + OLD)
    os.chdir("/")
    for target, place in links:
        os.symlink(target, NEW + place)
    os.mkdir(f"{NEW}/proc")
    mount("proc", f"{NEW}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    make_devices()
    make_small("/tmp", "777")  # noqa: S108 - the run's own
    for place in read:
        if os.path.exists(OLD + place):
            attach(tree(OLD + place, read_only=True), place)


def finish() -> None:
    """Nothing more can be added, and of the old root nothing is left."""
    for place in (f"{NEW}/dev", NEW):
        protect(place, read_only=True)
    unmount(OLD)
    pivot_root(NEW, NEW)
    unmount("/")
    os.chdir("/")


def attach(tree: int, place: str) -> None:
    """Let it be seen at a place of the new root, with all that lies in it."""
    new = NEW + place
    if stat.S_ISDIR(os.fstat(tree).st_mode):
        os.makedirs(new, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(new), exist_ok=True)
        os.close(os.open(new, os.O_CREAT | os.O_RDONLY, 0o444))
    move_mount(tree, new)
    os.close(tree)


def make_small(place: str, mode: str) -> None:
    os.mkdir(NEW + place)
    mount("tmpfs", NEW + place, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode},{SMALL}")


def make_devices() -> None:
    os.mkdir(f"{NEW}/dev")
    mount("tmpfs", f"{NEW}/dev", "tmpfs", MS_NOSUID, "mode=755,size=64k")
    for name in (*DEVICES, "tty"):
        new = f"{NEW}/dev/{name}"
        os.close(os.open(new, os.O_CREAT | os.O_RDONLY, 0o444))
        mount(f"{OLD}/dev/{name}", new, "", MS_BIND)
    for name, target in STREAMS.items():
        os.symlink(target, f"{NEW}/dev/{name}")
    make_small("/dev/shm", "777")  # noqa: S108 - the run's own
    os.mkdir(f"{NEW}/dev/pts")
    mount("devpts", f"{NEW}/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    os.symlink("pts/ptmx", f"{NEW}/dev/ptmx")


def bring_loopback_up() -> None:
    """Programs of a run may talk to each other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh", LOOPBACK, UP))


def tell(file: str, text: str) -> None:
    with open(file, "w", encoding="ascii") as target:
        target.write(text)
