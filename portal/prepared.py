"""Statements that are made into SQL once: at what each step asks, to make it anew took longer than to have it answered.

Types, events and errors are SQLAlchemy's; what is left out is all that may differ from one execution to the next.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.engine import Connection
from sqlalchemy.types import TypeEngine

Process = Callable[[Any], Any]
MOST = 1000


class Prepared:
    """One statement for one kind of database, with parameters of these names."""

    def __init__(self, statement: Any, dialect: Dialect, names: Sequence[str]) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=names if statement.is_insert else None)
        self.sql = str(compiled)
        self.order = compiled.positiontup
        self.usual = compiled.construct_params(_check=False) | {
            column.key: column.default.arg for column in compiled.insert_prefetch
        }
        self.given = {
            name: process
            for name, bound in compiled.binds.items()
            if (process := bound.type.dialect_impl(dialect).bind_processor(dialect))
        }
        self.usual = {name: self._given(name, value) for name, value in self.usual.items() if name not in names}
        self.row, self.found = _rows(statement, dialect)

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> list[Any]:
        """Its rows, as named tuples. Raises what SQLAlchemy does."""
        words = self.usual | {name: self._given(name, value) for name, value in values.items()}
        told = words if self.order is None else tuple(words[name] for name in self.order)
        result = connection.exec_driver_sql(self.sql, told)
        return [self._read(row) for row in result] if self.row else []

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
