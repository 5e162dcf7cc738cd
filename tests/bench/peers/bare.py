"""The bare limit: one small process that starts each step by itself and records nothing.

A shell step has a directory that the file is brought to and taken from. A Python or R step is a fork of a process that
has loaded already what the step needs: nothing that runs it in a process of its own can be faster.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from . import works

MANY_FORKS = """\
import sys, time
{preloaded}
code, count, log = compile(sys.argv[1], "step", "exec"), int(sys.argv[2]), sys.argv[3]
import os
begun = time.perf_counter()
for number in range(count):
    child = os.fork()
    if child == 0:
        sys.stdout = open(log, "w")
        exec(code, {{"__name__": "__main__"}})
        sys.stdout.flush()
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit("a step failed")
print(time.perf_counter() - begun)
"""
MANY_R_FORKS = """\
work <- function() {{ {code} }}
begun <- proc.time()[[3]]
for (number in 1:{count}) invisible(parallel::mccollect(parallel::mcparallel(capture.output(work()))))
cat(proc.time()[[3]] - begun)
"""

WALLS = ["bwrap", "--unshare-all", "--die-with-parent", "--bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]

place: works.Place


def ready(given: works.Place) -> None:
    global place
    place = given


def run(row: str, count: int) -> float:
    where = works.prepare(place.directory, row, count)
    try:
        if row in works.PYTHON:
            return _python(row, count, where)
        if row == "f":
            code = MANY_R_FORKS.format(code=works.R.strip(), count=count)
            return float(subprocess.run(["Rscript", "-e", code], check=True, capture_output=True).stdout)
        return _shell(row, count, where)
    finally:
        shutil.rmtree(where)


def _python(row: str, count: int, where: Path) -> float:
    program = MANY_FORKS.format(preloaded=works.PRELOADED.get(row, ""))
    words = [sys.executable, "-c", program, works.PYTHON[row], str(count), str(where / "log")]
    return float(subprocess.run(words, check=True, capture_output=True).stdout)


def _shell(row: str, count: int, where: Path) -> float:
    begun = time.perf_counter()
    content = (where / "0").read_bytes()
    walls = WALLS if row == "w" else []
    for number in range(count):
        content = _step(where / f"step{number}", walls, where / "0" if row == "d" else None, content)
    return time.perf_counter() - begun


def _step(directory: Path, walls: list[str], given: Path | None, content: bytes) -> bytes:
    """What a shell step gives for a file, or for what the step before gave."""
    directory.mkdir()
    if given:
        shutil.copyfile(given, directory / "in")
    else:
        (directory / "in").write_bytes(content)
    words = [*walls, "/bin/sh", "-c", works.COPY.format(directory / "in", directory / "out")]
    _, status = os.waitpid(os.posix_spawnp(words[0], words, os.environ), 0)
    if status:
        raise RuntimeError("a step failed")
    made = (directory / "out").read_bytes()
    for file in ("in", "out"):
        (directory / file).unlink()
    directory.rmdir()
    return made
