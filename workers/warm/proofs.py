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
AGAIN_SECONDS = 30.0
OWN_WAYS = ("python", "command")  # in which programs come to be; R's do as Python's
TRIES = 2  # the second program is one that has waited for its order

log = logging.getLogger(__name__)
_proven: dict[Key, bool] = {}  # by interpreter and way
_next: dict[Key, float] = {}  # when to try again


def holds(key: Key) -> bool:
    """Whether forks of this parent are confined at this worker's level; not now, if the parent is not ready."""
    level, own_walls = probes.level(), probes.found().own_walls
    if (level >= probes.WALLED and not own_walls) or not lines.is_open(key):
        return False
    judged = _judged(key)
    if judged[:2] not in _proven and time.monotonic() >= _next.get(judged[:2], 0):
        _prove(judged, level, own_walls)
    return _proven.get(judged[:2], False)


def _prove(judged: Key, level: int, own_walls: bool) -> None:
    """What could not even be started tells nothing: its parent may have died just then."""
    tries = (probes.probe(level, settings().runs_directory, own_walls, judged) for _ in range(TRIES))
    found = next(filter(None, tries), {})
    if found:
        log.warning("programs of %s start fresh, as those of its parent are not confined: %s", judged[0], found)
    if probes.START in found:
        _next[judged[:2]] = time.monotonic() + AGAIN_SECONDS
    else:
        _proven[judged[:2]] = not found


def prepare() -> None:
    """Have the usual parents loaded, and the bare ones proven, before a worker's first run."""
    ways = {_judged(key)[:2] for key in usual()}
    for key in usual():
        lines.is_open(key)
    deadline = time.monotonic() + START_SECONDS
    while not all(map(lines.is_open, ways)) and time.monotonic() < deadline:
        time.sleep(NAP_SECONDS)
    for key in ways:
        holds(key)


def _judged(key: Key) -> Key:
    """The parent that tells of this one's way."""
    return key if key[1] in OWN_WAYS else lines.BARE
