"""How moments, spans, sizes and states are written on every page: the filters that templates know."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from portal.domain import durations, values
from portal.models import Run, Submission
from portal.services import views


def iso(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def moment(when: datetime, seconds: bool = False) -> str:
    return when.astimezone(UTC).strftime("%-d %b %Y, %H:%M:%S UTC" if seconds else "%-d %b %Y, %H:%M UTC")


def elapsed(thing: Submission | Run) -> str:
    """How long it took, or has taken so far; nothing before it began."""
    return views.elapsed(thing.started, thing.ended, datetime.now(UTC))


def used(usage: Mapping[str, float]) -> str:
    """'CPU 0.4 s, memory 35.2 MB'; what was not measured is left out."""
    cpu, memory = usage.get("cpu_seconds"), usage.get("max_memory_bytes")
    found = [f"CPU {durations.words(cpu)}"] if cpu is not None else []
    found += [f"memory {values.size(round(memory))}"] if memory else []
    return ", ".join(found)


FILTERS = {
    "iso": iso,
    "moment": moment,
    "elapsed": elapsed,
    "used": used,
    "size": values.size,
    "duration": durations.words,
    "state_word": views.state_word,
}
