"""Whose turn it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.domain.plan import Place, before, circle, due, nearest, stages
from portal.domain.states import State

places = st.lists(
    st.builds(Place, st.integers(), st.integers(1, 4), st.sampled_from(State)),
    max_size=8,
    unique_by=lambda each: each.key,
)


@st.composite
def needs_of_steps(draw: st.DrawFn) -> dict[int, frozenset[int]]:
    """Up to nine steps, each of which needs some of those before it, in any order of their numbers."""
    order = draw(st.permutations(range(draw(st.integers(0, 9)))))
    return {
        key: draw(st.frozensets(st.sampled_from(order[:at]) if at else st.nothing())) for at, key in enumerate(order)
    }


def test_it_begins_the_next_stage_only_when_all_of_the_last_have_ended() -> None:
    waiting = [Place(3, 2, State.WAITING), Place(4, 2, State.WAITING), Place(5, 3, State.WAITING)]

    assert due([Place(1, 1, State.COMPLETE), Place(2, 1, State.RUNNING), *waiting]) == []
    assert due([Place(1, 1, State.COMPLETE), Place(2, 1, State.COMPLETE), *waiting]) == [3, 4]


def test_it_passes_over_a_stage_that_was_skipped() -> None:
    assert due([Place(1, 1, State.SKIPPED), Place(2, 2, State.WAITING)]) == [2]


def test_it_begins_a_step_as_soon_as_what_it_needs_has_ended_whatever_its_stage() -> None:
    found = [
        Place(1, 1, State.COMPLETE, frozenset()),
        Place(2, 1, State.RUNNING, frozenset()),
        Place(3, 2, State.WAITING, frozenset({1})),
        Place(4, 2, State.WAITING, frozenset({1, 2})),
        Place(5, 3, State.WAITING, frozenset({3})),
    ]

    assert due(found) == [3]


@given(places)
def test_it_never_begins_what_an_earlier_stage_may_still_hold_up(found: list[Place]) -> None:
    turn = due(found)

    begun = [place for place in found if place.key in turn and place.state is State.WAITING]
    unfinished = [place.stage for place in found if not place.state.final]
    assert all(place.stage >= min(unfinished) for place in begun)


def test_it_counts_a_stage_by_the_longest_way_to_it() -> None:
    assert stages({1: [], 2: [1], 3: [1, 2], 4: [3, 1]}) == {1: 1, 2: 2, 3: 3, 4: 4}


@given(needs_of_steps())
def test_it_puts_every_step_after_all_that_it_needs(needs: dict[int, frozenset[int]]) -> None:
    found = stages(needs)

    assert all(found[key] > found[each] for key in needs for each in needs[key])
    assert circle(needs) == []


@given(needs_of_steps())
def test_what_it_draws_says_the_same_as_all_that_is_needed(needs: dict[int, frozenset[int]]) -> None:
    stage, near = stages(needs), nearest(needs)
    whole = before(Place(key, stage[key], State.WAITING, needs[key]) for key in needs)

    assert before(Place(key, stage[key], State.WAITING, near[key]) for key in needs) == whole
    assert not any(each in whole[other] for key in near for each in near[key] for other in near[key])


def test_a_row_of_an_earlier_version_comes_after_all_of_the_stages_before() -> None:
    found = [Place(key, stage, State.WAITING) for key, stage in ((1, 1), (2, 1), (3, 2), (4, 3))]

    assert before(found) == {1: frozenset(), 2: frozenset(), 3: {1, 2}, 4: {1, 2, 3}}


def test_it_names_the_way_round() -> None:
    assert sorted(circle({1: [], 2: [1, 4], 3: [2], 4: [3], 5: [4]})) == [2, 3, 4]
    with pytest.raises(ValueError, match="wait for each other"):
        stages({1: [2], 2: [1]})
