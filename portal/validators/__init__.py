"""Validators: one file each, which knows one kind of data.

A job names a validator with its options in one line: "csv species:text year:integer", which is for the job's input;
"fit_table: csv species:text" is for the file of a parameter. docs/validators.md says what such a file defines. None may
take for ever: what takes too long to read is refused.
"""

from __future__ import annotations

import io
import re
import time
from dataclasses import dataclass
from importlib import import_module
from typing import Any, BinaryIO

from portal.domain.plugins import plugins
from portal.domain.streams import BLOCK, Unfit

PATIENCE = 300.0
FIELD = re.compile(r'(?:"([^"]+)"|([^\s"]\S*)):(?:\s|$)')


@dataclass(frozen=True)
class Entry:
    """One line of a job's: a validator, its options, and whose file it reads by its public name; the input has none."""

    name: str
    options: str = ""
    field: str = ""

    def __str__(self) -> str:
        field = f'"{self.field}"' if " " in self.field else self.field
        return f"{field}: {self._said}" if field else self._said

    @property
    def _said(self) -> str:
        return f"{self.name} {self.options}".strip()


def entry(text: str) -> Entry:
    """A line as it was written. A public name with blanks stands in quotes."""
    text = text.strip()
    found = FIELD.match(text)
    name, _, options = (text[found.end() :].lstrip() if found else text).partition(" ")
    return Entry(name, options.strip(), found[1] or found[2] if found else "")


def check(text: str, stream: BinaryIO) -> str | None:
    """What the validator of a line says against the data, or None."""
    asked = entry(text)
    name, options = asked.name, asked.options
    if name not in plugins("validators"):
        return f"the validator {name} is not installed."
    if wrong := check_options(name, options):
        return f"the options of the validator {name} are wrong: {wrong}"
    with io.BufferedReader(_Patient(stream), BLOCK) as reading:
        try:
            refusal: str | None = _module(name).check(reading, options)
        except Unfit as unfit:
            return str(unfit)
    return refusal


def check_options(name: str, options: str) -> str | None:
    """What is wrong with the options of an installed validator, or None."""
    plugin = plugins("validators")[name]
    if not plugin.constants.get("OPTIONS"):
        return f"{plugin.label} takes no options: leave them out." if options else None
    refusal: str | None = _module(name).check_options(options)
    return refusal


def _module(name: str) -> Any:
    return import_module(f"portal.validators.{name}")


class _Patient(io.RawIOBase):
    """A stream that can be read for so long only."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._until = time.monotonic() + PATIENCE

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if time.monotonic() > self._until:
            raise Unfit(f"it could not be checked within {PATIENCE:.0f} seconds: send it in smaller parts.")
        piece = self._stream.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)
