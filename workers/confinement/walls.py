"""Walls around a process that is no fresh program: namespaces of its own, and a root with nothing but what it may see.

What bubblewrap does for a program that it starts, done by a fork for itself: thus the fork of a warm interpreter has
them, too. Most of it is done once for all programs of a launcher, which live one after another: the `Yard`. Each of
them parts from it with what it could leave something in: mounts, a root, /tmp, sockets, messages.
"""

from __future__ import annotations

import os
import socket
import stat
from typing import NamedTuple

from workers.confinement.kernel import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    copy,
    mount,
    move_mount,
    pivot_root,
    protect,
    setns,
    tree,
    unmount,
    unshare,
)
from workers.confinement.places import DEVICES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NEW_MOUNTS, NEW_CGROUP, NEW_NAMES, NEW_MESSAGES = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEW_USERS, NEW_PROCESSES, NEW_NETWORK = 0x10000000, 0x20000000, 0x40000000
IN_COMMON = NEW_MOUNTS | NEW_NAMES | NEW_USERS | NEW_PROCESSES
BUILDING = "/tmp"  # noqa: S108 - over which a root is built, where nobody else sees it, and which each has anew
OLD, NEW = "/old", "/new"
MOUNTS = "/proc/self/ns/mnt"
STREAMS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
SMALL = f"size={64 * 2**20}"  # of /tmp and /dev/shm
ROOT = "mode=755,size=4m"


class Yard(NamedTuple):
    """`first`: the process inside that ends all others with it, `way` what it is told by. `machine`: the mounts of the
    machine, of which more can be shown."""

    first: int
    way: int
    machine: int


def enclose(user: int, read: Iterable[str], links: Iterable[tuple[str, str]], stay: Callable[[int], None]) -> Yard:
    """Namespaces, with a root of what every program may read, and links; who calls is in all but that of processes,
    in which are only its children, the first of which `stays`. Raises OSError."""
    mine, group = os.geteuid(), os.getegid()
    unshare(IN_COMMON)
    tell("/proc/self/setgroups", "deny")
    tell("/proc/self/uid_map", f"{user} {mine} 1")
    tell("/proc/self/gid_map", f"{user} {group} 1")
    socket.sethostname("job")
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    machine = os.open(MOUNTS, os.O_RDONLY | os.O_CLOEXEC)
    unshare(NEW_MOUNTS)
    os.chdir("/")
    problem, telling = os.pipe()
    hearing, way = os.pipe()
    first = os.fork()
    if first == 0:
        try:
            build(read, links)
            stay(hearing)
        except BaseException as failure:  # noqa: BLE001 - nothing may run on as a second twin
            os.write(telling, str(failure).encode())
        finally:
            os._exit(127)
    for each in (telling, hearing):
        os.close(each)
    with open(problem, encoding="utf-8") as told:
        if why := told.read():
            raise OSError(why)
    return Yard(first, way, machine)


def build(read: Iterable[str], links: Iterable[tuple[str, str]]) -> None:
    """The root that all begin with, which nobody changes any more. In the first of a namespace's processes."""
    mount("tmpfs", BUILDING, "tmpfs", MS_NOSUID | MS_NODEV, ROOT)
    for name in (OLD, NEW):
        os.mkdir(BUILDING + name)
    mount(BUILDING + NEW, BUILDING + NEW, "", MS_BIND)
    pivot_root(BUILDING, BUILDING + OLD)
    os.chdir("/")
    for target, place in links:
        os.symlink(target, NEW + place)
    for name in ("/proc", BUILDING):
        os.mkdir(NEW + name)
    mount("proc", f"{NEW}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    make_devices()
    for place in read:
        if os.path.exists(OLD + place):
            attach(tree(OLD + place, read_only=True), NEW + place)
    for place in (f"{NEW}/dev", NEW):
        protect(place, read_only=True)
    unmount(OLD)
    be_root(NEW)


def make_devices() -> None:
    os.mkdir(f"{NEW}/dev")
    mount("tmpfs", f"{NEW}/dev", "tmpfs", MS_NOSUID, "mode=755,size=64k")
    for name in (*DEVICES, "tty"):
        new = f"{NEW}/dev/{name}"
        os.close(os.open(new, os.O_CREAT | os.O_RDONLY, 0o444))
        mount(f"{OLD}/dev/{name}", new, "", MS_BIND)
    for name, target in (*STREAMS.items(), ("ptmx", "pts/ptmx")):
        os.symlink(target, f"{NEW}/dev/{name}")
    for name in ("shm", "pts"):
        os.mkdir(f"{NEW}/dev/{name}")


def part(network: bool) -> None:
    """From what others had before, and will have: with a root of its own, to which more can be shown."""
    unshare(NEW_MOUNTS | NEW_MESSAGES | (0 if network else NEW_NETWORK))
    renew("/", BUILDING)
    os.mkdir(BUILDING + BUILDING)
    for place in (BUILDING, "/dev/shm"):  # noqa: S108 - the run's own
        mount("tmpfs", BUILDING + place, "tmpfs", MS_NOSUID | MS_NODEV, f"mode=777,{SMALL}")
    pts = f"{BUILDING}/dev/pts"
    mount("devpts", pts, "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    be_root(BUILDING)


def renew(directory: str, new: str) -> None:
    """Another one with the same in it but itself, in which places can be made."""
    links, trees = {}, {}
    for name in os.listdir(directory):
        place, again = os.path.join(directory, name), os.path.join(new, name)
        if os.path.islink(place):
            links[again] = os.readlink(place)
        elif place != new:
            trees[again] = copy(place)
    mount("tmpfs", new, "tmpfs", MS_NOSUID | MS_NODEV, ROOT)
    for again, target in links.items():
        os.symlink(target, again)
    for again, found in trees.items():
        attach(found, again)


def be_root(directory: str) -> None:
    pivot_root(directory, directory)
    unmount("/")
    os.chdir("/")


def opened(sources: Iterable[tuple[str, bool]], yard: Yard) -> list[int]:
    """Of the machine's places, as far as this user may have them; whether only to be read."""
    own = os.open(MOUNTS, os.O_RDONLY | os.O_CLOEXEC)
    setns(yard.machine, NEW_MOUNTS)
    found = [tree(source, read_only) for source, read_only in sources if os.path.exists(source)]
    setns(own, NEW_MOUNTS)
    os.close(own)
    return found


def show(found: Iterable[tuple[int, str]]) -> None:
    """The rest that a program may see: after that, nothing can be added."""
    own = {"/"}
    for each, place in found:
        if fixed := in_fixed(place):
            renew(fixed, fixed)
            own.add(fixed)
        attach(each, place)
    for place in own:
        protect(place, read_only=True)
    unshare(NEW_CGROUP)


def in_fixed(place: str) -> str | None:
    """The directory in which it would have to be made, and cannot, as all programs have that in common."""
    directory = os.path.dirname(place)
    while not os.path.exists(directory):
        directory = os.path.dirname(directory)
    return directory if not os.path.exists(place) and os.statvfs(directory).f_flag & os.ST_RDONLY else None


def attach(tree: int, place: str) -> None:
    """Let it be seen at a place, with all that lies in it."""
    if not os.path.exists(place):
        make(place, stat.S_ISDIR(os.fstat(tree).st_mode))
    move_mount(tree, place)
    os.close(tree)


def make(place: str, directory: bool) -> None:
    os.makedirs(place if directory else os.path.dirname(place), exist_ok=True)
    if not directory:
        os.close(os.open(place, os.O_CREAT | os.O_RDONLY, 0o444))


def tell(file: str, text: str) -> None:
    with open(file, "w", encoding="ascii") as target:
        target.write(text)
