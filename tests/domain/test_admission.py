"""Whether one more submission comes in, and how soon it is served."""

from __future__ import annotations

import pytest

from portal.domain.admission import Limits, priority
from portal.domain.errors import TooMany
from portal.domain.names import Priority

LIMITS = Limits(hog=10, hard=15)


@pytest.mark.parametrize("usual", Priority)
def test_it_keeps_the_usual_priority_below_the_first_limit(usual: Priority) -> None:
    assert priority(LIMITS, 9, usual) is usual


@pytest.mark.parametrize("active", [10, 14])
def test_it_serves_one_later_from_the_first_limit_on(active: int) -> None:
    assert priority(LIMITS, active, Priority.HIGH) is Priority.PLAIN
    assert priority(LIMITS, active, Priority.PLAIN) is Priority.LOW


def test_it_refuses_what_could_only_be_served_later_than_last() -> None:
    with pytest.raises(TooMany, match="too many, 10, concurrent"):
        priority(LIMITS, 10, Priority.LOW)


@pytest.mark.parametrize("usual", Priority)
def test_it_refuses_everybody_from_the_second_limit_on(usual: Priority) -> None:
    with pytest.raises(TooMany, match="too many, 15, concurrent") as refusal:
        priority(LIMITS, 15, usual)

    assert refusal.value.retry_after > 0


def test_it_refuses_nobody_where_there_is_no_limit() -> None:
    assert priority(Limits(None, None), 1_000_000, Priority.LOW) is Priority.LOW
