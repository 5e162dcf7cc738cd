"""The walls of the house: who may load whom, and that the models and the migrations agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.servers import ROOT, environment, flask, migrate


def loaded_by(statement: str, data: Path) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after a statement."""
    code = f"import sys; {statement}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, env=environment({"PORTAL_DATA": str(data)}), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


def test_a_worker_process_loads_no_flask(tmp_path: Path) -> None:
    packages = loaded_by(
        "import workers.tasks, workers.execution; from workers.languages import language; language('r')", tmp_path
    )

    assert "celery" in packages
    assert not packages & {"flask", "flask_sqlalchemy", "werkzeug", "wtforms"}


def test_the_portal_loads_no_workers(tmp_path: Path) -> None:
    packages = loaded_by("import app; app.create_app()", tmp_path)

    assert "flask" in packages
    assert not packages & {"workers"}


def test_the_migrations_make_what_the_models_say(tmp_path: Path) -> None:
    settings = {"PORTAL_DATA": str(tmp_path)}
    migrate(settings)

    assert "No new upgrade operations detected" in flask("db", "check", extra=settings)


def test_the_migrations_go_down_again(tmp_path: Path) -> None:
    settings = {"PORTAL_DATA": str(tmp_path)}
    migrate(settings)

    flask("db", "downgrade", "base", extra=settings)
