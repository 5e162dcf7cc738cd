"""What the database, the directories, the processes and the execution log say, read without a line of the portal."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2

Row = dict[str, Any]
FINAL = ("COMPLETE", "ERROR", "CRASH", "STOPPED", "SKIPPED")
TABLES = ("batch", "submission", "run", "attempt", "result", "message", "letter", "upload", "log_chunk")


@dataclass(frozen=True)
class Database:
    """A PostgreSQL database by its URL, or a SQLite file by its path."""

    place: str

    @property
    def is_postgresql(self) -> bool:
        return self.place.startswith("postgresql")

    def rows(self, question: str) -> list[Row]:
        return self._of_postgresql(question) if self.is_postgresql else self._of_sqlite(question)

    def number(self, question: str) -> int:
        [row] = self.rows(question)
        return int(next(iter(row.values())) or 0)

    def _of_postgresql(self, question: str) -> list[Row]:
        with closing(psycopg2.connect(self.place, connect_timeout=3)) as connection:
            cursor = connection.cursor()
            cursor.execute("SET statement_timeout = 5000")
            cursor.execute(question)
            return _rows(cursor.description or (), cursor.fetchall())

    def _of_sqlite(self, question: str) -> list[Row]:
        with closing(sqlite3.connect(f"file:{self.place}?mode=ro", uri=True, timeout=5)) as connection:
            cursor = connection.execute(question)
            return _rows(cursor.description, cursor.fetchall())


def _rows(columns: Sequence[Any], values: Sequence[Sequence[Any]]) -> list[Row]:
    names = [column[0] for column in columns]
    return [dict(zip(names, each, strict=True)) for each in values]


def seconds(moment: datetime | str | None) -> float | None:
    """A time of the database as seconds since 1970."""
    if moment is None:
        return None
    read = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


@dataclass(frozen=True)
class Line:
    """One line of the execution log."""

    word: str
    identity: str
    task: str
    pid: int
    at: float


def execution(log: Path) -> list[Line]:
    file = log / "execution"
    if not file.exists():
        return []
    return [Line(word, identity, task, int(pid), float(at)) for word, identity, task, pid, at in _words(file)]


def _words(file: Path) -> Iterator[list[str]]:
    for line in file.read_text().splitlines():
        words = line.split()
        if len(words) == 5:
            yield words


def processes_of(runs: Path) -> dict[int, str]:
    """The processes that belong to the runs of a directory: launchers, and what they started."""
    return {pid: _command(pid) for pid in _pids() if _bears(pid, runs)}


def launchers_of(runs: Path) -> dict[int, str]:
    """Those that say in a run's directory that they mind it, and live."""
    told = [_told(file) for file in runs.glob("*/launched.json")]
    return {pid: _command(pid) for pid in told if _bears(pid, runs)}


def _told(file: Path) -> int:
    try:
        return int(json.loads(file.read_text())["pid"])
    except (FileNotFoundError, json.JSONDecodeError):
        return 0


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _bears(pid: int, runs: Path) -> bool:
    """By the words that it was started with, or by what a fork of a warm interpreter shows in their place."""
    environment, words = _read(pid, "environ"), _read(pid, "cmdline")
    named = any(f"{name}={runs}/".encode() in environment for name in ("TMPDIR", "SPACE"))
    return named or (b"launcher.py" in words and f"{runs}/".encode() in words)


def _command(pid: int) -> str:
    return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


def _read(pid: int, what: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""


def files_of(directory: Path) -> set[str]:
    return {str(file.relative_to(directory)) for file in directory.rglob("*") if file.is_file()}
