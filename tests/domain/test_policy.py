"""Who may do what."""

from __future__ import annotations

from portal.domain.policy import Action, Role, may


def allowed(role: Role | None) -> set[Action]:
    return {action for action in Action if may(role, action)}


def test_it_allows_nothing_to_who_is_not_signed_in() -> None:
    assert allowed(None) == set()


def test_it_lets_a_submitter_run_jobs_and_change_nothing() -> None:
    assert allowed(Role.SUBMITTER) == {Action.RUN_PRIVATE_JOBS}


def test_it_lets_an_analyst_write_tasks_and_see_no_other_peoples_runs() -> None:
    assert allowed(Role.ANALYST) == {Action.RUN_PRIVATE_JOBS, Action.EDIT_TASKS}


def test_it_allows_everything_to_an_administrator() -> None:
    assert allowed(Role.ADMINISTRATOR) == set(Action)
