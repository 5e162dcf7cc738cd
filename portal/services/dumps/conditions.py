"""Conditions of steps as the second version of the first system wrote them: read as a comparison, never evaluated."""

from __future__ import annotations

import re

COMPARISON = re.compile(r"\s*exit_code\s*(?:==\s*(?P<one>[0-9]{1,3})|in\s*[\[(](?P<many>[0-9,\s]{1,100})[\])])\s*")
LARGEST = 255


def statuses(condition: str) -> list[int]:
    """The exit statuses of the step before for which this one runs. Raises ValueError for any other condition."""
    found = COMPARISON.fullmatch(condition)
    if found is None:
        raise ValueError("only `exit_code == 1` and `exit_code in [1, 2]` can be taken over")
    numbers = [int(each) for each in (found["one"] or found["many"]).split(",") if each.strip()]
    if not numbers or max(numbers) > LARGEST:
        raise ValueError(f"an exit status is a number from 0 to {LARGEST}")
    return numbers
