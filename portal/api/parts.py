"""The files among the parts of a form."""

from __future__ import annotations

from collections.abc import Collection
from typing import BinaryIO, cast

from flask import request
from werkzeug.datastructures import FileStorage

from portal.domain.names import normal_name
from portal.services.submissions import Incoming

INPUT = "input_data"


def inputs() -> tuple[Incoming, ...]:
    """The files that the jobs are to run with, each for itself; a part without a file name is none."""
    return tuple(_incoming(part) for part in request.files.getlist(INPUT) if part.filename)


def further(own: Collection[str]) -> dict[str, Incoming]:
    """The files that are sent for parameters, by public name; the last one of a name counts."""
    named = [(name, part) for name, part in request.files.items(multi=True) if name not in (*own, INPUT)]
    return {normal_name(name): _incoming(part) for name, part in named if part.filename}


def _incoming(part: FileStorage) -> Incoming:
    return Incoming(str(part.filename), cast(BinaryIO, part.stream))
