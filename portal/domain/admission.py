"""Whether another submission may come in, and how soon it is served: the queue rules of the first system's contract."""

from __future__ import annotations

from dataclasses import dataclass

from portal.domain.errors import TooMany
from portal.domain.names import Priority


@dataclass(frozen=True)
class Limits:
    """Active submissions from which priority falls (`hog`) and nothing more is taken (`hard`). None: no limit."""

    hog: int | None = 10
    hard: int | None = 15

    @property
    def bound(self) -> bool:
        return self.hog is not None or self.hard is not None


def priority(limits: Limits, active: int, usual: Priority) -> Priority:
    """The priority of a new submission from somebody who has `active` others waiting or running. Raises TooMany."""
    if limits.hard is not None and active >= limits.hard:
        raise TooMany(_refusal(active))
    if limits.hog is None or active < limits.hog:
        return usual
    if usual is Priority.LOW:
        raise TooMany(_refusal(active))
    return Priority(usual - 1)


def _refusal(number: int) -> str:
    return (
        "You have no authority to post jobs."
        f"Either you are not logged in you have too many, {number}, concurrent jobs running"
    )
