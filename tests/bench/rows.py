"""The rows of the table, and the goals that the portal has for them.

The unit x is the bare shell step of `peers.bare`, measured again right before each figure, so that a noisy machine
divides itself out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

UNIT = "c"
WALLED = "w"
GOAL_LEVEL = 2


@dataclass(frozen=True)
class Row:
    """`most` is the goal in x per step. Rows of `every_level` are shown at the other levels of confinement, too."""

    key: str
    title: str
    count: int = 0
    most: float | None = None
    best: float | None = None
    every_level: bool = False


ROWS = (
    Row("a", "(a) 40 Python steps, fib(10)", 40, most=3, every_level=True),
    Row("b", "(b) 10 Python steps, fib(33)", 10),
    Row("c", "(c) chain of 40 `cat in > out`", 40, most=3, best=2, every_level=True),
    Row(WALLED, "(w) the bare shell step in bubblewrap", 40),
    Row("d", "(d) 200 jobs of one step at once", 200),
    Row("e1", "(e) 40 Python steps with numpy", 40, most=4),
    Row("e2", "(e) the same with scipy.stats", 40, most=9),
    Row("f", "(f) 40 R steps", 40, most=4),
)
POSTS = Row("posts", "(d) POSTs per second meanwhile")
READS = (Row("g1", "(g) GET of a run's fragment, per second"), Row("g2", "(g) GET of the REST status, per second"))
PER_SECOND = (POSTS, *READS)


@dataclass
class Book:
    """What was measured: by row and contender a figure for each round, in x per step, or per second."""

    figures: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    units: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)

    def add(self, row: str, contender: str, figure: float) -> None:
        self.figures[row, contender].append(figure)

    def note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)

    def of(self, row: str, contender: str) -> float | None:
        found = self.figures.get((row, contender))
        return median(found) if found else None

    def against(self, row: str, one: str, other: str) -> float | None:
        """One contender's figure by another's of the same round."""
        pairs = list(zip(self.figures.get((row, one), ()), self.figures.get((row, other), ()), strict=False))
        return median(mine / theirs for mine, theirs in pairs) if pairs else None

    def rows(self) -> Iterator[Row]:
        for row in (*ROWS[:5], POSTS, *ROWS[5:], *READS):
            if any(key == row.key for key, _ in self.figures):
                yield row

    def contenders(self, order: Sequence[str]) -> list[str]:
        seen = {contender for _, contender in self.figures}
        return [each for each in order if each in seen]


@dataclass(frozen=True)
class Verdict:
    text: str
    reached: bool

    def __str__(self) -> str:
        return f"{self.text}: {'reached' if self.reached else 'missed'}"


def verdicts(book: Book, row: Row, portal: str) -> Iterator[Verdict]:
    """What became of the goals of a row, as far as both sides were measured."""
    mine = book.of(row.key, portal)
    if mine is None:
        return
    if row.most is not None:
        yield _at_most("x", mine, row.most)
    if row.best is not None and mine <= row.best:
        yield _at_most("x", mine, row.best)
    if row.key in COMPARED and (found := book.against(row.key, portal, COMPARED[row.key].beside)) is not None:
        yield COMPARED[row.key].judge(found)
    if row.key in LEAST:
        yield Verdict(f">= {LEAST[row.key]:,} per second", mine >= LEAST[row.key])


def walls(book: Book, row: Row, portal: str, others: Sequence[str]) -> Iterator[Verdict]:
    """Whether a stricter level adds no more to a step than one start of bubblewrap."""
    mine, step, walled = book.of(row.key, portal), book.of(UNIT, "bare"), book.of(WALLED, "bare")
    if mine is None or step is None or walled is None:
        return
    for other in others:
        if (theirs := book.of(row.key, other)) is not None:
            yield Verdict(f"{other} adds {theirs - mine:.1f} <= {walled - step:.1f} x", theirs - mine <= walled - step)


def _at_most(of: str, found: float, most: float) -> Verdict:
    return Verdict(f"<= {most:g} {of}", found <= most)


@dataclass(frozen=True)
class Compared:
    beside: str
    judge: Callable[[float], Verdict]


HALF = Compared("bare", lambda share: Verdict(f">= half of the bare route ({share:.2f})", share >= 0.5))
COMPARED = {
    "d": Compared("celery_rows", lambda share: Verdict(f"<= Celery with rows ({share:.1f} of it)", share <= 1)),
    "g1": HALF,
    "g2": HALF,
}
LEAST = {"posts": 270, "g1": 1500, "g2": 1500}
