"""No warm start and no records: an interpreter is started for each Python or R step, one after another."""

from __future__ import annotations

import shutil
import subprocess
import time

from . import works

FEWER = works.STARTS
place: works.Place


def ready(given: works.Place) -> None:
    global place
    place = given


def run(row: str, count: int) -> float:
    where = works.prepare(place.directory, row, count)
    words = ["Rscript", "-e", works.R] if row == "f" else [place.python, "-c", works.PYTHON[row]]
    begun = time.perf_counter()
    for _ in range(count):
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=where)
    took = time.perf_counter() - begun
    shutil.rmtree(where)
    return took
