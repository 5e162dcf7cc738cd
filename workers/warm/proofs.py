"""Whether a program that never began as one, but is a warm parent's fork, is confined as far as all others.

The probes that tell how far a worker confines its runs try it, once for each interpreter. Where they get further, and
where only bubblewrap can build a level's walls, a program starts fresh.
"""

from __future__ import annotations

import logging
import time

from portal.settings import settings
from workers.confinement import probes
from workers.languages import usual
from workers.warm import lines
from workers.warm.nursery import Key

NAP_SECONDS = 0.05
START_SECONDS = 5.0
TRIES = 2  # the second program is one that has waited for its order

log = logging.getLogger(__name__)
_proven: dict[str, bool] = {}  # by interpreter


def holds(key: Key) -> bool:
    """Whether forks of this parent are confined at this worker's level; not now, if the parent is not ready."""
    level, own_walls = probes.level(), probes.found().own_walls
    if (level >= probes.WALLED and not own_walls) or not lines.is_open(key):
        return False
    judged = key if key[1] == lines.BARE[1] else lines.BARE
    if (interpreter := judged[0]) not in _proven:
        tries = (probes.probe(level, settings().runs_directory, own_walls, judged) for _ in range(TRIES))
        found = next(filter(None, tries), None)
        if found:
            log.warning("programs of %s start fresh, as its forks are not confined: %s", interpreter, found)
        _proven[interpreter] = not found
    return _proven[interpreter]


def prepare() -> None:
    """Have the usual parents loaded, and the bare one proven, before a worker's first run."""
    for key in usual():
        lines.is_open(key)
    deadline = time.monotonic() + START_SECONDS
    while not lines.is_open(lines.BARE) and time.monotonic() < deadline:
        time.sleep(NAP_SECONDS)
    holds(lines.BARE)
