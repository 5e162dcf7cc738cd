"""Files that must last: put, open, copy, delete, by keys of the portal's own. Here: a directory of this machine.

Directories are no more than parts of keys: they come with the first file and go with the last.
"""

# What each step of a run goes through is written without pathlib, which would take as long as the kernel does.
# ruff: noqa: PTH103, PTH105, PTH108, PTH116, PTH120, PTH123
from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeVar
from uuid import uuid4

from portal.domain.errors import Damaged, Invalid, NotFound
from portal.settings import settings

BLOCK = 1 << 20
DRAFT = ".part"
TRIES = 10
FEW = 16
LIBC = ctypes.CDLL(None, use_errno=True)
F_SETSIG = 10  # which Python does not name

Placed = TypeVar("Placed")


@dataclass(frozen=True)
class Blob:
    """What is stored under a key: its size in bytes and the SHA-256 of its content."""

    key: str
    size: int
    sha256: str


@dataclass(frozen=True)
class File:
    """A file as it stands there, a draft perhaps. `age`: the seconds since it was written or given this key."""

    key: str
    size: int
    age: float


class TooLarge(Invalid):
    """The stream went past its limit; nothing of it was kept."""


def of_run(uuid: str) -> str:
    """How the keys of a run's results begin. Many runs share a directory: to make one costs as much as the file."""
    return f"runs/{uuid[:2]}/{uuid}."


def put(key: str, stream: BinaryIO, limit: int | None = None) -> Blob:
    """Store a stream, durably, before this returns. Raises TooLarge past `limit` bytes."""
    with putting() as together:
        return together.put(key, stream, limit)


@dataclass
class Putting:
    """Streams that are being stored together; each is known by its draft until all of them stand there."""

    blobs: list[Blob] = field(default_factory=list)
    drafts: dict[str, str] = field(default_factory=dict)
    placed: list[str] = field(default_factory=list)

    def put(self, key: str, stream: BinaryIO, limit: int | None = None) -> Blob:
        target = _place(key)
        draft = f"{target}.{uuid4().hex}{DRAFT}"
        self.drafts[draft] = target
        self.blobs.append(_write(key, draft, stream, limit, force=len(self.drafts) <= FEW))
        return self.blobs[-1]

    def settle(self) -> None:
        if len(self.drafts) > FEW:
            _sync_all()
        for draft, target in self.drafts.items():
            os.replace(draft, target)
            self.placed.append(target)
        for directory in {os.path.dirname(target) for target in self.placed}:
            _sync(directory)

    def give_up(self) -> None:
        for path in (*self.drafts, *self.placed):
            with suppress(FileNotFoundError):
                os.unlink(path)


@contextmanager
def putting() -> Iterator[Putting]:
    """Store streams together: all of them durably, before this ends, or none.

    A few are forced to the disk one by one; for many the file system is told once, as that is as quick as for one.
    """
    together = Putting()
    try:
        yield together
        together.settle()
    except BaseException:
        together.give_up()
        raise


def adopt(key: str, stream: BinaryIO) -> Blob | None:
    """Keep an open file itself, under a second name: as large as it is, nothing of it is copied. `force` makes it last.

    None where that cannot be: on another file system, or if somebody else may still write to it. Raises OSError.
    """
    target = _place(key)
    directory = os.path.dirname(target)
    try:
        _placed(directory, lambda: _made_ours(stream.fileno(), target, directory))
    except OSError:
        _prune(Path(directory))
        return None
    try:
        return _adopted(key, stream)
    except BaseException:
        delete(key)
        raise


def force(keys: Sequence[str]) -> None:
    """Have these files last, with the names that they have. Raises OSError."""
    places = [_place(key) for key in keys]
    for place in (*places, *dict.fromkeys(os.path.dirname(each) for each in places)):
        _sync(place)


def open_blob(key: str) -> BinaryIO:
    try:
        return open(_place(key), "rb")
    except FileNotFoundError:
        raise NotFound("This file is not kept any more.") from None


def copy_to(key: str, target: Path | str, sha256: str) -> None:
    """Raises Damaged when it is not what was kept with this SHA-256; NotFound."""
    digest = hashlib.sha256()
    with open_blob(key) as stream, open(target, "wb") as copy:
        for block in _blocks(stream):
            digest.update(block)
            copy.write(block)
    if digest.hexdigest() != sha256:
        raise Damaged("a stored file that it needs is damaged")


def duplicate(key: str, new_key: str) -> None:
    """Keep a file under a second key too, durably: either goes without the other. Raises NotFound."""
    try:
        _link(_path(key), _path(new_key))
    except FileNotFoundError:
        _prune(_path(new_key).parent)
        raise NotFound("This file is not kept any more.") from None
    except OSError:  # another file system, or one without second names
        with open_blob(key) as stream:
            put(new_key, stream)


def refresh(key: str) -> None:
    """Let the file count as written now, as a row is about to name it. Raises NotFound when it is gone."""
    try:
        os.utime(_place(key))
    except FileNotFoundError:
        raise NotFound("This file is not kept any more.") from None


def age(key: str) -> float:
    """The seconds since the file was written, given this key or refreshed; of one that is gone, none."""
    try:
        return _age(_path(key).stat())
    except FileNotFoundError:
        return 0


def delete(key: str) -> None:
    _path(key).unlink(missing_ok=True)
    _prune(_path(key).parent)


def every() -> Iterator[File]:
    """Every file that stands here, drafts too, one directory after another; those found empty are removed."""
    yield from _files(settings().files_directory)


def _path(key: str) -> Path:
    return Path(_place(key))


def _place(key: str) -> str:
    return f"{settings().files_directory}/{key}"


def _write(key: str, draft: str, stream: BinaryIO, limit: int | None, force: bool) -> Blob:
    digest, size = hashlib.sha256(), 0
    with _placed(os.path.dirname(draft), lambda: open(draft, "wb")) as file:
        for block in _blocks(stream):
            size += len(block)
            if limit is not None and size > limit:
                raise TooLarge(input_data=f"The file is larger than the {limit} bytes that are allowed.")
            digest.update(block)
            file.write(block)
        if force:
            file.flush()
            os.fsync(file.fileno())
    return Blob(key, size, digest.hexdigest())


def _made_ours(descriptor: int, target: str, directory: str) -> None:
    """A second name for a file that is ours alone. Raises OSError."""
    # without a directory's descriptor, which such a name has no use for, Python would link the link itself
    os.link(f"/proc/self/fd/{descriptor}", target, src_dir_fd=descriptor)
    try:
        _take_over(descriptor, stat.S_IMODE(os.stat(directory).st_mode) & 0o666)
    except OSError:
        os.unlink(target)
        raise


def _take_over(descriptor: int, mode: int) -> None:
    """Let nobody else write to an open file. Raises OSError if somebody may.

    A lease on reading is given only when nobody has the file open to write to it, whoever was handed it.
    """
    found = os.fstat(descriptor)
    if (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(descriptor, os.geteuid(), os.getegid())
    os.fchmod(descriptor, mode)
    fcntl.fcntl(descriptor, F_SETSIG, signal.SIGURG)  # by itself it would be a signal that ends us
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def _adopted(key: str, stream: BinaryIO) -> Blob:
    digest = hashlib.sha256()
    for block in _blocks(stream):
        digest.update(block)
    return Blob(key, stream.tell(), digest.hexdigest())


def inodes(beginning: str) -> Iterator[tuple[int, int]]:
    """The files themselves whose keys begin so, by device and number: one may have several keys."""
    start = _path(beginning)
    for path in start.parent.glob(f"{start.name}*"):
        with suppress(FileNotFoundError):
            found = path.lstat()
            yield found.st_dev, found.st_ino


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(BLOCK):
        yield block


def _link(source: Path, target: Path) -> None:
    _placed(str(target.parent), lambda: os.link(source, target))
    _sync(target.parent)


def _placed(directory: str, place: Callable[[], Placed], tries: int = TRIES) -> Placed:
    """Make the file, and its directory first where there is none, or where another process took it for left behind."""
    try:
        return place()
    except FileNotFoundError:
        if tries == 0:
            raise
    with suppress(FileNotFoundError):
        os.makedirs(directory, exist_ok=True)
    return _placed(directory, place, tries - 1)


def _sync(place: Path | str) -> None:
    """A file, or the names in a directory."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_all() -> None:
    """Whatever was written to the file system."""
    file_system = os.open(settings().files_directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if LIBC.syncfs(file_system):
            raise OSError(ctypes.get_errno(), "the files could not be forced to the disk")
    finally:
        os.close(file_system)


def _prune(directory: Path) -> None:
    """Remove a directory that holds nothing, and those around it that then hold nothing; the outermost stay."""
    root = settings().files_directory
    with suppress(OSError):
        while root in directory.parent.parents:
            directory.rmdir()
            directory = directory.parent


def _files(directory: Path) -> Iterator[File]:
    empty = True
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            empty = False
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry))
            elif file := _file(entry):
                yield file
    if empty:
        _prune(directory)


def _file(entry: os.DirEntry[str]) -> File | None:
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    key = Path(entry).relative_to(settings().files_directory).as_posix()
    return File(key, found.st_size, _age(found))


def _age(found: os.stat_result) -> float:
    """A second name has the first one's time of writing, hence the time of the last change of names too."""
    return time.time() - max(found.st_mtime, found.st_ctime)
