"""Parameters: typed values that a task accepts. A value is data, checked once here and never read as syntax."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from portal.domain.errors import Invalid
from portal.domain.texts import storable

LONGEST = 10_000
INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)
TRUE = frozenset({"true", "1", "on", "yes"})
UNREADABLE = "\ufffd"
FALSE = frozenset({"false", "0", "off", "no", ""})

Value = str | int | float | bool


class Kind(StrEnum):
    """The type of a parameter's values."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    CHOICE = "choice"


@dataclass(frozen=True)
class Rule:
    """What a value must be. `minimum` and `maximum` are inclusive, and bound a text's length in characters."""

    kind: Kind = Kind.TEXT
    required: bool = True
    default: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def lengths(self) -> tuple[int, int]:
        """The fewest and the most characters of a text."""
        most = LONGEST if self.maximum is None else min(LONGEST, self.maximum)
        return int(max(0, min(LONGEST, self.minimum or 0))), int(max(0, most))


@dataclass(frozen=True)
class Argument:
    """One parameter with its value, as a run carries it: `text` goes to commands, `value` to code."""

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
        raise ValueError(f"“{text[:40]}” is not a whole number, such as 10 or -3.")
    return int(text)


def decimal_number(text: str) -> float:
    """A finite number. Raises ValueError with a sentence."""
    if not DECIMAL.fullmatch(text) or math.isinf(float(text)):
        raise ValueError(f"“{text[:40]}” is not a number, such as 0.05 or 1e-5.")
    return float(text)


def _given_or_default(field: str, rule: Rule, text: str | None) -> str:
    if text is not None and (text != "" or not rule.required or rule.kind is Kind.BOOLEAN):
        return text if text != "" or rule.default is None else rule.default
    if not rule.required and rule.default is not None:
        return rule.default
    if not rule.required:
        return ""
    raise Invalid(**{field: f"{field} is required: give it a value."})


def _text(rule: Rule, text: str) -> str:
    if not storable(text) or any(char < " " and char not in "\t\n\r" for char in text):
        raise ValueError("control characters are not allowed.")
    if UNREADABLE in text:
        raise ValueError("this is not UTF-8 text.")
    fewest, most = rule.lengths
    if len(text) > most:
        raise ValueError(f"at most {most} characters are allowed, this has {len(text)}.")
    if len(text) < fewest:
        raise ValueError(f"at least {fewest} characters are needed.")
    return text


def _integer(rule: Rule, text: str) -> int:
    return int(_bounded(rule, whole_number(text)))


def _decimal(rule: Rule, text: str) -> float:
    return float(_bounded(rule, decimal_number(text)))


def _bounded(rule: Rule, given: float) -> float:
    if rule.minimum is not None and given < rule.minimum:
        raise ValueError(f"{given:g} is too small, the smallest is {rule.minimum:g}.")
    if rule.maximum is not None and given > rule.maximum:
        raise ValueError(f"{given:g} is too large, the largest is {rule.maximum:g}.")
    return given


def _boolean(rule: Rule, text: str) -> bool:
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise ValueError(f"“{text[:40]}” is neither TRUE nor FALSE.")


def _choice(rule: Rule, text: str) -> str:
    if text not in rule.choices:
        raise ValueError(f"“{text[:40]}” is not one of {', '.join(rule.choices)}.")
    return text


_READERS: dict[Kind, Callable[[Rule, str], Value]] = {
    Kind.TEXT: _text,
    Kind.INTEGER: _integer,
    Kind.DECIMAL: _decimal,
    Kind.BOOLEAN: _boolean,
    Kind.CHOICE: _choice,
}
