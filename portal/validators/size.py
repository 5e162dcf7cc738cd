"""How many bytes the data may have."""

from __future__ import annotations

from typing import BinaryIO

from portal.domain.sizes import SIZE
from portal.domain.streams import BLOCK

LABEL = "Size"
HINT = "A file that is neither too small nor too large."
OPTIONS = "The largest size, such as 10 MB; or both ends, such as 1 kB..10 MB."


def check_options(text: str) -> str | None:
    try:
        least, most = _range(text)
    except ValueError as wrong:
        return str(wrong)
    return None if least <= most else "The smallest size is above the largest: exchange them."


def check(stream: BinaryIO, options: str) -> str | None:
    least, most = _range(options)
    count = 0
    while block := stream.read(BLOCK):
        count += len(block)
        if count > most:
            return f"it has more than {SIZE.words(most)}."
    return f"it has {SIZE.words(count)}, and {SIZE.words(least)} are the least." if count < least else None


def _range(text: str) -> tuple[int, int]:
    """Raises ValueError with a sentence."""
    least, between, most = text.partition("..")
    return (SIZE.read(least), SIZE.read(most)) if between else (0, SIZE.read(text))
