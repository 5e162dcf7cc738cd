"""The picture of a job: one box a step, a column a stage, arrows from each stage to the next. Coordinates in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

BOX_WIDTH, BOX_HEIGHT = 184, 64
GAP_X, GAP_Y, MARGIN = 56, 20, 8


@dataclass(frozen=True)
class Node:
    """What a box shows: a key to link it by, a label, the word under it and the class that colours it.

    A `borrowed` one shows what was done elsewhere.
    """

    key: str
    label: str
    word: str = ""
    css: str = ""
    stage: int = 1
    borrowed: bool = False


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


def draw(nodes: Sequence[Node]) -> Drawing:
    """Lay the nodes out by stage, each column centred on the tallest."""
    columns = _columns(nodes)
    tallest = max((len(column) for column in columns), default=0)
    boxes = [_column_of_boxes(column, index, tallest) for index, column in enumerate(columns)]
    arrows = [_arrow(start, end) for left, right in pairwise(boxes) for start in left for end in right]
    return Drawing(
        width=_extent(len(columns), BOX_WIDTH, GAP_X),
        height=_extent(tallest, BOX_HEIGHT, GAP_Y),
        boxes=tuple(box for column in boxes for box in column),
        arrows=tuple(arrows),
    )


def _columns(nodes: Sequence[Node]) -> list[list[Node]]:
    return [[node for node in nodes if node.stage == stage] for stage in sorted({node.stage for node in nodes})]


def _column_of_boxes(column: Sequence[Node], index: int, tallest: int) -> list[Box]:
    top = MARGIN + (tallest - len(column)) * (BOX_HEIGHT + GAP_Y) // 2
    left = MARGIN + index * (BOX_WIDTH + GAP_X)
    return [Box(node, left, top + row * (BOX_HEIGHT + GAP_Y)) for row, node in enumerate(column)]


def _arrow(start: Box, end: Box) -> Arrow:
    x1, y1 = start.x + BOX_WIDTH, start.y + BOX_HEIGHT // 2
    x2, y2 = end.x - 7, end.y + BOX_HEIGHT // 2
    middle = (x1 + x2) // 2
    return Arrow(f"M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}")


def _extent(count: int, size: int, gap: int) -> int:
    return 2 * MARGIN + max(count * (size + gap) - gap, 0)
