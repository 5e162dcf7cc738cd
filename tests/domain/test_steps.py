"""The steps of a job laid out, jobs in it included; and that any job comes to its end by the stated rule."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.domain import conditions, plan, steps
from portal.domain.conditions import Facts
from portal.domain.plan import Place
from portal.domain.states import State
from portal.domain.steps import Leaf, Part, lay_out


def part(name: str, order: int = 1, *needs: str, **more: Any) -> Part:
    return Part(name, order, name, needs=needs or None, **more)


@st.composite
def jobs(draw: st.DrawFn, depth: int = 1) -> tuple[Part, ...]:
    """Up to five steps, some by order number, some that need steps before them, some of them jobs themselves."""
    found: list[Part] = []
    for at in range(draw(st.integers(1, 5))):
        before = [each.name for each in found]
        named = draw(st.booleans()) if before else False
        needs = tuple(draw(st.sets(st.sampled_from(before), min_size=1, max_size=3))) if named else None
        inner = draw(jobs(depth - 1)) if depth and draw(st.integers(0, 3)) == 0 else None
        found.append(Part(f"s{at}", at if draw(st.booleans()) else 0, "task", inner, needs, draw(_condition(before))))
    return tuple(found)


def _condition(before: list[str]) -> st.SearchStrategy[Any]:
    files = st.fixed_dictionaries({"file": st.just(".csv"), "exists": st.booleans()})
    if not before:
        return st.none() | files
    statuses = st.fixed_dictionaries({"exit_status_of": st.sampled_from(before), "is": st.sampled_from([[0], [1]])})
    return st.none() | files | statuses


def play(leaves: list[Leaf], draw: st.DataObject) -> tuple[list[int], dict[int, State]]:
    """Ends due runs in any order, with any exit status and file, as workers would: who ran, and how all ended."""
    states = dict.fromkeys(range(len(leaves)), State.WAITING)
    statuses: dict[int, int | None] = {}
    files: dict[int, list[str]] = {}
    ran: list[int] = []
    while State.WAITING in states.values() or State.QUEUED in states.values():
        places = [Place(at, leaves[at].stage, states[at], leaves[at].needs) for at in states]
        for at in plan.due(places):
            assert all(states[each].final for each in leaves[at].earlier)
            facts = Facts({each for each in states if states[each] is State.SKIPPED}, statuses, files)
            whys = [conditions.why_not(each, facts) for each in leaves[at].conditions]
            states[at] = State.SKIPPED if any(whys) else State.QUEUED
        if queued := [at for at in states if states[at] is State.QUEUED]:
            at = draw.draw(st.sampled_from(queued))
            ran.append(at)
            states[at], statuses[at] = State.COMPLETE, draw.draw(st.integers(0, 1))
            files[at] = draw.draw(st.sampled_from([[], ["x.csv"]]))
    return ran, states


@given(jobs(), st.data())
def test_any_job_comes_to_its_end_and_no_step_begins_before_what_it_comes_after(
    parts: tuple[Part, ...], data: st.DataObject
) -> None:
    if plan.circle(steps.ways(parts)):
        return  # a number and a need may contradict each other: such a job cannot be saved
    try:
        leaves = lay_out(parts)
    except ValueError:
        return
    ran, states = play(leaves, data)

    assert all(state.final for state in states.values())
    for at in ran:
        assert all(each in ran[: ran.index(at)] or states[each] is State.SKIPPED for each in leaves[at].earlier)
        groups = [each["runs"] for each in leaves[at].conditions if "needs" in each]
        assert all(any(states[run] is not State.SKIPPED for run in group) for group in groups if group)


def test_it_calls_a_step_as_its_task_and_a_second_one_by_a_number() -> None:
    given = [("", "fit"), ("", "fit"), ("fit 2", "clean"), ("", ""), ("", "fit")]

    assert steps.names(given) == ["fit", "fit 3", "fit 2", "deleted", "fit 4"]


def test_a_step_by_order_number_comes_after_all_with_smaller_ones() -> None:
    leaves = lay_out([part("a", 10), part("b", 20), part("c", 20), part("d", 30)])

    assert [(leaf.stage, sorted(leaf.needs), sorted(leaf.earlier)) for leaf in leaves] == [
        (1, [], []),
        (2, [0], [0]),
        (2, [0], [0]),
        (3, [1, 2], [0, 1, 2]),
    ]


def test_a_step_that_names_its_needs_comes_after_those_whatever_the_numbers() -> None:
    leaves = lay_out([part("a"), part("b"), part("c", 1, "b"), part("d", 1, "a", "c"), part("e", 5)])

    assert [leaf.stage for leaf in leaves] == [1, 1, 2, 3, 4]
    assert [sorted(leaf.needs) for leaf in leaves] == [[], [], [1], [0, 2], [3]]


def test_the_steps_of_a_job_stand_where_it_stands_and_inherit_its_needs_and_conditions() -> None:
    inner = (part("x"), part("y", 2, condition={"parameter": "p", "is": ["1"]}))
    whole = [
        part("a"),
        part("sub", 1, "a", parts=inner, condition={"file": ".csv", "exists": True}),
        part("b", 9, "sub"),
    ]

    leaves = lay_out(whole)

    assert [leaf.name for leaf in leaves] == ["a", "sub/x", "sub/y", "b"]
    assert [sorted(leaf.needs) for leaf in leaves] == [[], [0], [1], [2]]
    inherited = [{"needs": "a", "runs": [0]}, {"file": ".csv", "exists": True, "among": [0]}]
    assert list(leaves[1].conditions) == inherited
    assert list(leaves[2].conditions) == [*inherited, {"parameter": "p", "is": ["1"]}]
    assert list(leaves[3].conditions) == [{"needs": "sub", "runs": [1, 2]}]
    assert [leaf.root for leaf in leaves] == [0, 1, 1, 2]


def test_a_file_is_looked_for_in_all_that_comes_before_near_and_far() -> None:
    leaves = lay_out([part("a"), part("b", 2), part("c", 3, condition={"file": ".csv", "exists": True}), part("d", 1)])

    assert leaves[2].conditions[0]["among"] == [0, 1, 3]


def test_it_does_not_lay_out_what_waits_for_itself() -> None:
    with pytest.raises(ValueError, match="wait for each other"):
        lay_out([part("a", 1, "b"), part("b", 1, "a")])
