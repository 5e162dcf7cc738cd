"""What more worker processes bring, and what a job of many steps costs: side by side, and one after another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import click

from tests.bench import jobs, portal
from tests.bench.contenders import Failed
from tests.bench.portal import Portal
from tests.bench.rows import Book
from tests.bench.run import Stage

WORKERS = (1, 2, 4, 8)
JOBS = 200
STEPS = 500
HEAD = ["growth", "seconds", "per second"]


def measured(level: int, steps: int) -> list[list[str]]:
    return [HEAD, *(_throughput(level, workers) for workers in WORKERS), *_many_steps(level, steps)]


def _throughput(level: int, workers: int) -> list[str]:
    with _alone(level, workers) as asked:
        done = asked.many("bench_d", JOBS)
        noun = "process" if workers == 1 else "processes"
        return _line(f"{JOBS} jobs of one step, {workers} worker {noun}", done.seconds, done.count)


def _many_steps(level: int, steps: int) -> Iterator[list[str]]:
    with _alone(level, None) as asked:
        try:
            asked.load(jobs.growth(steps), "growth")
        except Failed as refused:
            click.echo(str(refused), err=True)
            yield [f"jobs of {steps} steps are refused", "", ""]
            return
        for job, title in (("bench_wide", f"{steps} steps side by side"), ("bench_chain", f"a chain of {steps} steps")):
            done = asked.one(job, steps)
            yield _line(title, done.seconds, done.count)


@contextmanager
def _alone(level: int, workers: int | None) -> Iterator[Portal]:
    """A portal with nothing else beside it."""
    with ExitStack() as stack:
        stage = Stage(stack, Book())
        asked = stage.portal(level, workers or stage.workers)
        portal.ready(asked, {})
        yield asked


def _line(title: str, seconds: float, count: int) -> list[str]:
    return [title, f"{seconds:.1f}", f"{count / seconds:.1f}"]
