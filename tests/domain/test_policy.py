"""Who may do what."""

from __future__ import annotations

from portal.domain.policy import Action, Role, Tie, may, ties


def allowed(role: Role | None) -> set[Action]:
    return {action for action in Action if may(role, action)}


def test_it_lets_nobody_do_anything_but_with_what_is_open() -> None:
    assert {action: ties(None, action) for action in Action if ties(None, action)} == {
        Action.RUN_JOB: {Tie.OPEN},
        Action.SEE_RUN: {Tie.OPEN},
    }


def test_it_lets_a_submitter_change_own_runs_and_nothing_else() -> None:
    changing = {Action.CHANGE_RUN, Action.CHANGE_JOB, Action.CHANGE_TASK}

    assert allowed(Role.SUBMITTER) == set()
    assert {action: set(ties(Role.SUBMITTER, action)) for action in changing} == {
        Action.CHANGE_RUN: {Tie.OWN},
        Action.CHANGE_JOB: set(),
        Action.CHANGE_TASK: set(),
    }


def test_it_lets_an_analyst_write_and_change_only_what_is_theirs() -> None:
    assert allowed(Role.ANALYST) == {Action.EDIT_TASKS, Action.SEE_GROUPS}
    assert ties(Role.ANALYST, Action.CHANGE_TASK) == ties(Role.ANALYST, Action.CHANGE_JOB) == {Tie.OWN}
    assert ties(Role.ANALYST, Action.USE_TASK) == {Tie.OWN, Tie.SHARED, Tie.OPEN}


def test_it_allows_everything_to_an_administrator() -> None:
    assert allowed(Role.ADMINISTRATOR) == set(Action)
