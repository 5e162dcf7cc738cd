"""One interleaved run: every round asks every contender for every row, while all others stand still."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click

from tests.bench import contenders, portal, reads
from tests.bench.contenders import Contender, Failed
from tests.bench.rows import GOAL_LEVEL, POSTS, ROWS, UNIT, WALLED, Book, Row
from tests.levels import offered
from tests.servers import new_database, postgresql, redis

ONCE = ("airflow",)  # it takes minutes for a round
UNIT_STEPS = 40


@dataclass(frozen=True)
class Wish:
    """What shall be measured: rows by their letters, peers by their names, rounds, levels of confinement."""

    rows: tuple[str, ...] = ("a", "b", "c", "d", "e", "f", "g", "w")
    peers: tuple[str, ...] = tuple(contenders.wanted(" ".join(contenders.KNOWN)))
    rounds: int = 3
    levels: tuple[int, ...] = (2, 3, 4)

    @property
    def measured(self) -> list[Row]:
        return [row for row in ROWS if row.key[0] in self.rows]

    @property
    def order(self) -> list[str]:
        """The contenders as the table has them."""
        return [*contenders.LIMITS, *self.peers, *(f"portal {level}" for level in self.levels)]


def goal_of(wish: Wish) -> str:
    """The portal that the goals are asked of."""
    return f"portal {GOAL_LEVEL if GOAL_LEVEL in wish.levels else wish.levels[0]}"


def measure(wish: Wish) -> Book:
    book = Book()
    with ExitStack() as stack:
        stage = Stage(stack, book)
        entered = stage.all_of(wish)
        for number in range(wish.rounds):
            _round(wish, number, entered, book)
        for asked in entered:
            if isinstance(asked, portal.Portal) and asked.name == goal_of(wish) and "g" in wish.rows:
                stage.read(wish, asked)
    _note_machine(wish, book)
    return book


def _round(wish: Wish, number: int, entered: Sequence[Contender], book: Book) -> None:
    bare = entered[0]
    for row in wish.measured:
        for contender in entered:
            if _takes_part(contender.name, row, wish) and not (number and contender.name in ONCE):
                click.echo(f"round {number + 1}: {row.title}: {contender.name}", err=True)
                try:
                    _measure_one(bare, contender, row, book)
                except Failed as failure:
                    click.echo(str(failure), err=True)
                    book.note(f"{contender.name} failed in row ({row.key}).")


def _takes_part(name: str, row: Row, wish: Wish) -> bool:
    if name == "fresh":
        return row.key not in ("c", "d", "w")
    if row.key == WALLED:
        return name == "bare"
    return not name.startswith("portal") or row.every_level or name == goal_of(wish)


def _measure_one(bare: Contender, contender: Contender, row: Row, book: Book) -> None:
    unit = bare.run(UNIT, UNIT_STEPS).each
    done = contender.run(row.key, row.count)
    book.units[row.key].append(unit)
    book.add(row.key, contender.name, done.each / unit)
    if done.posts is not None:
        book.add(POSTS.key, contender.name, done.posts)
    if done.count < row.count:
        book.note(f"{contender.name} did {done.count} of {row.count} in row ({row.key}), as it takes long.")


class Stage:
    """Where they all live while it is measured: one PostgreSQL, one Redis, a directory."""

    def __init__(self, stack: ExitStack, book: Book) -> None:
        self._stack, self._book = stack, book
        self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portal-bench-")))
        self.directory.chmod(0o755)
        self._cluster = stack.enter_context(postgresql())
        self._broker = stack.enter_context(redis())
        self.workers = os.cpu_count() or 2

    def all_of(self, wish: Wish) -> list[Contender]:
        """The bare limit first. A peer that does not get ready is left out, and said so."""
        entered: list[Contender] = [self._peer(name, at) for at, name in enumerate(contenders.LIMITS)]
        for at, name in enumerate(wish.peers, len(entered)):
            try:
                entered.append(self._peer(name, at))
            except Failed as failure:
                click.echo(str(failure), err=True)
                self._book.note(f"{name} did not start, and is left out.")
        return [*entered, *self._portals(wish)]

    def _peer(self, name: str, number: int) -> Contender:
        click.echo(f"{name} gets ready", err=True)
        given = {
            "directory": str(self.directory / name),
            "database": self._stack.enter_context(new_database(self._cluster)),
            "broker": self._numbered(number),
            "python": sys.executable,
            "workers": self.workers,
        }
        return self._stack.enter_context(contenders.peer(name, given))

    def _portals(self, wish: Wish) -> Iterator[Contender]:
        counts = {row.key: row.count for row in ROWS if row.key != WALLED}
        for level in wish.levels:
            if level not in offered():
                self._book.note(f"This machine does not offer level {level}.")
                continue
            started = self.portal(level, self.workers)
            portal.ready(started, counts)
            yield started

    def portal(self, level: int, workers: int, worker: Sequence[str] = portal.WORKER) -> portal.Portal:
        click.echo(f"portal {level} gets ready", err=True)
        database = self._stack.enter_context(new_database(self._cluster))
        made = portal.portal(
            self.directory / f"portal{level}", database, self._numbered(7 + level), level, workers, worker
        )
        return self._stack.enter_context(made)

    def _numbered(self, number: int) -> str:
        """A database of its own in the one Redis."""
        return f"{self._broker.rpartition('/')[0]}/{number}"

    def read(self, wish: Wish, asked: portal.Portal) -> None:
        if not reads.possible():
            self._book.note("Row (g) is left out, as wrk is not installed.")
            return
        asked.run(UNIT, UNIT_STEPS)
        bare = self._stack.enter_context(reads.bare_route(self.directory, asked.database))
        for number in range(wish.rounds):
            click.echo(f"round {number + 1}: (g)", err=True)
            try:
                for row, contender, rate in reads.measured(asked, bare):
                    self._book.add(row, contender, rate)
            except Failed as failure:
                click.echo(str(failure), err=True)
                self._book.note("Row (g) failed.")


def _note_machine(wish: Wish, book: Book) -> None:
    book.note(
        f"{os.cpu_count()} cores, Python {platform.python_version()}, medians of {wish.rounds} interleaved rounds; "
        f"x is the bare shell step of the same minute; {goal_of(wish)} is the portal at that level of confinement."
    )
