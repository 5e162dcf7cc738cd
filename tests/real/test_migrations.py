"""The migrations: on PostgreSQL they make what the models say, and go down again; what was there is kept."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from tests.servers import flask, migrate, new_database

pytestmark = pytest.mark.real

MOMENT = "2026-01-02 03:04:05.678000"
BEFORE = (("QUEUED", None), ("RUNNING", None), ("COMPLETE", MOMENT))
RUN = {
    "submission_id": 1, "stage": 1, "position": 0, "task_name": "t", "task_revision": 1, "work": "{}", "queue": "q",
    "priority": 0, "attempt": 1, "lost": 1, "worker": "w", "reason": "", "started": MOMENT,
}  # fmt: skip


def test_they_make_what_the_models_say_and_go_down_again(cluster: str, tmp_path: Path) -> None:
    with new_database(cluster) as url:
        settings = {"DATABASE_URL": url, "PORTAL_DATA": str(tmp_path)}
        migrate(settings)

        assert "No new upgrade operations detected" in flask("db", "check", extra=settings)
        flask("db", "downgrade", "base", extra=settings)
        migrate(settings)


def test_a_try_of_before_has_ended_unless_its_run_goes_on(tmp_path: Path) -> None:
    """A run that waited for its next try kept when it began the last, and not when that one ended."""
    settings = {"PORTAL_DATA": str(tmp_path)}
    flask("db", "upgrade", "0001", extra=settings)
    with closing(sqlite3.connect(tmp_path / "portal.db")) as database, database:
        for number, (state, ended) in enumerate(BEFORE, 1):
            run = RUN | {"uuid": f"{number}", "state": state, "ended": ended}
            names, places = ", ".join(run), ", ".join("?" * len(run))
            database.execute(f"INSERT INTO run ({names}) VALUES ({places})", tuple(run.values()))

    migrate(settings)

    with closing(sqlite3.connect(tmp_path / "portal.db")) as database:
        ends = [ended for (ended,) in database.execute("SELECT ended FROM attempt ORDER BY run_id")]
    assert ends[1:] == [None, MOMENT]
    assert datetime.strptime(ends[0], "%Y-%m-%d %H:%M:%S.%f") and len(ends[0]) == len(MOMENT)
