"""A pytest plugin for `make attack`: after the tests, a table of the attacks: how often each was tried, and got in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.attacks import listed

WIDEST = 90
SUM = "together"

tried: Counter[str] = Counter()
got_in: Counter[str] = Counter()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Note on each report which attacks its test makes, so that it is known wherever the test ran."""
    report = yield
    report.user_properties.extend(("attack", number) for mark in item.iter_markers("attack") for number in mark.args)
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    numbers = [number for name, number in report.user_properties if name == "attack"]
    if report.when == "call":
        tried.update(numbers)
    if report.failed:
        got_in.update(numbers)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _lines():
        terminalreporter.write_line(line)


def _lines() -> Iterator[str]:
    yield f"{'id':8} {'attack':{WIDEST}} {'tried':>6} {'got in':>6}"
    for attack in listed.every().values():
        if attack.absent:
            yield f"{attack.id:8} not here: {attack.absent}"[: WIDEST + 24]
        else:
            yield f"{attack.id:8} {attack.what[:WIDEST]:{WIDEST}} {tried[attack.id]:6} {got_in[attack.id]:6}"
    yield f"{SUM:8} {'':{WIDEST}} {tried.total():6} {got_in.total():6}"
