"""How long a job typically takes."""

from __future__ import annotations

from portal.domain.jobtimes import typical


def test_it_is_the_time_of_the_only_run() -> None:
    assert typical([142.8]) == 142


def test_it_is_where_the_run_times_lie_densest() -> None:
    assert typical([1800, 300]) == 1049
    assert typical([10, 11, 12, 11, 300]) in range(9, 14)


def test_it_is_unknown_where_all_runs_took_equally_long() -> None:
    assert typical([60, 60, 60]) is None


def test_it_is_unknown_where_nothing_has_run() -> None:
    assert typical([]) is None
