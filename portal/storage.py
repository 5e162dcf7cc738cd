"""Files that must last: put, open, copy, delete, by keys of the portal's own. Here: a directory of this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from portal.domain.errors import Invalid, NotFound
from portal.settings import settings

BLOCK = 1 << 20


@dataclass(frozen=True)
class Blob:
    """What is stored under a key: its size in bytes and the SHA-256 of its content."""

    key: str
    size: int
    sha256: str


class TooLarge(Invalid):
    """The stream went past its limit; nothing of it was kept."""


def put(key: str, stream: BinaryIO, limit: int | None = None) -> Blob:
    """Store a stream, durably, before this returns. Raises TooLarge past `limit` bytes."""
    target = _path(key)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f"{target.name}.{uuid4().hex}.part")
    try:
        blob = _write(key, draft, stream, limit)
        draft.replace(target)
        _sync_directory(target.parent)
    finally:
        draft.unlink(missing_ok=True)
    return blob


def open_blob(key: str) -> BinaryIO:
    try:
        return _path(key).open("rb")
    except FileNotFoundError:
        raise NotFound("This file is not kept any more.") from None


def copy_to(key: str, target: Path) -> None:
    try:
        shutil.copyfile(_path(key), target)
    except FileNotFoundError:
        raise NotFound("This file is not kept any more.") from None


def delete(key: str) -> None:
    _path(key).unlink(missing_ok=True)


def _path(key: str) -> Path:
    return settings().files_directory / key


def _write(key: str, draft: Path, stream: BinaryIO, limit: int | None) -> Blob:
    digest, size = hashlib.sha256(), 0
    with draft.open("wb") as file:
        for block in _blocks(stream):
            size += len(block)
            if limit is not None and size > limit:
                raise TooLarge(input_data=f"The file is larger than the {limit} bytes that are allowed.")
            digest.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return Blob(key, size, digest.hexdigest())


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(BLOCK):
        yield block


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
