"""The parts of a form: a parser that says when they cannot be read, where Flask's own finds an empty form."""

from __future__ import annotations

from typing import Any

from werkzeug.formparser import FormDataParser

CANNOT_BE_READ = "The form cannot be read: it is cut off, or a name in it is not UTF-8 text."


class Strict(FormDataParser):
    """Raises ValueError for a form that cannot be read."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, silent=False)
