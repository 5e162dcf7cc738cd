"""The migrations on PostgreSQL: they make what the models say, and go down again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import flask, migrate, new_database

pytestmark = pytest.mark.real


def test_they_make_what_the_models_say_and_go_down_again(cluster: str, tmp_path: Path) -> None:
    with new_database(cluster) as url:
        settings = {"DATABASE_URL": url, "PORTAL_DATA": str(tmp_path)}
        migrate(settings)

        assert "No new upgrade operations detected" in flask("db", "check", extra=settings)
        flask("db", "downgrade", "base", extra=settings)
        migrate(settings)
