"""The levels of confinement: how far a worker keeps runs from everything that is not theirs."""

from __future__ import annotations

LOWEST, STRICTEST = 1, 4
WORDS = {
    1: "a clean environment and limits",
    2: "also a filter of files, sockets and system calls",
    3: "also namespaces of its own",
    4: "also a user of its own, and bounds for all its processes together",
}
LEVELS = tuple(WORDS)


def words(level: int) -> str:
    """For people: level 2: also a filter ..."""
    return f"Level {level}: {WORDS[level]}"
