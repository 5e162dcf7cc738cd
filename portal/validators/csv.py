"""Comma-separated values: UTF-8 text with a header, and as many fields in every row as the header has."""

from __future__ import annotations

import csv
import io
from typing import BinaryIO

LABEL = "CSV table"
LONGEST_FIELD = 131_072


def check(stream: BinaryIO) -> str | None:
    rows = csv.reader(io.TextIOWrapper(stream, "utf-8-sig", newline=""), strict=True)
    try:
        return _check(rows)
    except UnicodeDecodeError:
        return f"line {rows.line_num + 1} is not UTF-8 text."
    except csv.Error as wrong:
        return f"line {rows.line_num}: {wrong}."


def _check(rows: csv._reader) -> str | None:  # type: ignore[name-defined]
    header = next(rows, None)
    if not header or not any(name.strip() for name in header):
        return "the first line must name the columns."
    for row in rows:
        if row and len(row) != len(header):
            return f"line {rows.line_num} has {len(row)} fields where the header has {len(header)}."
    return None
