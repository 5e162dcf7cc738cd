"""The figures of a campaign: how soon lost work began again, how soon a stop was done, how soon all was back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.faults.checker import Evidence
from tests.faults.records import seconds

FIGURES = (
    "lost work began again after",
    "a stop was done after",
    "service again after the broker",
    "service again after the database",
    "accepted within",
)


def of(evidence: Evidence) -> dict[str, list[float]]:
    journal = evidence.journal
    return dict(
        zip(
            FIGURES,
            (
                list(_begun_again(evidence)),
                list(_stopped(evidence)),
                list(_back(evidence, "broker")),
                list(_back(evidence, "database")),
                [request.took for request in journal.accepted if request.tries == 1 and request.took],
            ),
            strict=True,
        )
    )


def _begun_again(evidence: Evidence) -> Iterator[float]:
    """From the last fault before a loss was recorded until the run's next process began; first losses only."""
    for run in evidence.runs.values():
        attempts = sorted(evidence.attempts_of[run["id"]], key=lambda row: row["number"])
        lost = next((row for row in attempts if row["sentence"].startswith("Lost")), None)
        if lost is None:
            continue
        recorded = seconds(lost["ended"]) or 0.0
        begun = [each.begun for each in evidence.journal.faults if each.hit and each.begun < recorded]
        again = [line.at for line in evidence.starts[evidence.key(run)] if line.at > recorded]
        if begun and again:
            yield min(again) - max(begun)


def _stopped(evidence: Evidence) -> Iterator[float]:
    ended = {row["uuid"]: row for row in evidence.submissions.values() if row["state"] == "STOPPED"}
    for stop in evidence.journal.stops:
        if stop.uuid in ended:
            yield max(0.0, (seconds(ended[stop.uuid]["ended"]) or 0.0) - stop.asked)


def _back(evidence: Evidence, what: str) -> Iterator[float]:
    """Until the next step began; a quiet time after it says nothing."""
    starts = sorted(line.at for line in evidence.lines if line.word == "start")
    for back in evidence.journal.back:
        if back.what == what and (later := [at for at in starts if at >= back.at]):
            yield later[0] - back.at


def p95(values: Sequence[float]) -> str:
    if not values:
        return "-"
    ranked = sorted(values)
    return f"{ranked[min(len(ranked) - 1, int(0.95 * len(ranked)))]:.2f} s (of {len(ranked)})"
