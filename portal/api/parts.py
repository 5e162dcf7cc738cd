"""The files among the parts of a form."""

from __future__ import annotations

from collections.abc import Collection
from typing import BinaryIO, cast

from flask import request

from portal.domain.names import normal_name
from portal.services.submissions import Incoming


def incoming(name: str) -> Incoming | None:
    """The last file of this name; a part without a file name is none."""
    named = [part for part in request.files.getlist(name) if part.filename]
    return Incoming(str(named[-1].filename), cast(BinaryIO, named[-1].stream)) if named else None


def further(own: Collection[str]) -> dict[str, Incoming]:
    """The files that are sent for parameters, by public name."""
    found = {normal_name(name): incoming(name) for name in request.files if name not in own}
    return {name: file for name, file in found.items() if file}
