"""What runs next: a step's turn comes when all that it comes after has ended. A stage is a distance from the start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

from portal.domain.states import FINAL, State

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Place:
    """Where a run stands in its submission: its key, its stage (from 1), its state and the keys that it comes after.

    Without `needs`, in rows of earlier versions, it comes after all of the stages before its own.
    """

    key: int
    stage: int
    state: State
    needs: frozenset[int] | None = None


def due(places: Sequence[Place]) -> list[int]:
    """The keys of the waiting runs whose turn it is. What has ended may be left out of the places."""
    still_open = {place.key for place in places if place.state not in FINAL}
    first = min((place.stage for place in places if place.key in still_open), default=0)
    waiting = [place for place in places if place.state is State.WAITING]
    return [
        place.key
        for place in waiting
        if (place.stage == first if place.needs is None else place.needs.isdisjoint(still_open))
    ]


def before(places: Iterable[Place]) -> dict[int, frozenset[int]]:
    """All that each run comes after, near and far."""
    ordered = sorted(places, key=lambda place: place.stage)
    found: dict[int, frozenset[int]] = {}
    for place in ordered:
        if place.needs is None:
            found[place.key] = frozenset(other.key for other in ordered if other.stage < place.stage)
        else:
            found[place.key] = place.needs.union(*(found[key] for key in place.needs))
    return found


def stages(needs: Mapping[Key, Collection[Key]]) -> dict[Key, int]:
    """One more than the longest way to each from a start. Raises ValueError when some wait for each other."""
    found: dict[Key, int] = {}
    try:
        for key in TopologicalSorter(needs).static_order():
            found[key] = 1 + max((found[each] for each in needs[key]), default=0)
    except CycleError:
        raise ValueError("Some of these wait for each other.") from None
    return {key: found[key] for key in sorted(needs, key=found.__getitem__)}


def nearest(needs: Mapping[Key, Collection[Key]]) -> dict[Key, frozenset[Key]]:
    """What each comes after, without what follows from the rest: these are the arrows of a picture."""
    stage = stages(needs)
    above: dict[Key, set[Key]] = {}
    found: dict[Key, frozenset[Key]] = {}
    for key in sorted(needs, key=stage.__getitem__):
        near: set[Key] = set()
        covered: set[Key] = set()
        for each in sorted(needs[key], key=stage.__getitem__, reverse=True):
            if each not in covered:
                near.add(each)
                covered |= above[each]
        found[key], above[key] = frozenset(near), covered | near
    return found


def circle(needs: Mapping[Key, Collection[Key]]) -> list[Key]:
    """Some that wait for each other, each for the next and the last for the first; none if all can begin some day."""
    left = dict(needs)
    after: dict[Key, list[Key]] = {key: [] for key in needs}
    for key, others in needs.items():
        for each in set(others) & needs.keys():
            after[each].append(key)
    counts = Counter(key for those in after.values() for key in those)
    free = [key for key in needs if not counts[key]]
    while free:
        key = free.pop()
        del left[key]
        counts.subtract(after[key])
        free += [each for each in after[key] if not counts[each]]
    return _round(left)


def _round(waiting: Mapping[Key, Collection[Key]]) -> list[Key]:
    """Each of these waits for another one of them: whoever follows comes to where they have been."""
    way: list[Key] = []
    at = next(iter(waiting), None)
    while at is not None and at not in way:
        way.append(at)
        at = next(each for each in waiting[at] if each in waiting)
    return way[way.index(at) :] if at is not None else []
