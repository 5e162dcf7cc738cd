"""Times, sizes and numbers as people write them. The words are exact, so that what is shown can be sent back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

LONGEST = 60
PART = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,9})?)\s*([A-Za-z]*)\s*")
BETWEEN_THOUSANDS = re.compile(r"(?<=[0-9])[ ,](?=[0-9]{3}(?![0-9]))")


@dataclass(frozen=True)
class Measure:
    """One kind of figure: its units by name in small letters ('' for a bare number), and its words."""

    what: str
    such_as: str
    units: Mapping[str, int]
    words: Callable[[int], str]

    def read(self, text: str) -> int:
        """Raises ValueError with a sentence."""
        amount = self._sum(BETWEEN_THOUSANDS.sub("", text.strip())) if len(text) <= LONGEST else None
        if amount is None or amount % 1:
            raise ValueError(f"“{text[:40]}” is not {self.what}: write it like {self.such_as}.")
        return int(amount)

    def _sum(self, text: str) -> Decimal | None:
        """'1 h 30 min' in the smallest unit. A number without its unit stands alone."""
        parts = [(Decimal(number), unit.lower()) for number, unit in PART.findall(text)]
        known = all(unit in self.units and (unit or len(parts) == 1) for _, unit in parts)
        if not parts or not known or PART.sub("", text):
            return None
        return sum((number * self.units[unit] for number, unit in parts), Decimal(0))


def _time(seconds: int) -> str:
    """'1 h 30 min'."""
    parts = []
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, length)
        parts += [f"{count} {unit}"] if count else []
    return " ".join(parts) or "0 s"


def _size(count: int) -> str:
    """The shortest that is exact: '500 MB', '1.5 GB', '2 GiB', '1234567 B'."""
    exact = ((_exact(count, factor), unit) for unit, factor in _SHOWN.items())
    return min((f"{number} {unit}" for number, unit in exact if number), key=len)


def _exact(count: int, factor: int) -> str:
    """How many units, with three decimals at most; '' if that is not all, or less than one."""
    thousandths, rest = divmod(count * 1000, factor)
    if rest or (count < factor and factor > 1):
        return ""
    return f"{(Decimal(thousandths) / 1000).normalize():f}"


def _number(count: int) -> str:
    return f"{count:,}"


def _named(*units: tuple[int, str]) -> dict[str, int]:
    return {"": 1} | {name: factor for factor, names in units for name in names.split()}


_POWERS = tuple(enumerate("kMGTP", 1))
_SHOWN = {
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in _POWERS},
    **{f"{letter.upper()}iB": 1024**power for power, letter in _POWERS},
}
_TIMES = _named(
    (1, "s sec secs second seconds"),
    (60, "m min mins minute minutes"),
    (3600, "h hr hrs hour hours"),
    (86_400, "d day days"),
)
_SIZES = _named(
    (1, "b byte bytes"),
    *((1000**power, f"{letter} {letter}b".lower()) for power, letter in _POWERS),
    *((1024**power, f"{letter}i {letter}ib".lower()) for power, letter in _POWERS),
)
_DAYS = _named((1, "d day days"), (7, "w week weeks"))

TIME = Measure("a time", "90 s, 10 min or 2 h", _TIMES, _time)
SIZE = Measure("a size", "500 MB, 2 GB or 2 GiB", _SIZES, _size)
NUMBER = Measure("a number", "500 or 10,000", _named(), _number)
DAYS = Measure("a number of days", "30, 30 days or 8 weeks", _DAYS, _number)
