"""Whose turn it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portal.domain.plan import Place, due, stages
from portal.domain.states import State

places = st.lists(st.builds(Place, st.integers(), st.integers(1, 4), st.sampled_from(State)), max_size=8)


def test_it_counts_stages_from_one_whatever_the_gaps_between_the_order_numbers() -> None:
    assert stages([10, 0, 10, 7]) == {0: 1, 7: 2, 10: 3}


def test_it_begins_the_next_stage_only_when_all_of_the_last_have_ended() -> None:
    waiting = [Place(3, 2, State.WAITING), Place(4, 2, State.WAITING), Place(5, 3, State.WAITING)]

    assert due([Place(1, 1, State.COMPLETE), Place(2, 1, State.RUNNING), *waiting]) == []
    assert due([Place(1, 1, State.COMPLETE), Place(2, 1, State.COMPLETE), *waiting]) == [3, 4]


def test_it_passes_over_a_stage_that_was_skipped() -> None:
    assert due([Place(1, 1, State.SKIPPED), Place(2, 2, State.WAITING)]) == [2]


@given(places)
def test_it_never_begins_what_an_earlier_stage_may_still_hold_up(found: list[Place]) -> None:
    turn = due(found)

    begun = [place for place in found if place.key in turn and place.state is State.WAITING]
    unfinished = [place.stage for place in found if not place.state.final]
    assert all(place.stage >= min(unfinished) for place in begun)
