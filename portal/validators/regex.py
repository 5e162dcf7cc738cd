"""Lines that each match a regular expression as a whole. The engine takes linear time, whatever the expression."""

from __future__ import annotations

from typing import Any, BinaryIO

import re2

from portal.domain.streams import lines

LABEL = "Lines that match a rule"
HINT = "Text whose every line, from its first character to its last, matches a regular expression."
OPTIONS = "The regular expression, such as [A-Z]{2}[0-9]+. It has no look-around and no back-references."

LARGEST_PROGRAM = 1 << 22


def check_options(text: str) -> str | None:
    if not text:
        return "Give the regular expression that every line must match."
    try:
        _rule(text)
    except re2.error as wrong:
        [reason] = wrong.args or ("it is no regular expression",)
        words = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        return f"The regular expression cannot be used: {words}."
    return None


def check(stream: BinaryIO, options: str) -> str | None:
    rule = _rule(options)
    for number, line in enumerate(lines(stream), 1):
        if not rule.fullmatch(line.rstrip("\r\n").encode()):
            return f"line {number} does not match {options}."
    return None


def _rule(text: str) -> Any:
    """Of bytes in UTF-8, which the engine takes as they are."""
    chosen = re2.Options()
    chosen.max_mem, chosen.log_errors, chosen.never_capture = LARGEST_PROGRAM, False, True
    return re2.compile(text.encode(), chosen)
