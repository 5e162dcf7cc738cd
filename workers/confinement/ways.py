"""Ways for another user to places behind closed directories: in mounts of its own, with nothing else beside them."""

from __future__ import annotations

import os
from collections.abc import Iterable

from workers.confinement import places
from workers.confinement.kernel import MS_BIND, MS_NODEV, MS_NOSUID, MS_REC, mount, private_mounts


def open_to(paths: Iterable[str]) -> None:
    """Let anybody reach these paths, for this process only; each closed directory on the way holds nothing else."""
    behind: dict[str, list[str]] = {}
    for path in sorted(set(paths), key=len):
        if closed := places.first_closed(path):
            behind.setdefault(closed, []).append(path)
    if behind:
        private_mounts()
    for closed, found in behind.items():
        _replace(closed, found)


def _replace(closed: str, paths: list[str]) -> None:
    real = {path: os.open(path, os.O_PATH) for path in paths}
    mount("tmpfs", closed, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    for path, place in real.items():
        _prepare(path, place)
        mount(f"/proc/self/fd/{place}", path, "", MS_BIND | MS_REC)
        os.close(place)


def _prepare(path: str, place: int) -> None:
    """Something to mount on, of the same kind."""
    old = os.umask(0o022)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.isdir(f"/proc/self/fd/{place}"):
        os.makedirs(path, exist_ok=True)
    else:
        with open(path, "ab"):
            pass
    os.umask(old)
