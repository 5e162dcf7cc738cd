"""What the rows consist of: the same work for whoever does it, by hand, by a peer or by the portal."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

SIZE = 1000  # bytes of the file that goes through a chain
FIB = "def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n\n\nprint(fib({}))\n"
PYTHON = {
    "a": FIB.format(10),
    "b": FIB.format(33),
    "e1": "import numpy\n\nprint(numpy.arange(10).sum())\n",
    "e2": "import numpy\nimport scipy.stats\n\nprint(scipy.stats.norm.cdf(numpy.arange(10) / 10).sum())\n",
}
PRELOADED = {"e1": "import numpy", "e2": "import numpy, scipy.stats"}
STARTS = {"e1": 5, "e2": 5, "f": 5}  # so many are enough where an interpreter is started for each
R = "cat(mean(c(1, 2, 4)), '\\n')\n"
COPY = "cat {} > {}"


@dataclass(frozen=True)
class Place:
    """What a peer may use: an empty database and broker of its own, a directory, and how many workers it may have.

    `python` is the interpreter that has numpy and scipy.
    """

    directory: Path
    database: str
    broker: str
    python: str
    workers: int


def fib(number: int) -> int:
    return number if number < 2 else fib(number - 1) + fib(number - 2)


def prepare(directory: Path, row: str, count: int) -> Path:
    """The directory of a row with the files that it begins with."""
    where = directory / f"{row}{os.urandom(4).hex()}"
    where.mkdir(parents=True)
    for number in range(count if row == "d" else 1):
        (where / str(number)).write_bytes(b"x" * SIZE)
    return where


def do(row: str, number: int, where: str, python: str) -> None:
    """One step of a row, as a task of a peer does it: Python is called as a function, a program is started.

    A step that needs numpy or R starts an interpreter that has it.
    """
    if row in ("a", "b"):
        fib(10 if row == "a" else 33)
    elif row in PYTHON:
        subprocess.run([python, "-c", PYTHON[row]], check=True, stdout=subprocess.DEVNULL)
    elif row == "f":
        subprocess.run(["Rscript", "-e", R], check=True, stdout=subprocess.DEVNULL)
    else:
        target = f"{number}.out" if row == "d" else str(number + 1)
        subprocess.run(["sh", "-c", COPY.format(number, target)], check=True, cwd=where)
