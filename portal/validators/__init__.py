"""Validators: one file each, which knows one kind of data.

A job names a validator with its options in one line: "csv species:text year:integer". docs/validators.md says what such
a file defines. None may take for ever: what takes too long to read is refused.
"""

from __future__ import annotations

import io
import time
from importlib import import_module
from typing import Any, BinaryIO

from portal.domain.plugins import plugins
from portal.domain.streams import BLOCK, Unfit

PATIENCE = 300.0


def check(entry: str, stream: BinaryIO) -> str | None:
    """What the validator says against the data, or None."""
    name, options = parts(entry)
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


def parts(entry: str) -> tuple[str, str]:
    """A validator's name and its options."""
    name, _, options = entry.strip().partition(" ")
    return name, options.strip()


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
