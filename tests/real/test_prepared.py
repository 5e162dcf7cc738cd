"""Statements that PostgreSQL has planned already: a migration under a running worker costs it one answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import NotSupportedError

from portal import database
from portal.database import transaction
from portal.services import statements
from portal.services.statements import rows
from tests.conftest import forget_settings
from tests.servers import migrate, new_database

pytestmark = pytest.mark.real


@pytest.fixture(autouse=True)
def postgresql(cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with new_database(cluster) as url:
        settings = {"DATABASE_URL": url, "PORTAL_DATA": str(tmp_path)}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        migrate(settings)
        forget_settings()
        yield
        database.engine().dispose()
        forget_settings()


def ask() -> list[object]:
    with transaction() as session:
        return rows(session, statements.UPLOADS, {"submission": 1})


def test_it_is_planned_anew_on_another_connection_when_its_table_has_changed() -> None:
    assert ask() == []
    with transaction() as session:
        session.execute(text("ALTER TABLE upload ALTER COLUMN ending TYPE text"))

    with pytest.raises(NotSupportedError):
        ask()
    assert ask() == []
