"""Who may do what: the one table of roles and actions, for pages and API alike.

An action on a thing is allowed by how somebody is tied to it. `services/access.py` asks the database for the ties.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum, auto


class Role(StrEnum):
    SUBMITTER = "submitter"
    ANALYST = "analyst"
    ADMINISTRATOR = "administrator"


class Action(StrEnum):
    EDIT_TASKS = "write tasks and jobs"
    SEE_GROUPS = "see every group"
    EDIT_GROUPS = "change groups"
    EDIT_BACKENDS = "change backends"
    LOAD_DUMPS = "load dumps"
    READ_AUDIT = "read the audit trail"
    EDIT_ACCOUNTS = "change accounts"
    USE_TASK = "see a task and use it in jobs"
    CHANGE_TASK = "change, share and delete this task"
    RUN_JOB = "see and run a job"
    CHANGE_JOB = "change, share and delete this job"
    SEE_RUN = "see a run"
    CHANGE_RUN = "stop, resume, share and delete this run"
    USE_ALL_SECRETS = "use everybody's secrets"


class Tie(Enum):
    """How somebody stands to a thing."""

    ANY = auto()
    """None is needed."""
    OWN = auto()
    """It is theirs: they made it, or sent it."""
    SHARED = auto()
    """It was shared with them, or with a group that they are in."""
    OPEN = auto()
    """It is for everybody: what is public; a run for whoever has its link."""


Table = Mapping[Action, frozenset[Tie]]

ANY, OWN, OPEN = frozenset({Tie.ANY}), frozenset({Tie.OWN}), frozenset({Tie.OPEN})
SEEN = frozenset({Tie.OWN, Tie.SHARED, Tie.OPEN})

OF_NOBODY: Table = {
    Action.RUN_JOB: OPEN,
    Action.SEE_RUN: OPEN,
}
OF_SUBMITTERS: Table = {
    Action.RUN_JOB: SEEN,
    Action.SEE_RUN: SEEN,
    Action.CHANGE_RUN: OWN,
}
OF_ANALYSTS: Table = {
    **OF_SUBMITTERS,
    Action.EDIT_TASKS: ANY,
    Action.SEE_GROUPS: ANY,
    Action.USE_TASK: SEEN,
    Action.CHANGE_TASK: OWN,
    Action.CHANGE_JOB: OWN,
}
OF_ADMINISTRATORS: Table = dict.fromkeys(Action, ANY)

ALLOWED: Mapping[Role | None, Table] = {
    None: OF_NOBODY,
    Role.SUBMITTER: OF_SUBMITTERS,
    Role.ANALYST: OF_ANALYSTS,
    Role.ADMINISTRATOR: OF_ADMINISTRATORS,
}


def ties(role: Role | None, action: Action) -> frozenset[Tie]:
    """Those of which one is enough for a role (None: nobody signed in) to do an action; none: it never may."""
    return ALLOWED[role].get(action, frozenset())


def may(role: Role | None, action: Action) -> bool:
    """Whether a role may do an action, whatever it is done to."""
    return Tie.ANY in ties(role, action)
