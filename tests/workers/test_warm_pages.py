"""What a warm parent knows of its memory: which pages its runs write to, learnt from one run that is its own."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, PAGESIZE, mmap
from pathlib import Path

import pytest

from workers.warm import pages

PAGES = 8
WRITTEN = (1, 2, 5)
LEARNING = """
import os, sys
sys.path.insert(0, {root!r})
from workers import launcher
from workers.warm import pages, {language} as language, rehearsal
launcher.rehearse()
language.load([])
if become := rehearsal.learn(language):
    become()
    language.run()
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("alone", len(os.listdir("/proc/self/fd")), sum(count for _, count in pages.expected) > 50)
"""


@pytest.fixture
def memory() -> Iterator[mmap]:
    with mmap(-1, PAGES * PAGESIZE, flags=MAP_PRIVATE | MAP_ANONYMOUS) as found:
        found.write(b"x" * len(found))
        yield found


@pytest.fixture
def expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "expected", [])


def test_it_knows_what_a_fork_has_written_to(memory: mmap) -> None:
    with a_fork(lambda: write(memory)) as fork:
        found = own(fork, memory)

    assert found == set(WRITTEN)


def test_a_fork_has_what_it_is_expected_to_write_to_before_it_does(memory: mmap, expected: None) -> None:
    with a_fork(lambda: write(memory)) as fork:
        pages.expect(pages.written(fork))
    with a_fork(pages.copy) as fork:
        found = own(fork, memory)

    assert found in (set(WRITTEN), set())  # of kernels that do not know how
    assert memory[:] == b"x" * len(memory)


@pytest.mark.parametrize("language", ["python", "r"])
def test_it_learns_from_a_run_that_leaves_nothing(tmp_path: Path, language: str) -> None:
    root = str(Path(pages.__file__).parents[2])
    code = LEARNING.format(root=root, language=language)
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TMPDIR": str(tmp_path)}
    words = [sys.executable, "-s", "-c", code]
    told = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)

    assert told.stdout.split()[::2] == ["alone", "True"]
    assert list(tmp_path.iterdir()) == []


def write(memory: mmap) -> None:
    for page in WRITTEN:
        memory[page * PAGESIZE] = ord("x")


@contextmanager
def a_fork(does: Callable[[], None]) -> Iterator[int]:
    """One that has done it, and waits to be ended."""
    hearing, telling = os.pipe()
    fork = os.fork()
    if fork == 0:
        does()
        os.write(telling, b"done")
        signal.pause()
        os._exit(1)
    try:
        os.read(hearing, 4)
        yield fork
    finally:
        os.kill(fork, signal.SIGKILL)
        os.waitpid(fork, 0)
        os.close(hearing)
        os.close(telling)


def own(fork: int, memory: mmap) -> set[int]:
    """The numbers of the pages that the fork has of its own."""
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    places = range(start, start + len(memory), PAGESIZE)
    found = pages.written(fork)
    return {number for number, place in enumerate(places) if any(at <= place < at + count for at, count in found)}
