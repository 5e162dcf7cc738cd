"""The two small jobs that teach: counting words, and Fibonacci numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .running import run_command, run_python, succeed


def test_it_counts_lines_words_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "1.txt").write_text("one two\nthree\n")

    counts = succeed(run_command("word_count/count.sh", tmp_path, I1="1.txt"))

    assert counts.split() == ["2", "3", "14", "1.txt"]


@pytest.mark.parametrize(("n", "last"), [(0, 0), (1, 1), (30, 832040), (90, 2880067194370816120)])
def test_it_lists_the_fibonacci_numbers_up_to_the_one_asked_for(n: int, last: int, tmp_path: Path) -> None:
    succeed(run_python("fibonacci/fibonacci.py", tmp_path, {}, {".json": tmp_path / "1.json"}, n=n))

    written = json.loads((tmp_path / "1.json").read_text())
    assert written["n"] == n
    assert (len(written["numbers"]), written["numbers"][-1]) == (n + 1, last)
