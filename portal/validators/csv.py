"""Tables of separated values: UTF-8 text with a header, as many cells in every row, columns of the types asked for."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import BinaryIO

from portal.domain.streams import LONGEST_LINE, Unfit, lines

LABEL = "CSV table"
HINT = "A table with a header, and as many cells in every row as the header has."
OPTIONS = (
    "Columns that must be there, in any order, each with its type (text, integer, decimal, date, boolean), such as "
    "species:text year:integer; a ! after the type: no cell may be empty. comma, semicolon or tab separates the cells, "
    "comma if nothing is said; only: no other columns. Names with blanks stand in quotes."
)

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t"}
EMPTY = frozenset({"", "NA"})
BOOLEANS = frozenset({"true", "false", "yes", "no", "t", "f", "1", "0"})
INTEGER = re.compile(r"[+-]?[0-9]+")
DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _is_date(cell: str) -> bool:
    try:
        return bool(DATE.fullmatch(cell) and date.fromisoformat(cell))
    except ValueError:
        return False


TYPES: dict[str, Callable[[str], object]] = {
    "text": lambda cell: cell.strip() not in EMPTY,
    "integer": INTEGER.fullmatch,
    "decimal": DECIMAL.fullmatch,
    "date": _is_date,
    "boolean": lambda cell: cell.lower() in BOOLEANS,
}
SAID = {
    "integer": "a whole number",
    "decimal": "a number such as 1.5",
    "date": "a date such as 2026-11-21",
    "boolean": "true or false",
}


@dataclass(frozen=True)
class Column:
    """A column that must be there, the type of its cells, and whether each must be filled."""

    name: str
    type: str
    filled: bool

    @property
    def bounded(self) -> bool:
        """Whether a cell can be wrong: what may be any text or none need not be looked at."""
        return self.filled or self.type != "text"

    def fault(self, cell: str) -> str | None:
        if TYPES[self.type](cell):
            return None
        cell = cell.strip()
        if cell in EMPTY:
            return f"the column {self.name} is empty." if self.filled else None
        if TYPES[self.type](cell):
            return None
        return f"“{cell[:40]}” in the column {self.name} is not {SAID[self.type]}."


@dataclass(frozen=True)
class Rule:
    """What the options ask for."""

    separator: str = ","
    columns: tuple[Column, ...] = ()
    only: bool = False


def check_options(text: str) -> str | None:
    try:
        rule = _rule(text)
    except ValueError as wrong:
        return str(wrong)
    names = [column.name for column in rule.columns]
    if twice := next((name for name in names if names.count(name) > 1), None):
        return f"The column {twice} is named twice."
    return None


def check(stream: BinaryIO, options: str) -> str | None:
    rule = _rule(options)
    rows = _Rows(stream, rule.separator)
    header = next(rows, [])
    if not any(name.strip() for name in header):
        return "the first line must name the columns."
    places = _places(rule, header)
    for row in rows:
        if row and len(row) != len(header):
            return f"line {rows.line} has {len(row)} fields where the header has {len(header)}."
        if places and row and (fault := _fault(places, row)):
            return f"line {rows.line}: {fault}"
    return None


class _Rows:
    """The rows of a table, and the line that was read last. A row is no longer than a line may be."""

    def __init__(self, stream: BinaryIO, separator: str) -> None:
        self._stream = stream
        self._length = 0
        self._rows = csv.reader(self._fed(), delimiter=separator, strict=True)

    @property
    def line(self) -> int:
        return self._rows.line_num

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        self._length = 0
        try:
            return next(self._rows)
        except csv.Error as wrong:
            raise Unfit(f"line {self.line}: {wrong}.") from None

    def _fed(self) -> Iterator[str]:
        for line in lines(self._stream):
            self._length += len(line)
            if self._length > LONGEST_LINE:
                raise Unfit(f"line {self.line + 1} belongs to a row of more than {LONGEST_LINE:,} characters.")
            yield line


def _places(rule: Rule, header: Sequence[str]) -> list[tuple[int, Column]]:
    """Where each wanted column is. Raises Unfit for a header that lacks one, or has one twice."""
    names = [name.strip() for name in header]
    for column in rule.columns:
        if names.count(column.name) != 1:
            times = "no column" if column.name not in names else "more than one column"
            raise Unfit(f"line 1 has {times} {column.name}: the columns are {', '.join(names)[:200]}.")
    known = [column.name for column in rule.columns]
    if rule.only and (other := next((name for name in names if name not in known), None)) is not None:
        raise Unfit(f"line 1 has a column “{other[:40]}”, which is not among {', '.join(known)}.")
    return [(names.index(column.name), column) for column in rule.columns if column.bounded]


def _fault(places: Sequence[tuple[int, Column]], row: Sequence[str]) -> str | None:
    for place, column in places:
        if fault := column.fault(row[place]):
            return fault
    return None


def _rule(text: str) -> Rule:
    """Raises ValueError with a sentence."""
    try:
        words = shlex.split(text)
    except ValueError:
        raise ValueError("A quotation mark is not closed.") from None
    separators = [SEPARATORS[word] for word in words if word in SEPARATORS]
    if len(separators) > 1:
        raise ValueError("Name one separator: comma, semicolon or tab.")
    columns = tuple(_column(word) for word in words if word not in SEPARATORS and word != "only")
    if "only" in words and not columns:
        raise ValueError("Name the columns beside only.")
    return Rule(separators[0] if separators else ",", columns, "only" in words)


def _column(word: str) -> Column:
    name, _, kind = word.rpartition(":")
    filled = kind.endswith("!")
    kind = kind.removesuffix("!")
    if not name.strip() or kind not in TYPES:
        raise ValueError(
            f"“{word[:40]}” is no column with a type ({', '.join(TYPES)}), such as year:integer, nor a separator."
        )
    return Column(name.strip(), kind, filled)
