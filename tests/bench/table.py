"""The table, for a terminal or as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from tests.bench.rows import PER_SECOND, Book, Row, verdicts, walls

NAMES = {
    "bare": "bare limit",
    "fresh": "fresh starts",
    "celery": "Celery",
    "celery_rows": "Celery, rows",
    "luigi": "Luigi",
    "prefect": "Prefect",
    "airflow": "Airflow",
}


def told(book: Book, order: Sequence[str], portal: str, markdown: bool) -> str:
    """`portal` is the contender whose goals they are."""
    shown = book.contenders(order)
    head = ["row", "x in ms", *(NAMES.get(each, each) for each in shown), "goals"]
    stricter = [each for each in shown if each.startswith("portal") and each != portal]
    lines = [
        [row.title, _unit(book, row), *_cells(book, row, shown), _goals(book, row, portal, stricter)]
        for row in book.rows()
    ]
    table = (_markdown if markdown else _plain)([head, *lines])
    return "\n".join([*table, "", *book.notes])


def _unit(book: Book, row: Row) -> str:
    return f"{1000 * median(book.units[row.key]):.1f}" if book.units.get(row.key) else ""


def _cells(book: Book, row: Row, shown: Sequence[str]) -> Iterator[str]:
    for contender in shown:
        figure = book.of(row.key, contender)
        yield "" if figure is None else f"{figure:,.0f}/s" if row in PER_SECOND else _times(figure)


def _times(figure: float) -> str:
    return f"{figure:,.0f}x" if figure >= 20 else f"{figure:.1f}x"


def _goals(book: Book, row: Row, portal: str, stricter: Sequence[str]) -> str:
    return "; ".join(str(each) for each in (*verdicts(book, row, portal), *walls(book, row, portal, stricter)))


def plain(lines: Sequence[Sequence[str]], markdown: bool) -> str:
    return "\n".join((_markdown if markdown else _plain)(lines))


def _plain(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    for line in lines:
        first, *rest = (cell.ljust(width) if at == 0 else cell.rjust(width)
                        for at, (cell, width) in enumerate(zip(line, widths, strict=True)))  # fmt: skip
        yield "  ".join([first, *rest]).rstrip()


def _markdown(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    head, *rest = lines
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for line in rest:
        yield f"| {' | '.join(line)} |"
