"""The levels of confinement that this machine offers, by the worker's own probes; and the ways runs start at them."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from workers.confinement import probes


@cache
def offered() -> list[int]:
    """From the lowest on; level 1 always is."""
    with tempfile.TemporaryDirectory() as directory:
        higher = (2, 3, 4)
        return [1, *(level for level in higher if not probes.probe(level, Path(directory), level >= probes.WALLED))]


def ways() -> list[str]:
    """Fresh at each level, and warm at the first and the last: "1", "1 warm", "2" ..."""
    levels = offered()
    return [*map(str, levels), *(f"{level} warm" for level in dict.fromkeys((levels[0], levels[-1])))]
