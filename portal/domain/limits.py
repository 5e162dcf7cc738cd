"""How far a run may go: a task asks, its backend says what is usual, and the administrator's ceilings bound both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from portal.domain.sizes import NUMBER, SIZE, TIME, Measure

LONGEST_WALL_SECONDS = 10_000_000
LARGEST_LOG_BYTES = 1_000_000_000
LARGEST = 2**60


@dataclass(frozen=True)
class Limits:
    """What a run may use at most: wall and processor time in seconds, sizes in bytes, files in number.

    None: a task leaves it to its backend, a backend sets none.
    """

    wall_seconds: int | None = None
    cpu_seconds: int | None = None
    memory_bytes: int | None = None
    output_bytes: int | None = None
    files: int | None = None
    log_bytes: int | None = None

    def stated(self) -> dict[str, int]:
        """Those that are given, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Limits:
        """From what was stated; names that this version does not know are left out."""
        return cls(**{name: value for name, value in given.items() if name in NAMES})


UNLIMITED = Limits()
NAMES = tuple(field.name for field in fields(Limits))
TITLES = dict(
    zip(NAMES, ("Wall time", "Processor time", "Memory", "Output size", "Number of files", "Log size"), strict=True)
)
USUAL = Limits(wall_seconds=3600, output_bytes=2_000_000_000, files=10_000, log_bytes=10_000_000)
WITHOUT_END = Limits(wall_seconds=LONGEST_WALL_SECONDS, log_bytes=LARGEST_LOG_BYTES)


def in_force(asked: Limits, usual: Limits, ceilings: Limits) -> Limits:
    """What bounds a run: what its task asks, else what is usual, never above a ceiling. Time and log always end."""
    most = ceilings.stated()
    wanted = {**most, **WITHOUT_END.stated(), **usual.stated(), **asked.stated()}
    return Limits(**{name: min(value, most.get(name, value)) for name, value in wanted.items()})


def measure(name: str) -> Measure:
    """How the limit of this name is written and read."""
    return TIME if name.endswith("_seconds") else SIZE if name.endswith("_bytes") else NUMBER


def words(name: str, value: int) -> str:
    """A limit as people write it: '2 h', '500 MB', '10,000'."""
    return measure(name).words(value)


def faults(limits: Limits) -> Iterator[tuple[str, str]]:
    """(name, sentence) for each limit that can be none."""
    highest = WITHOUT_END.stated()
    for name, value in limits.stated().items():
        most = highest.get(name, LARGEST)
        if not 1 <= value <= most:
            bound = f"at least {words(name, 1)}" if value < 1 else f"at most {words(name, most)}"
            yield name, f"{TITLES[name]}: give {bound}, or leave it empty."


def beyond(asked: Limits, ceilings: Limits) -> Iterator[tuple[str, int]]:
    """(name, ceiling) of each limit that is asked higher than it may be."""
    most = ceilings.stated()
    return ((name, most[name]) for name, value in asked.stated().items() if value > most.get(name, value))
