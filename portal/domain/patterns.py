"""Patterns that texts match: regular expressions of the RE2 kind, whose time grows with the text and no faster."""

from __future__ import annotations

from functools import lru_cache

import re2

from portal.domain.texts import check_text

MOST_MEMORY = 1 << 20


def fault(pattern: str) -> str | None:
    """Why this cannot be a pattern, or None."""
    if reason := check_text("pattern", pattern):
        return reason
    try:
        _compiled(pattern)
    except re2.error as wrong:
        return f"This is not a regular expression that is known here: {_reason(wrong)}."
    return None


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches."""
    # The engine's wrapper translates the places of a match in a text, which takes longer than all the rest.
    return _compiled(pattern).fullmatch(text.encode()) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re2._Regexp:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = MOST_MEMORY
    return re2.compile(pattern, options)


def _reason(wrong: re2.error) -> str:
    reason = wrong.args[0]
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
