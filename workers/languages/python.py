"""Python code, run as a program of its own by a small driver that hands it its values as data."""

from __future__ import annotations

import ast
import json
import shutil
import sys
from collections.abc import Mapping, Sequence, Set
from functools import lru_cache
from pathlib import Path

from portal.domain.parameters import Kind
from portal.domain.work import Work
from portal.settings import settings
from workers import open_files
from workers.installed import homes
from workers.languages import write

LABEL = "Python"
EDITOR = "python"
PLACE = 'params["{name}"]'
HINT = (
    "The code finds inputs (path by ending: inputs['.csv']), outputs (the path to write, by ending) and params (typed "
    "values by name). Code of the first system finds its names, too: I1 and O1 as open files, P1 as {flag: value}. It "
    "runs in a directory of its own; any file in it that matches an output ending is kept."
)
ADDRESS_ROOM = 8_000_000_000  # libraries with a thread per processor reserve much and use little
PRELOAD = "preload"  # the option of a backend with an interpreter of its own: the modules that its warm parent has
READ_AT_START = ("PYTHON", "LANG", "LC_", "TZ", "LD_", "MALLOC_", "OMP_", "OPENBLAS_", "MKL_", "NPY_", "NUMEXPR_")
KNOWN = 64  # tasks
DRIVER = Path(__file__).parent / "drivers" / "driver.py"
ITS_CODE = DRIVER.read_text("utf-8").rpartition("\n# ")[0]  # all but the line with a run's values


def unavailable(options: Mapping[str, str]) -> str | None:
    interpreter = _interpreter(options)
    return None if shutil.which(interpreter) else f"the interpreter {interpreter} is not installed on this machine."


def readable(options: Mapping[str, str]) -> list[str]:
    return homes(_interpreter(options))


def prepare(work: Work, space: Path) -> list[str]:
    write(f"{space}/task.py", work.code)
    return [_interpreter(work.placement.options), "-s", "-u", _driver(work, space)]


def tell_of_inputs(work: Work, space: Path) -> None:
    if open_files.names_inputs(work):
        _driver(work, space)


def _driver(work: Work, space: Path) -> str:
    """With the values of the run."""
    driver = f"{space}/driver.py"
    values = {"names": _values(work) | _numbered(work), "files": open_files.named(work, space)}
    write(driver, f"{ITS_CODE}\n# {json.dumps(values)}\n")
    return driver


def warm(work: Work) -> tuple[str, ...] | None:
    """The leanest parent that has what the code imports; with a backend's own interpreter, what the backend lists."""
    options = work.placement.options
    if any(name.startswith(READ_AT_START) for name in (*work.variables, *work.secrets)):
        return None
    if "python" in options:
        return (options["python"], "python", *options[PRELOAD].split()) if options.get(PRELOAD) else None
    return (sys.executable, "python", *_leanest(_imported(work.code), settings().warm_modules))


def usual() -> list[tuple[str, ...]]:
    return [(sys.executable, "python", *modules) for modules in settings().warm_modules]


def _leanest(imported: Set[str], sets: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Of the sets that have most of it."""
    return max(sets, key=lambda each: len(imported & {name.partition(".")[0] for name in each}))


@lru_cache(KNOWN)
def _imported(code: str) -> frozenset[str]:
    """The packages that the code names in its imports."""
    try:
        found = list(ast.walk(ast.parse(code)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    names = [alias.name for each in found if isinstance(each, ast.Import) for alias in each.names]
    names += [each.module for each in found if isinstance(each, ast.ImportFrom) and each.module]
    return frozenset(name.partition(".")[0] for name in names)


def _interpreter(options: Mapping[str, str]) -> str:
    """The backend's own interpreter, or the portal's, which has numpy and scipy."""
    return options.get("python") or sys.executable


def _values(work: Work) -> dict[str, object]:
    return {
        "inputs": {ending: work.file(ending) for ending in work.inputs},
        "outputs": {ending: work.output(ending) for ending in work.outputs},
        "params": {argument.name: work.value(argument) for argument in work.arguments},
    }


def _numbered(work: Work) -> dict[str, object]:
    """P1, P2 ... as the first system's code has them: {flag: text}, or of a boolean whether it is on."""
    return {
        f"P{number}": bool(each.value) if each.kind is Kind.BOOLEAN else {each.flag: work.text(each)}
        for number, each in enumerate(work.flagged(), 1)
    }
