"""Statements that are made into SQL once, and in PostgreSQL planned once for each connection.

At what each step asks, to make a statement anew took as long as to have it answered, and to plan it anew up to ten
times as long. Types, events and errors are SQLAlchemy's; left out is what never differs from one execution to the next.
"""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import count
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.engine import Connection
from sqlalchemy.exc import NotSupportedError
from sqlalchemy.types import TypeEngine

Process = Callable[[Any], Any]
MOST = 1000
KNOWN = "prepared"
PLACE = re.compile(r"%\((.+?)\)s|%%")

_numbers = count(1)


class Prepared:
    """One statement for one kind of database, with parameters of these names."""

    def __init__(self, statement: Any, dialect: Dialect, names: Sequence[str]) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=names if statement.is_insert else None)
        types = {name: bound.type.dialect_impl(dialect) for name, bound in compiled.binds.items()}
        self.given = {name: process for name, each in types.items() if (process := each.bind_processor(dialect))}
        usual = compiled.construct_params(_check=False)
        usual |= {column.key: column.default.arg for column in compiled.insert_prefetch}
        self.usual = {name: self._given(name, value) for name, value in usual.items() if name not in names}
        self.sql = str(compiled)
        self.row, self.found = _rows(statement, dialect)
        self.name = f"portal_{next(_numbers)}" if dialect.name == "postgresql" else ""
        self.order = [name for name in names if name in compiled.binds] if self.name else compiled.positiontup
        places = f" ({', '.join(['%s'] * len(self.order))})" if self.order else ""
        self.call = f"EXECUTE {self.name}{places}" if self.name else self.sql

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> list[Any]:
        """Its rows, as named tuples. Raises what SQLAlchemy does.

        Of a plan whose tables were changed by a migration nothing can be had any more: its connection is given up.
        """
        if self.name and self.name not in connection.info.setdefault(KNOWN, set()):
            self._plan(connection)
        words = self.usual | {name: self._given(name, value) for name, value in values.items()}
        try:
            result = connection.exec_driver_sql(self.call, tuple(words[name] for name in self.order))
        except NotSupportedError:
            connection.invalidate()
            raise
        return [self._read(row) for row in result] if self.row else []

    def _plan(self, connection: Connection) -> None:
        """What is always the same stands in the plan itself, so that it finds the indexes of such rows alone."""
        cursor = connection.connection.cursor()
        places = {name: f"${number}" for number, name in enumerate(self.order, 1)}
        same = {name: cursor.mogrify("%s", (value,)).decode() for name, value in self.usual.items()}
        text = PLACE.sub(lambda found: (places | same)[found[1]] if found[1] else "%", self.sql)
        connection.exec_driver_sql(f"PREPARE {self.name} AS {text}")
        connection.info[KNOWN].add(self.name)

    def _given(self, name: str, value: Any) -> Any:
        process = self.given.get(name)
        return process(value) if process else value

    def _read(self, row: Sequence[Any]) -> Any:
        values = list(row)
        for place, process in self.found:
            values[place] = process(values[place])
        return self.row._make(values)


@lru_cache(MOST)
def prepared(statement: Any, dialect: Dialect, names: tuple[str, ...]) -> Prepared:
    return Prepared(statement, dialect, names)


def _rows(statement: Any, dialect: Dialect) -> tuple[Any, list[tuple[int, Process]]]:
    """What a row is called by, and which of its values are to be read in which way. None: there are no rows."""
    columns = list(statement.exported_columns)
    types: list[TypeEngine[Any]] = [each.type for each in columns]
    read = [(place, each.dialect_impl(dialect).result_processor(dialect, None)) for place, each in enumerate(types)]
    row = namedtuple("Row", [each.key for each in columns]) if columns else None
    return row, [(place, process) for place, process in read if process]
