"""Who may do what: the one table of roles and actions, for pages and API alike."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    SUBMITTER = "submitter"
    ANALYST = "analyst"
    ADMINISTRATOR = "administrator"


class Action(StrEnum):
    RUN_PRIVATE_JOBS = "run jobs that are not public"
    EDIT_TASKS = "write tasks and jobs"
    SEE_ALL_RUNS = "see everybody's runs"
    EDIT_BACKENDS = "change backends"
    LOAD_DUMPS = "load dumps"
    USE_ALL_SECRETS = "use everybody's secrets"


ALLOWED: dict[Role, frozenset[Action]] = {
    Role.SUBMITTER: frozenset({Action.RUN_PRIVATE_JOBS}),
    Role.ANALYST: frozenset({Action.RUN_PRIVATE_JOBS, Action.EDIT_TASKS}),
    Role.ADMINISTRATOR: frozenset(Action),
}


def may(role: Role | None, action: Action) -> bool:
    """Whether a role (None: nobody signed in) may do an action."""
    return role is not None and action in ALLOWED[role]
