"""What runs next: stages run one after another, the runs of one stage side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from portal.domain.states import FINAL, State


@dataclass(frozen=True)
class Place:
    """Where a run stands in its submission: its key, its stage (from 1) and its state."""

    key: int
    stage: int
    state: State


def stages(orders: Iterable[int]) -> dict[int, int]:
    """Order numbers to stages: {order: stage}, counted from 1 whatever the gaps between the numbers."""
    return {order: stage for stage, order in enumerate(sorted(set(orders)), start=1)}


def due(places: Sequence[Place]) -> list[int]:
    """The keys of the waiting runs whose turn it is: those of the first stage that is not finished."""
    ordered = sorted(places, key=lambda place: place.stage)
    for _, members in groupby(ordered, key=lambda place: place.stage):
        stage = list(members)
        if any(place.state not in FINAL for place in stage):
            return [place.key for place in stage if place.state is State.WAITING]
    return []
