"""Masking: secret values taken out of what a run prints, also where a piece of it ends within one.

It guards against accidents: code that means to can always print a value in a form that nobody knows.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MASK = b"***"
SHORTEST = 6


class Mask:
    """One stream's mask. What comes out is the same however the stream is cut into pieces: the longest that fits
    where the first begins."""

    def __init__(self, values: Iterable[str]) -> None:
        self._words = sorted({form for value in values for form in _forms(value)}, key=len, reverse=True)
        self._held = b""

    def __bool__(self) -> bool:
        """Whether there is anything to mask."""
        return bool(self._words)

    def fed(self, data: bytes, last: bool = False) -> bytes:
        """What is certain by now; an end that may be the beginning of a value is held until more, or the `last`."""
        if not self._words:
            return data
        told, self._held = self._told(self._held + data, last)
        return told

    def _told(self, data: bytes, last: bool) -> tuple[bytes, bytes]:
        pieces: list[bytes] = []
        at, places = 0, {word: data.find(word) for word in self._words}
        held = len(data) if last else self._begun(data, 0)
        while (found := _first(places)) and places[found] < held:
            pieces += [data[at : places[found]], MASK]
            at = places[found] + len(found)
            places.update({word: data.find(word, at) for word, place in places.items() if 0 <= place < at})
            if held < at:
                held = self._begun(data, at)
        return b"".join([*pieces, data[at:held]]), data[held:]

    def _begun(self, data: bytes, at: int) -> int:
        """The first place, from `at` on, where all that follows is the beginning of a longer value."""
        return min((_begins(word, data, at) for word in self._words), default=len(data))


def _first(places: dict[bytes, int]) -> bytes | None:
    """The word that is found first; of several there the longest, as that is how they are ordered."""
    return min((word for word, place in places.items() if place >= 0), key=places.__getitem__, default=None)


def _begins(word: bytes, data: bytes, at: int) -> int:
    place = max(at, len(data) - len(word) + 1)
    while (place := data.find(word[:1], place)) >= 0:
        if word.startswith(data[place:]):
            return place
        place += 1
    return len(data)


def _forms(value: str) -> Iterator[bytes]:
    """The value, its lines, and how programs often write it: in a URL, in JSON, in base64 with anything around it."""
    escaped = (quote(value), quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1])
    written = (value, *value.splitlines(), *escaped)
    yield from (each.strip().encode() for each in written if len(each.strip()) >= SHORTEST)
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            yield _certain(encode(bytes(shift) + value.encode()), shift, len(value.encode()))


def _certain(encoded: bytes, shift: int, length: int) -> bytes:
    """The characters that the value alone decides: 6 bits each, those before and after it excepted."""
    return encoded[-(-shift * 8 // 6) : (shift + length) * 8 // 6]
