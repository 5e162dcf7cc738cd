"""python -m tests.bench [step | growth] [ROUNDS=3] [ROWS="a c"] [PEERS="celery luigi"] [LEVEL="2 3 4"] [STEPS=500]
[--markdown]

Without a word the table of all rows; `step` tells where a step's time goes; `growth` what more workers bring, and
what many steps cost. PEERS= leaves all peers out.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from dataclasses import replace

import click

from tests.bench import contenders, growth, profile_step, table
from tests.bench.run import Wish, goal_of, measure

KNOWN = frozenset({"ROUNDS", "ROWS", "PEERS", "LEVEL", "STEPS"})
MODES = ("table", "step", "growth")


def main(words: Sequence[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    markdown = "--markdown" in words
    given = dict(word.split("=", 1) for word in words if "=" in word)
    modes = [word for word in words if "=" not in word and word != "--markdown"] or ["table"]
    try:
        if given.keys() - KNOWN or len(modes) > 1 or modes[0] not in MODES:
            raise click.ClickException(__doc__ or "")
        wish, steps = _wish(given), int(given.get("STEPS") or growth.STEPS)
        click.echo(_told(modes[0], wish, steps, markdown))
    except click.ClickException as wrong:
        wrong.show()
        return wrong.exit_code
    except contenders.Failed as failure:
        click.echo(str(failure), err=True)
        return 1
    return 0


def _wish(given: dict[str, str]) -> Wish:
    wish = Wish()
    if "PEERS" in given:
        wish = replace(wish, peers=tuple(contenders.wanted(given["PEERS"])))
    rows = tuple(given.get("ROWS", "").split()) or wish.rows
    if unknown := set(rows) - set(wish.rows):
        raise click.ClickException(f"There is no row {min(unknown)}: the rows are {' '.join(wish.rows)}.")
    return replace(
        wish,
        rows=rows,
        rounds=int(given.get("ROUNDS") or wish.rounds),
        levels=tuple(int(each) for each in given.get("LEVEL", "").split()) or wish.levels,
    )


def _told(mode: str, wish: Wish, steps: int, markdown: bool) -> str:
    if mode == "step":
        return table.plain(profile_step.measured(wish.levels[0]), markdown)
    if mode == "growth":
        return table.plain(growth.measured(wish.levels[0], steps), markdown)
    return table.told(measure(wish), wish.order, goal_of(wish), markdown)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
