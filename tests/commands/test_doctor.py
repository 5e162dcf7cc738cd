"""flask doctor tells what is ill, and by its exit status that something is."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.models import Worker
from portal.services import backends


def reported(session: Session, level: int, probes: dict[str, dict[str, str]]) -> None:
    with transaction(session):
        backends.report(session, Worker(name="alpha/b:1", queues=[], obstacles={}, level=level, probes=probes))


def test_it_says_what_does_not_answer_and_ends_with_1(app: Flask, session: Session) -> None:
    done = app.test_cli_runner().invoke(args=["doctor"])

    assert done.exit_code == 1
    assert "well  database: sqlite, migrated to " in done.output
    assert "ILL   broker: it does not answer" in done.output
    assert "ILL   workers: none has reported" in done.output
    assert "well  mail: none is sent" in done.output


def test_it_tells_the_level_of_confinement_and_what_the_next_lacks(app: Flask, session: Session) -> None:
    reported(session, 3, {"4": {"start": "only root can give each run a user of its own"}})

    told = app.test_cli_runner().invoke(args=["doctor"]).output

    assert "well  confinement on alpha: runs are confined at level 3; level 4 fails: start: only root" in told


def test_it_is_ill_where_runs_are_not_confined(app: Flask, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    reported(session, 1, {"2": {"start": "this kernel's Landlock is missing or too old"}})

    told = app.test_cli_runner().invoke(args=["doctor"]).output

    assert "ILL   confinement on alpha: runs are confined at level 1; level 2 fails: start: this kernel's" in told
