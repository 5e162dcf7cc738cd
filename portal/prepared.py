"""Statements that are made into SQL once, and in PostgreSQL planned once for each connection.

At what each step asks, to make a statement anew took as long as to have it answered, and to plan it anew up to ten
times as long. Types, events and errors are SQLAlchemy's; left out is what never differs from one execution to the next,
and the way there and back for what nobody waits for, the words around a transaction among it.
"""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import chain, count
from typing import Any

from psycopg2 import extensions as driver
from sqlalchemy import Dialect, Engine, event
from sqlalchemy.engine import Connection
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import NotSupportedError
from sqlalchemy.pool import Pool
from sqlalchemy.types import TypeEngine

from portal.patience import meanwhile

Process = Callable[[Any], Any]
Call = tuple[str, tuple[Any, ...]]
MOST = 1000
KNOWN = "prepared"
TOLD = "told"
MEANWHILE = "meanwhile"  # what is done while this transaction is committed
WORDS = "words"  # of a connection whose transaction begins and ends by words of ours
BEGIN: Call = ("BEGIN", ())
COMMIT: Call = ("COMMIT", ())
PLACE = re.compile(r"%\((.+?)\)s|%%")

_numbers = count(1)


class Prepared:
    """One statement for one kind of database, with parameters of these names."""

    def __init__(self, statement: Any, dialect: Dialect, names: Sequence[str]) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=names if statement.is_insert else None)
        types = {name: bound.type.dialect_impl(dialect) for name, bound in compiled.binds.items()}
        given = {name: each.bind_processor(dialect) for name, each in types.items()}
        usual = compiled.construct_params(_check=False)
        usual |= {column.key: column.default.arg for column in compiled.insert_prefetch}
        self.usual = {name: _given(given.get(name), each) for name, each in usual.items() if name not in names}
        self.sql = str(compiled)
        self.row, self.found = _rows(statement, dialect)
        self.name = f"portal_{next(_numbers)}" if dialect.name == "postgresql" else ""
        order = [name for name in names if name in compiled.binds] if self.name else compiled.positiontup or ()
        self.order = [(name, None if name in self.usual else given.get(name)) for name in order]
        places = f" ({', '.join(['%s'] * len(order))})" if order else ""
        self.call = f"EXECUTE {self.name}{places}" if self.name else self.sql

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> list[Any]:
        """Its rows, as named tuples. Raises what SQLAlchemy does, also for what was told before."""
        told = _taken(connection, self._call(connection, values))
        cursor = _said(connection, told)
        try:
            return [self._read(row) for row in cursor.fetchall()] if self.row else []
        except connection.dialect.loaded_dbapi.Error as failure:
            connection._handle_dbapi_exception(failure, *told, cursor, None)

    def tell(self, connection: Connection, values: Mapping[str, Any]) -> None:
        """Nobody wants its rows: PostgreSQL hears of it together with what it is asked next, or before the commit."""
        if self.name:
            call = self._call(connection, values)  # before it is planned, what was told is said
            connection.info.setdefault(TOLD, []).append(call)
        else:
            self.execute(connection, values)

    def _call(self, connection: Connection, values: Mapping[str, Any]) -> Call:
        if self.name and self.name not in connection.info.setdefault(KNOWN, set()):
            self._plan(connection)
        words = values if self.name else {**self.usual, **values}
        return self.call, tuple([_given(process, words[name]) for name, process in self.order])

    def _plan(self, connection: Connection) -> None:
        """What is always the same stands in the plan itself, so that it finds the indexes of such rows alone."""
        cursor = connection.connection.cursor()
        places = {name: f"${number}" for number, (name, _) in enumerate(self.order, 1)}
        same = {name: cursor.mogrify("%s", (value,)).decode() for name, value in self.usual.items()}
        text = PLACE.sub(lambda found: (places | same)[found[1]] if found[1] else "%", self.sql)
        connection.exec_driver_sql(f"PREPARE {self.name} AS {text}")
        connection.info[KNOWN].add(self.name)

    def _read(self, row: Sequence[Any]) -> Any:
        values = list(row)
        for place, process in self.found:
            values[place] = process(values[place])
        return self.row._make(values)


@lru_cache(MOST)
def prepared(statement: Any, dialect: Dialect, names: tuple[str, ...]) -> Prepared:
    return Prepared(statement, dialect, names)


def _given(process: Process | None, value: Any) -> Any:
    return process(value) if process else value


def _taken(connection: Connection, *more: Call) -> Call:
    """What was told, and more, as one call."""
    calls: list[Call] = [*connection.info.pop(TOLD, ()), *more]
    if len(calls) == 1:
        return calls[0]
    return "; ".join(text for text, _ in calls), tuple(chain.from_iterable(values for _, values in calls))


def _said(connection: Connection, call: Call) -> DBAPICursor:
    """With SQLAlchemy's events and errors, but without what it would work out of a result.

    Of a plan whose tables were changed by a migration nothing can be had any more: its connection is given up.
    """
    cursor = connection.connection.cursor()
    try:
        connection._cursor_execute(cursor, *call)
    except NotSupportedError:
        connection.invalidate()
        raise
    return cursor


def begin(connection: Connection) -> None:
    """PostgreSQL hears that a transaction begins with what it is asked first, and of its end with what it is told last.

    The driver, which would say each by itself, takes every statement for one of its own.
    """
    connection.info[WORDS] = True
    connection.info[TOLD] = [BEGIN]


def while_committing(connection: Connection, do: Callable[[], None]) -> None:
    connection.info[MEANWHILE] = do


@event.listens_for(Engine, "before_cursor_execute")
def _say_what_was_told(connection: Connection, *_: object) -> None:
    """Nothing overtakes it."""
    if TOLD in connection.info:
        _said(connection, _taken(connection))


@event.listens_for(Engine, "commit")
def _commit(connection: Connection) -> None:
    if do := connection.info.pop(MEANWHILE, None):
        with meanwhile(do) as errand:
            _say_commit(connection)
            errand.run()
    else:
        _say_commit(connection)
    _forget(connection)


def _say_commit(connection: Connection) -> None:
    if WORDS not in connection.info:
        _say_what_was_told(connection)
    elif connection.info.get(TOLD) != [BEGIN]:
        _said(connection, _taken(connection, COMMIT))


@event.listens_for(Engine, "rollback")
def _forget(connection: Connection) -> None:
    if not connection.invalidated:
        for each in (TOLD, WORDS, MEANWHILE):
            connection.info.pop(each, None)


@event.listens_for(Pool, "reset")
def _roll_back(connection: Any, *_: object) -> None:
    """What was begun and did not end, for whatever reason; a connection that cannot be told so is given up."""
    ours = isinstance(connection, driver.connection) and connection.autocommit
    if ours and connection.get_transaction_status() != driver.TRANSACTION_STATUS_IDLE:
        with connection.cursor() as cursor:
            cursor.execute("ROLLBACK")


def _rows(statement: Any, dialect: Dialect) -> tuple[Any, list[tuple[int, Process]]]:
    """What a row is called by, and which of its values are to be read in which way. None: there are no rows."""
    columns = list(statement.exported_columns)
    types: list[TypeEngine[Any]] = [each.type for each in columns]
    read = [(place, each.dialect_impl(dialect).result_processor(dialect, None)) for place, each in enumerate(types)]
    row = namedtuple("Row", [each.key for each in columns]) if columns else None
    return row, [(place, process) for place, process in read if process]
