"""Python code, run as a program of its own by a small driver that hands it its values as data."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from portal.domain.parameters import Kind
from portal.domain.work import Work
from workers import open_files
from workers.installed import homes

LABEL = "Python"
EDITOR = "python"
PLACE = 'params["{name}"]'
HINT = (
    "The code finds inputs (path by ending: inputs['.csv']), outputs (the path to write, by ending) and params (typed "
    "values by name). Code of the first system finds its names, too: I1 and O1 as open files, P1 as {flag: value}. It "
    "runs in a directory of its own; any file in it that matches an output ending is kept."
)
ADDRESS_ROOM = 8_000_000_000  # libraries with a thread per processor reserve much and use little
DRIVER = Path(__file__).parent / "drivers" / "driver.py"


def unavailable(options: Mapping[str, str]) -> str | None:
    interpreter = _interpreter(options)
    return None if shutil.which(interpreter) else f"the interpreter {interpreter} is not installed on this machine."


def readable(options: Mapping[str, str]) -> list[str]:
    return homes(_interpreter(options))


def prepare(work: Work, space: Path) -> list[str]:
    (space / "task.py").write_text(work.code, "utf-8")
    values = {"names": _values(work) | _numbered(work), "files": open_files.named(work, space)}
    (space / "values.json").write_text(json.dumps(values), "utf-8")
    shutil.copyfile(DRIVER, space / "driver.py")
    return [_interpreter(work.placement.options), "-s", "-u", str(space / "driver.py")]


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
