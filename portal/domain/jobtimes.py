"""How long a job typically takes, from how long it took: the mode of a kernel density, as the first system counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy

POINTS = 200


def typical(seconds: Sequence[float]) -> int | None:
    """The typical one of some run times, in whole seconds; None where a density cannot be drawn: all are equal."""
    whole = [int(each) for each in seconds]
    if len(whole) == 1:
        return whole[0]
    return int(_densest(whole)) if len(set(whole)) > 1 else None


def _densest(seconds: Sequence[int]) -> float:
    """The highest point of the density, of as many as the first system looked at, from none to the longest time."""
    from scipy.stats import gaussian_kde

    grid = numpy.linspace(0, max(seconds), POINTS)
    return float(grid[gaussian_kde(seconds)(grid).argmax()])
