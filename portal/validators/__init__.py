"""Validators: one file each, which knows one kind of data.

A file here defines LABEL and `check(stream) -> str | None`: why the data is not of its kind, naming the line where it
can, or None. It reads the stream in pieces.
"""

from __future__ import annotations

from importlib import import_module
from typing import BinaryIO

from portal.domain.plugins import plugins


def check(name: str, stream: BinaryIO) -> str | None:
    """What the validator of this name says against the data, or None."""
    if name not in plugins("validators"):
        return f"the validator {name} is not installed."
    refusal: str | None = import_module(f"portal.validators.{name}").check(stream)
    return refusal
