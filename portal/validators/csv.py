"""Comma-separated values: UTF-8 text with a header, and as many fields in every row as the header has."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import BinaryIO

LABEL = "CSV table"


def check(stream: BinaryIO) -> str | None:
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
    rows = csv.reader(_decoded(text), strict=True)
    try:
        return _check(rows)
    except UnicodeEncodeError:
        return f"line {rows.line_num + 1} is not UTF-8 text."
    except csv.Error as wrong:
        return f"line {rows.line_num}: {wrong}."


def _decoded(lines: Iterable[str]) -> Iterator[str]:
    """The lines up to the first that is no text: a stream, which decodes in blocks, cannot tell which that is."""
    for line in lines:
        line.encode("utf-8")
        yield line


def _check(rows: csv._reader) -> str | None:  # type: ignore[name-defined]
    header = next(rows, None)
    if not header or not any(name.strip() for name in header):
        return "the first line must name the columns."
    for row in rows:
        if row and len(row) != len(header):
            return f"line {rows.line_num} has {len(row)} fields where the header has {len(header)}."
    return None
