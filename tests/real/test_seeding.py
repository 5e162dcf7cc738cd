"""`flask seed` fills an empty portal, and no other."""

from __future__ import annotations

from pathlib import Path

import psycopg2
import pytest

from tests.servers import flask, migrate, postgresql

pytestmark = pytest.mark.real


def test_it_fills_an_empty_portal_once(tmp_path: Path) -> None:
    with postgresql() as url:
        chosen = {"DATABASE_URL": url, "PORTAL_DATA": str(tmp_path)}
        migrate(chosen)
        said = flask("seed", "300", "--yes", extra=chosen)
        with pytest.raises(AssertionError, match="not empty"):
            flask("seed", "300", "--yes", extra=chosen)
        with psycopg2.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT (SELECT count(*) FROM submission), (SELECT count(*) FROM run)")
            counted = cursor.fetchone()
            cursor.execute("SELECT count(*) FROM pg_indexes WHERE indexname = 'ix_run_turn'")
            indexes = cursor.fetchone()
        flask("db", "check", extra=chosen)

    assert "Made 300 submissions with 1,500 runs" in said
    assert (counted, indexes) == ((300, 1500), (1,))
