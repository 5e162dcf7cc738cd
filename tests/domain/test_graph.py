"""The picture of a job, whatever its shape."""

from __future__ import annotations

import re
from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from portal.domain.graph import BOX_HEIGHT, BOX_WIDTH, Box, Drawing, Node, draw

stages = st.lists(st.integers(1, 30), max_size=25)


def drawn(of_stages: list[int]) -> Drawing:
    return draw([Node(str(number), f"step {number}", stage=stage) for number, stage in enumerate(of_stages)])


def overlap(one: Box, other: Box) -> bool:
    return abs(one.x - other.x) < BOX_WIDTH and abs(one.y - other.y) < BOX_HEIGHT


@given(stages)
def test_it_draws_every_step_once_inside_the_picture_and_over_no_other(of_stages: list[int]) -> None:
    drawing = drawn(of_stages)

    assert sorted(int(box.node.key) for box in drawing.boxes) == list(range(len(of_stages)))
    assert not any(overlap(one, other) for one, other in combinations(drawing.boxes, 2))
    assert all(0 <= box.x <= drawing.width - BOX_WIDTH for box in drawing.boxes)
    assert all(0 <= box.y <= drawing.height - BOX_HEIGHT for box in drawing.boxes)


@given(stages)
def test_it_draws_later_stages_further_right(of_stages: list[int]) -> None:
    columns = {(box.node.stage, box.x) for box in drawn(of_stages).boxes}

    assert all(left[0] < right[0] and left[1] < right[1] for left, right in pairwise(sorted(columns)))


@given(stages)
def test_it_leads_an_arrow_from_every_box_to_every_box_of_the_next_stage(of_stages: list[int]) -> None:
    drawing = drawn(of_stages)

    sizes = [of_stages.count(stage) for stage in sorted(set(of_stages))]
    assert len(drawing.arrows) == sum(left * right for left, right in pairwise(sizes))
    for arrow in drawing.arrows:
        numbers = [int(number) for number in re.findall(r"-?\d+", arrow.path)]
        assert numbers[0] < numbers[-2] < drawing.width


def test_it_draws_a_job_without_steps_as_an_empty_picture() -> None:
    drawing = drawn([])

    assert (drawing.boxes, drawing.arrows) == ((), ())
    assert drawing.width > 0 and drawing.height > 0


def of_needs(**after: str) -> Drawing:
    """Steps with what each comes after, in letters, in the order of their stages."""
    stage: dict[str, int] = {}
    for name, needs in after.items():
        stage[name] = 1 + max((stage[each] for each in needs), default=0)
    return draw([Node(name, name, stage=stage[name], after=tuple(needs)) for name, needs in after.items()])


def rows(drawing: Drawing, stage: int) -> str:
    column = [box for box in drawing.boxes if box.node.stage == stage]
    return "".join(box.node.key for box in sorted(column, key=lambda box: box.y))


def test_it_leads_arrows_from_what_a_step_needs() -> None:
    drawing = of_needs(a="", b="", c="a", d="bc")

    places = {box.node.key: (box.x + BOX_WIDTH, box.y + BOX_HEIGHT // 2) for box in drawing.boxes}
    starts = sorted(tuple(map(int, re.findall(r"-?\d+", arrow.path)[:2])) for arrow in drawing.arrows)
    assert starts == sorted(places[key] for key in "abc")


def test_it_orders_a_column_so_that_arrows_do_not_cross() -> None:
    drawing = of_needs(a="", b="", c="", x="c", y="b", z="a")

    assert rows(drawing, 1) in ("abc", "cba")
    assert rows(drawing, 2) == {"abc": "zyx", "cba": "xyz"}[rows(drawing, 1)]


def test_it_leads_a_long_arrow_past_the_boxes_between() -> None:
    drawing = of_needs(a="", b="a", c="ab")

    [between] = [box for box in drawing.boxes if box.node.key == "b"]
    [long] = [arrow for arrow in drawing.arrows if "H" in arrow.path]
    passing = int(re.findall(r"(-?\d+) H", long.path)[0])
    assert not between.y <= passing <= between.y + BOX_HEIGHT
    assert 0 < passing < drawing.height
