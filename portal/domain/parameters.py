"""Parameters: typed values that a task accepts. A value is data, checked once here and never read as syntax."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from portal.domain import patterns
from portal.domain.errors import Invalid
from portal.domain.names import normal_ending
from portal.domain.texts import storable

LONGEST = 10_000
SHOWN = 40
MOST_DIGITS = 18
INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
UNCLEAN = re.compile(r"[^A-Za-z0-9_-]", re.ASCII)
ENDING = re.compile(r"(?<=[^.])(\.tar)?\.[A-Za-z0-9_+-]{1,20}$", re.ASCII)
TRUE = frozenset({"true", "1", "on", "yes"})
UNREADABLE = "\ufffd"
FALSE = frozenset({"false", "0", "off", "no", ""})

Value = str | int | float | bool | None


class Kind(StrEnum):
    """The type of a parameter's values."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    DATE = "date"
    FILE = "file"


@dataclass(frozen=True)
class Rule:
    """What a value must be. `minimum` and `maximum` are inclusive, and bound a text's length in characters.

    `choices` are the values of a choice, or the endings that a file may have. `pattern` is what a whole text matches.
    """

    kind: Kind = Kind.TEXT
    required: bool = True
    default: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""

    @property
    def lengths(self) -> tuple[int, int]:
        """The fewest and the most characters of a text."""
        most = LONGEST if self.maximum is None else min(LONGEST, self.maximum)
        return int(max(0, min(LONGEST, self.minimum or 0))), int(max(0, most))


@dataclass(frozen=True)
class Argument:
    """One parameter with its value, as a run carries it: `text` goes to commands, `value` to code.

    Of a file, `text` is how its name in the run's directory ends, and `value` the field of the upload that it is; both
    are empty when none was sent.
    """

    name: str
    flag: str
    kind: Kind
    text: str
    value: Value
    spacing: bool = True
    switchless: bool = False


def read(field: str, rule: Rule, text: str | None) -> tuple[str, Value]:
    """The text and the typed value of what was sent for `field`. Raises Invalid naming the field and the rule."""
    chosen = _given_or_default(field, rule, text)
    try:
        return chosen, _READERS[rule.kind](rule, chosen)
    except ValueError as wrong:
        raise Invalid(**{field: f"{field}: {wrong}"}) from None


def check_default(rule: Rule) -> str | None:
    """Why the rule's own default is not a valid value, or None."""
    if rule.default is None:
        return None
    try:
        read("default", rule, rule.default)
    except Invalid as wrong:
        return str(wrong)
    return None


def whole_number(text: str) -> int:
    """Raises ValueError with a sentence."""
    if not INTEGER.fullmatch(text):
        raise ValueError(f"“{_beginning(text)}” is not a whole number, such as 10 or -3.")
    if len(text.lstrip("+-")) > MOST_DIGITS:
        raise ValueError(f"“{_beginning(text)}” has more than {MOST_DIGITS} digits, which are the most.")
    return int(text)


def decimal_number(text: str) -> float:
    """A finite number. Raises ValueError with a sentence."""
    if not DECIMAL.fullmatch(text) or math.isinf(float(text)):
        raise ValueError(f"“{_beginning(text)}” is not a number, such as 0.05 or 1e-5.")
    return float(text)


def _given_or_default(field: str, rule: Rule, text: str | None) -> str:
    if text is not None and (text != "" or not rule.required or rule.kind is Kind.BOOLEAN):
        return text if text != "" or rule.default is None else rule.default
    if not rule.required and rule.default is not None:
        return rule.default
    if not rule.required:
        return ""
    raise Invalid(**{field: f"{field} is required: {'send a file' if rule.kind is Kind.FILE else 'give it a value'}."})


def _text(rule: Rule, text: str) -> str:
    if bad := next((char for char in text if not _plain(char)), None):
        raise ValueError(f"control characters are not allowed, this has U+{ord(bad):04X}.")
    if UNREADABLE in text:
        raise ValueError("this is not UTF-8 text.")
    if text != "" or rule.required:
        _check_form(rule, text)
    return text


def _plain(char: str) -> bool:
    return storable(char) and (char >= " " or char in "\t\n\r")


def _check_form(rule: Rule, text: str) -> None:
    """The length and the pattern; an optional text may be left empty, whatever they say."""
    fewest, most = rule.lengths
    if len(text) > most:
        raise ValueError(f"at most {most} characters are allowed, “{_beginning(text)}” has {len(text)}.")
    if len(text) < fewest:
        raise ValueError(f"at least {fewest} characters are needed, “{_beginning(text)}” has {len(text)}.")
    if rule.pattern and not patterns.matches(rule.pattern, text):
        raise ValueError(f"“{_beginning(text)}” is not of the form {rule.pattern}")


def _beginning(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _integer(rule: Rule, text: str) -> int:
    return int(_bounded(rule, whole_number(text), text))


def _decimal(rule: Rule, text: str) -> float:
    return float(_bounded(rule, decimal_number(text), text))


def _bounded(rule: Rule, given: float, text: str) -> float:
    if rule.minimum is not None and given < rule.minimum:
        raise ValueError(f"{_beginning(text)} is too small, the smallest is {rule.minimum:.15g}.")
    if rule.maximum is not None and given > rule.maximum:
        raise ValueError(f"{_beginning(text)} is too large, the largest is {rule.maximum:.15g}.")
    return given


def _boolean(rule: Rule, text: str) -> bool:
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise ValueError(f"“{_beginning(text)}” is neither TRUE nor FALSE.")


def _choice(rule: Rule, text: str) -> str:
    if text not in rule.choices:
        raise ValueError(f"“{_beginning(text)}” is not one of {', '.join(rule.choices)}.")
    return text


def _date(rule: Rule, text: str) -> str:
    try:
        written = DATE.fullmatch(text) and date.fromisoformat(text)
    except ValueError:
        written = None
    if not written:
        raise ValueError(f"“{_beginning(text)}” is not a date, such as 2026-11-21.")
    return text


def _file(rule: Rule, name: str) -> str | None:
    """The ending that a file of this name is known by; None for no file."""
    if not name:
        return None
    if not rule.choices:
        found = ENDING.search(name)
        return found[0] if found else ""
    endings = sorted(map(normal_ending, rule.choices), key=len, reverse=True)
    for ending in endings:
        if name.lower().endswith(ending.lower()):
            return ending
    raise ValueError(f"“{_beginning(name)}” does not end in {' or '.join(map(normal_ending, rule.choices))}.")


def file_part(alias: str, ending: str) -> str:
    """How the name of a parameter's file ends: '.reference.tsv'. Its beginning is the submission's UUID."""
    return f".{UNCLEAN.sub('_', alias)}{ending}"


_READERS: dict[Kind, Callable[[Rule, str], Value]] = {
    Kind.TEXT: _text,
    Kind.INTEGER: _integer,
    Kind.DECIMAL: _decimal,
    Kind.BOOLEAN: _boolean,
    Kind.CHOICE: _choice,
    Kind.DATE: _date,
    Kind.FILE: _file,
}
