"""Protein Data Bank coordinates: lines of 80 columns, among them atoms with their coordinates."""

from __future__ import annotations

import re
from typing import BinaryIO

from portal.domain.streams import lines

LABEL = "PDB structure"
HINT = "Protein Data Bank format with at least one ATOM or HETATM line."
OPTIONS = ""

COLUMNS = 80
ATOMS = ("ATOM ", "HETATM")
NUMBER = re.compile(r" *[+-]?[0-9]+(\.[0-9]*)? *")
PLACES = {"x": (30, 38), "y": (38, 46), "z": (46, 54)}


def check(stream: BinaryIO, options: str) -> str | None:
    atoms = 0
    for number, line in enumerate(lines(stream), 1):
        record = line.rstrip()
        if len(record) > COLUMNS:
            return f"line {number} has {len(record)} columns, {COLUMNS} at most are allowed."
        if record.startswith(ATOMS):
            atoms += 1
            if fault := _fault(record):
                return f"line {number}: {fault}"
    return None if atoms else "it holds no ATOM or HETATM line."


def _fault(record: str) -> str | None:
    """What is wrong with the line of an atom, whose coordinates have fixed columns."""
    for axis, (start, end) in PLACES.items():
        if not NUMBER.fullmatch(record[start:end]):
            return f"columns {start + 1} to {end} must hold the coordinate {axis} of the atom."
    return None
