"""The picture of a job: one box a step, a column a stage, arrows from what a step comes after. Coordinates in pixels.

An arrow that is longer than one column passes the columns between in a gap of its own, so that it crosses no box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

BOX_WIDTH, BOX_HEIGHT = 184, 64
BEND_HEIGHT = 12
GAP_X, GAP_Y, MARGIN = 56, 20, 8
SWEEPS = 4


@dataclass(frozen=True)
class Node:
    """What a box shows: a key to link it by, a label, the word under it and the class that colours it.

    `note` says more, where there is room. A `borrowed` one shows what was done elsewhere. `after` are the keys that
    arrows come from; None: all of the column before.
    """

    key: str
    label: str
    word: str = ""
    css: str = ""
    stage: int = 1
    borrowed: bool = False
    after: tuple[str, ...] | None = None
    note: str = ""


@dataclass(frozen=True)
class Box:
    node: Node
    x: int
    y: int


@dataclass(frozen=True)
class Arrow:
    """A path in SVG's own words, from the right side of one box to the left side of another."""

    path: str


@dataclass(frozen=True)
class Drawing:
    width: int
    height: int
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]

    @property
    def labels(self) -> dict[str, str]:
        return {box.node.key: box.node.label for box in self.boxes}


@dataclass(frozen=True)
class _Bend:
    """Where the long arrows from one node pass a column."""

    key: str
    column: int


_Item = Node | _Bend
_Columns = list[list[_Item]]
_Ways = list[list[_Item]]


def draw(nodes: Sequence[Node]) -> Drawing:
    """Lay the nodes out by stage, each column centred on the tallest."""
    columns, ways = _with_bends(_columns(nodes))
    _order(columns, ways)
    heights = [_height(column) for column in columns]
    height = max(heights, default=0) + 2 * MARGIN
    spots = {
        item: spot
        for index, column in enumerate(columns)
        for item, spot in _spots(column, MARGIN + index * (BOX_WIDTH + GAP_X), (height - heights[index]) // 2)
    }
    boxes = [Box(item, *spots[item]) for column in columns for item in column if isinstance(item, Node)]
    return Drawing(
        width=2 * MARGIN + max(len(columns) * (BOX_WIDTH + GAP_X) - GAP_X, 0),
        height=height,
        boxes=tuple(boxes),
        arrows=tuple(_arrow(way, spots) for way in ways),
    )


def _columns(nodes: Sequence[Node]) -> _Columns:
    return [[node for node in nodes if node.stage == stage] for stage in sorted({node.stage for node in nodes})]


def _with_bends(columns: _Columns) -> tuple[_Columns, _Ways]:
    """The columns with a bend wherever an arrow passes one, and for each arrow what it leads over, box to box."""
    at = {item.key: (index, item) for index, column in enumerate(columns) for item in column}
    bends: list[dict[_Bend, None]] = [{} for _ in columns]
    ways: _Ways = []
    for end, column in enumerate(columns):
        for node in column:
            for key in _sources(node, columns[end - 1] if end else []):
                start, source = at[key]
                passed = [_Bend(key, each) for each in range(start + 1, end)]
                for bend in passed:
                    bends[bend.column][bend] = None
                ways.append([source, *passed, node])
    return [[*column, *extra] for column, extra in zip(columns, bends, strict=True)], ways


def _sources(item: _Item, column_before: Sequence[_Item]) -> Sequence[str]:
    after = item.after if isinstance(item, Node) else ()
    return [each.key for each in column_before] if after is None else after


def _order(columns: _Columns, ways: _Ways) -> None:
    """Put each item of a column where its neighbours are, forth and back: that leaves few crossings."""
    neighbours: dict[_Item, list[_Item]] = {item: [] for column in columns for item in column}
    for way in ways:
        for one, other in pairwise(way):
            neighbours[one].append(other)
            neighbours[other].append(one)
    for sweep in range(SWEEPS):
        forth = sweep % 2 == 0
        for beside, column in pairwise(columns if forth else columns[::-1]):
            rows = {item: _row(row, beside) for row, item in enumerate(beside)}
            own = {item: _row(row, column) for row, item in enumerate(column)}
            column.sort(key=lambda item: _mean([rows[each] for each in neighbours[item] if each in rows], own[item]))


def _row(row: int, column: Sequence[_Item]) -> float:
    """How far down, from 0 to 1: columns of different lengths are centred."""
    return (row + 0.5) / len(column)


def _mean(rows: Sequence[float], usual: float) -> float:
    return sum(rows) / len(rows) if rows else usual


def _size(item: _Item) -> int:
    return BOX_HEIGHT if isinstance(item, Node) else BEND_HEIGHT


def _height(column: Sequence[_Item]) -> int:
    return sum(_size(item) + GAP_Y for item in column) - GAP_Y


def _spots(column: Sequence[_Item], left: int, top: int) -> list[tuple[_Item, tuple[int, int]]]:
    found = []
    for item in column:
        found.append((item, (left, top)))
        top += _size(item) + GAP_Y
    return found


def _arrow(way: Sequence[_Item], spots: Mapping[_Item, tuple[int, int]]) -> Arrow:
    """From box to box; straight through the columns that it passes."""
    x, y = _beside(way[0], spots)
    path = f"M{x} {y}"
    for item in way[1:]:
        left, top = spots[item]
        end = left - 7 if item is way[-1] else left
        middle, to = (x + end) // 2, top + _size(item) // 2
        path += f" C{middle} {y} {middle} {to} {end} {to}"
        x, y = _beside(item, spots)
        if item is not way[-1]:
            path += f" H{x}"
    return Arrow(path)


def _beside(item: _Item, spots: Mapping[_Item, tuple[int, int]]) -> tuple[int, int]:
    """The middle of its right side."""
    left, top = spots[item]
    return left + BOX_WIDTH, top + _size(item) // 2
