"""What the fields of an entry may hold: each is read by its type, or refused with what it may be.

Values are told only as far as they are short: a file may refer to itself until its text would fill the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from portal.domain.sizes import DAYS, Measure

Reader = Callable[[str, Any], Any]

SHOWN = 40


def read(what: str, entry: Any, readers: Mapping[str, Reader], needed: Collection[str] = ()) -> dict[str, Any]:
    """The fields that an entry gives, as the services take them; a null is as good as nothing. Raises ValueError."""
    given = mapping(what, entry, readers)
    said = {name: readers[name](name, value) for name, value in given.items() if value is not None}
    if missing := [name for name in needed if name not in said]:
        raise ValueError(f"{missing[0]} is missing.")
    return said


def mapping(what: str, given: Any, names: Collection[str]) -> dict[str, Any]:
    """A mapping of these names only."""
    if given is not None and not isinstance(given, dict):
        raise ValueError(f"{what} holds names and values, such as {{{next(iter(names))}: 60}}.")
    if unknown := [str(each)[:SHOWN] for each in given or {} if each not in names]:
        raise ValueError(f"{what} knows no {', '.join(unknown[:5])}; it knows {', '.join(names)}.")
    return dict(given or {})


def text(name: str, value: Any) -> str:
    """A text as it was written; YAML takes one without quotes for a number, a truth or a date."""
    if isinstance(value, list | dict):
        raise ValueError(f"{name} is a text, not {shown(value)}.")
    if not isinstance(value, str):
        raise ValueError(f"{name}: put {str(value)[:SHOWN]} between quotes.")
    return value


def truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is true or false, not {shown(value)}.")
    return value


def whole(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name}: {shown(value)} is not a whole number.")
    return value


def number(name: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"{name}: {shown(value)} is not a number, such as 10 or 0.05.")
    return value


def days(name: str, value: Any) -> int:
    return amount(name, value, DAYS) or 0


def amount(name: str, value: Any, measure: Measure) -> int | None:
    """A figure with its unit, or a bare number; null is none."""
    if not isinstance(value, str):
        return None if value is None else whole(name, value)
    try:
        return measure.read(value)
    except ValueError as wrong:
        raise ValueError(f"{name}: {wrong}") from None


def one_of(words: Collection[str]) -> Reader:
    """A reader of one of these words."""

    def word(name: str, value: Any) -> Any:
        if not isinstance(value, str) or value not in list(words):
            raise ValueError(f"{name}: {shown(value)} is not possible; it is one of {', '.join(words)}.")
        return next(each for each in words if each == value)

    return word


def list_of(reader: Reader, what: str) -> Reader:
    """A reader of a list; `what` says of what, with an example."""

    def listed(name: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f"{name} is a list{what}.")
        return tuple(reader(name, each) for each in value)

    return listed


def texts_by_name(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} holds names and texts, such as {{LC_ALL: C}}, not {shown(value)}.")
    return {text(f"a name in {name}", key): text(f"{name}, {key}", each) for key, each in value.items()}


def shown(value: Any) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= SHOWN else f"{value[:SHOWN]}…")
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "names and values"
    return "a list" if isinstance(value, list) else str(value)[:SHOWN]
