"""Runs one piece of example code by itself: with the names the portal would give it, without the portal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "portal" / "examples"
PENGUINS = EXAMPLES / "penguins.csv"

needs_r = pytest.mark.skipif(
    shutil.which("Rscript") is None and os.environ.get("CI") != "true",
    reason="R is not installed on this machine",
)

Done = subprocess.CompletedProcess[str]
Paths = dict[str, Path]

PYTHON = """
import json, sys
from pathlib import Path
code, names = sys.argv[1], json.loads(sys.argv[2])
exec(compile(Path(code).read_text(), code, "exec"), names)
"""


def run_python(code: str, directory: Path, inputs: Paths, outputs: Paths, **params: Any) -> Done:
    names = {"inputs": _texts(inputs), "outputs": _texts(outputs), "params": params}
    return _run([sys.executable, "-c", PYTHON, str(EXAMPLES / code), json.dumps(names)], directory)


def run_r(code: str, directory: Path, inputs: Paths, outputs: Paths, **params: Any) -> Done:
    given = {"inputs": _texts(inputs), "outputs": _texts(outputs), "params": params}
    prelude = [f"{name} <- {_r_list(values)}" for name, values in given.items()]
    (directory / "code.R").write_text("\n".join([*prelude, (EXAMPLES / code).read_text()]))
    return _run(["Rscript", "--vanilla", "code.R"], directory)


def run_command(code: str, directory: Path, **variables: str) -> Done:
    return _run(["sh", "-c", (EXAMPLES / code).read_text()], directory, variables)


def succeed(done: Done) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def _run(words: list[str], directory: Path, variables: dict[str, str] | None = None) -> Done:
    environment = {**os.environ, **(variables or {})}
    return subprocess.run(words, cwd=directory, env=environment, capture_output=True, text=True, timeout=120)


def _texts(paths: Paths) -> dict[str, str]:
    return {ending: str(path) for ending, path in paths.items()}


def _r_list(values: dict[str, Any]) -> str:
    items = (f"{json.dumps(name)} = {json.dumps(value)}" for name, value in values.items())
    return f"list({', '.join(items)})"
