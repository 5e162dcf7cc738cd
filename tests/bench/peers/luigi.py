"""Luigi with its central scheduler: a task for each step, whose marker file says that it was done."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import luigi

from . import works

FEWER = works.STARTS
place: works.Place
port = 0


class Step(luigi.Task):
    """One step; of a chain it comes after the one before it."""

    row = luigi.Parameter()
    number = luigi.IntParameter()
    where = luigi.Parameter()

    def requires(self) -> Iterator[luigi.Task]:
        if self.row != "d" and self.number:
            yield Step(self.row, self.number - 1, self.where)

    def output(self) -> luigi.LocalTarget:
        return luigi.LocalTarget(f"{self.where}/{self.number}.done")

    def run(self) -> None:
        works.do(self.row, self.number, self.where, place.python)
        Path(self.output().path).touch()


def ready(given: works.Place) -> None:
    global place, port
    place = given
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = Path(sys.executable).with_name("luigid")
    words = ["--address", "127.0.0.1", "--port", str(port), "--state-path", str(given.directory / "luigi.state")]
    subprocess.Popen([program, *words], stdin=subprocess.DEVNULL, cwd=given.directory)
    while not _listens():
        time.sleep(0.1)
    os.environ["no_proxy"] = "*"


def _listens() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def run(row: str, count: int) -> float:
    where = str(works.prepare(place.directory, row, count))
    last = range(count) if row == "d" else [count - 1]
    begun = time.perf_counter()
    done = luigi.build(
        [Step(row, number, where) for number in last],
        workers=place.workers if row == "d" else 1,
        scheduler_host="127.0.0.1", scheduler_port=port, log_level="ERROR",
    )  # fmt: skip
    took = time.perf_counter() - begun
    if not done:
        raise RuntimeError("Luigi did not do it")
    return took
