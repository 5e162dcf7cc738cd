"""The parts of a form: its files, and a parser that says when they cannot be read, where Flask's does not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, BinaryIO, cast

from flask import request
from werkzeug.formparser import FormDataParser

from portal.domain.names import normal_name
from portal.services.submissions import Incoming

CANNOT_BE_READ = "The form cannot be read: it is cut off, or a name in it is not UTF-8 text."


class Strict(FormDataParser):
    """Raises ValueError for a form that cannot be read, and for a part without a name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, silent=False)

    def parse(self, *request: Any, **options: Any) -> Any:
        stream, form, files = super().parse(*request, **options)
        if None in form or None in files:
            raise ValueError(CANNOT_BE_READ)
        return stream, form, files


def incoming(name: str) -> Incoming | None:
    """The last file of this name; a part without a file name is none."""
    named = [part for part in request.files.getlist(name) if part.filename]
    return Incoming(str(named[-1].filename), cast(BinaryIO, named[-1].stream)) if named else None


def further(own: Collection[str]) -> dict[str, Incoming]:
    """The files that are sent for parameters, by public name."""
    found = {normal_name(name): incoming(name) for name in request.files if name not in own}
    return {name: file for name, file in found.items() if file}
