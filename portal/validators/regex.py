"""Lines that each match a regular expression as a whole. The engine takes linear time, whatever the expression."""

from __future__ import annotations

from typing import BinaryIO

from portal.domain import patterns
from portal.domain.streams import lines

LABEL = "Lines that match a rule"
HINT = "Text whose every line, from its first character to its last, matches a regular expression."
OPTIONS = "The regular expression, such as [A-Z]{2}[0-9]+. It has no look-around and no back-references."


def check_options(text: str) -> str | None:
    return patterns.fault(text) if text else "Give the regular expression that every line must match."


def check(stream: BinaryIO, options: str) -> str | None:
    for number, line in enumerate(lines(stream), 1):
        if not patterns.matches(options, line.rstrip("\r\n")):
            return f"line {number} does not match {options}."
    return None
