"""How long a job typically takes, from how long it took: the mode of a kernel density, as the first system counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy

GRID = 1000


def typical(seconds: Sequence[float]) -> int | None:
    """The typical one of some run times, in whole seconds; None where a density cannot be drawn: all are equal."""
    if len(seconds) == 1:
        return int(seconds[0])
    if len(set(seconds)) < 2:
        return None
    return int(_densest(seconds))


def _densest(seconds: Sequence[float]) -> float:
    """The first highest point of the density on a grid from the shortest to the longest."""
    from scipy.stats import gaussian_kde

    grid = numpy.linspace(min(seconds), max(seconds), GRID)
    return float(grid[gaussian_kde(seconds)(grid).argmax()])
