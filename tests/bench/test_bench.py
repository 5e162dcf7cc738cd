"""That the bench measures: its table for the portal and the bare limit, and where a step's time goes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.bench.profiled_worker import PHASES, place_of
from tests.bench.rows import ROWS, Book, verdicts
from tests.bench.table import told
from tests.servers import ROOT, environment

PATIENCE = 600
CHAIN = next(row for row in ROWS if row.key == "c")
JOBS = next(row for row in ROWS if row.key == "d")


def bench(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", *words],
        cwd=ROOT, env=environment({}), capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.real
def test_it_prints_one_table_of_the_portal_beside_the_bare_limit() -> None:
    head, *lines = bench("ROUNDS=1", "ROWS=a c", "PEERS=", "LEVEL=2", "--markdown").splitlines()

    assert head == "| row | x in ms | bare limit | fresh starts | portal 2 | goals |"
    cells = {line.split(" | ")[0]: line.split(" | ") for line in lines}
    assert cells["| (c) chain of 40 `cat in > out`"][4].endswith("x")
    assert cells["| (a) 40 Python steps, fib(10)"][4].endswith("x")
    assert "<= 3 x: " in cells["| (a) 40 Python steps, fib(10)"][5]


@pytest.mark.real
def test_it_tells_where_the_time_of_a_step_goes() -> None:
    _, _, *lines = (line.strip("| ").split(" | ") for line in bench("step", "--markdown").splitlines())

    milliseconds = {phase: float(cells[0]) for phase, *cells in lines}
    for phase in ("stage-in", "start", "its end is waited for", "end: state, results, what is due"):
        assert 0 < milliseconds[phase] < milliseconds["whole"]


def test_every_phase_is_still_a_function_of_the_portal() -> None:
    for place in (place for places in PHASES.values() for place in places):
        owner, name = place_of(place)
        assert callable(getattr(owner, name))


def test_a_goal_is_told_as_reached_or_missed_by_the_median_of_the_rounds() -> None:
    book = Book()
    for figure in (2.5, 9.0, 2.9):
        book.add("c", "portal 2", figure)

    assert [str(each) for each in verdicts(book, CHAIN, "portal 2")] == ["<= 3 x: reached"]


def test_a_goal_beside_a_peer_compares_rounds_with_each_other() -> None:
    book = Book()
    for mine, theirs in ((3, 4), (6, 8), (1, 0.5)):
        book.add("d", "portal 2", mine)
        book.add("d", "celery_rows", theirs)

    assert [str(each) for each in verdicts(book, JOBS, "portal 2")] == ["<= Celery with rows (0.8 of it): reached"]


def test_a_goal_without_its_peer_is_not_told() -> None:
    book = Book()
    book.add("d", "portal 2", 3)

    assert list(verdicts(book, JOBS, "portal 2")) == []


def test_what_was_not_measured_leaves_its_cell_empty() -> None:
    book = Book()
    book.add("c", "bare", 1)
    book.add("d", "portal 2", 30)

    assert told(book, ["bare", "fresh", "portal 2"], "portal 2", markdown=True).splitlines()[:4] == [
        "| row | x in ms | bare limit | portal 2 | goals |",
        "|---|---|---|---|---|",
        "| (c) chain of 40 `cat in > out` |  | 1.0x |  |  |",
        "| (d) 200 jobs of one step at once |  |  | 30x |  |",
    ]
