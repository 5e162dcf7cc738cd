"""How moments, spans, sizes and states are written on every page: the filters that templates know."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from portal.domain import durations, values
from portal.services import views


def iso(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def moment(when: datetime, seconds: bool = False) -> str:
    return when.astimezone(UTC).strftime("%-d %b %Y, %H:%M:%S UTC" if seconds else "%-d %b %Y, %H:%M UTC")


def elapsed(thing: Any) -> str:
    """How long a submission or a run took, or has been running for; nothing before it started."""
    if not thing.started:
        return ""
    return durations.words(((thing.ended or datetime.now(UTC)) - thing.started).total_seconds())


FILTERS = {
    "iso": iso,
    "moment": moment,
    "elapsed": elapsed,
    "size": values.size,
    "duration": durations.words,
    "state_word": views.state_word,
}
