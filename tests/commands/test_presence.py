"""The commands where there is no portal: a sentence, status 2, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask

HOME = Path(__file__).resolve().parents[2]
NOBODYS = "00000000-0000-4000-8000-000000000000"


def said(data: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    left_out = ("DATABASE_URL", "SECRET_KEY", "BROKER_URL")
    known = {name: value for name, value in os.environ.items() if name not in left_out}
    return subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app", *words],
        env={**known, "PORTAL_DATA": str(data), **more}, cwd=HOME, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ("stop", NOBODYS),
        ("delete", "--yes", NOBODYS),
        ("resume", NOBODYS),
        ("load", "README.md"),
        ("dump",),
        ("password", "admin", "--password", "correct horse battery"),
        ("token", "admin", "--scope", "read"),
    ],
)
def test_it_says_that_there_is_no_portal(app: Flask, data: Path, words: tuple[str, ...]) -> None:
    (data / "portal.db").unlink()

    result = app.test_cli_runner().invoke(args=words)

    assert result.exit_code == 2
    assert result.output == f"Error: There is no portal in {data}: set PORTAL_DATA, or run flask setup.\n"
    assert not (data / "portal.db").exists()


def test_it_leaves_nothing_behind_where_there_is_no_portal(tmp_path: Path) -> None:
    result = said(tmp_path / "var", "stop", NOBODYS)

    sentence = f"Error: There is no portal in {tmp_path}/var: set PORTAL_DATA, or run flask setup.\n"
    assert (result.returncode, result.stdout, result.stderr) == (2, "", sentence)
    assert list(tmp_path.iterdir()) == []


def test_it_says_so_of_a_database_without_tables(tmp_path: Path) -> None:
    (tmp_path / "portal.db").touch()

    result = said(tmp_path, "dump")

    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "There is no portal in" in result.stderr
    assert not (tmp_path / "secret_key").exists()


def test_setup_makes_the_key(tmp_path: Path) -> None:
    result = said(tmp_path / "var", "setup", PORTAL_ADMIN_PASSWORD="correct horse battery")

    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "var" / "secret_key").stat().st_mode & 0o777 == 0o600
    assert said(tmp_path / "var", "dump", "--format", "portal").returncode == 0
