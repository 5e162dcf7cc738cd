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
