"""Where an installed program lies: the directories that it needs to see, wherever on the machine it was put."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

AGAIN_SECONDS = 60.0  # after which a program may have been put elsewhere
KNOWN = 32  # programs


def homes(program: str) -> list[str]:
    """Of the program itself and of all that it is a link to; none where it is not installed."""
    found = shutil.which(program)
    return _homes_of(found, os.path.realpath(found), time.monotonic() // AGAIN_SECONDS) if found else []


@lru_cache(KNOWN)
def _homes_of(program: str, itself: str, when: float) -> list[str]:
    """While it leads to the same."""
    return list(dict.fromkeys(str(home) for link in _links(program) for home in _homes(link)))


def _links(program: str) -> Iterator[Path]:
    """The program, and each place that a link leads to."""
    path = Path(program).absolute()
    yield path
    while path.is_symlink():
        path = path.parent / path.readlink()
        yield path


def _homes(program: Path) -> Iterator[Path]:
    """What it was installed into, where that can be seen; else the program alone, for much else may lie beside it."""
    root = program.parent.parent
    installed = program.parent.name == "bin" and ((root / "lib").is_dir() or (root / "pyvenv.cfg").exists())
    yield root if installed and root != Path("/") else program
