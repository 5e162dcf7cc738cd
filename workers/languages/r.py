"""R code, run by Rscript through a small driver that hands it its values as data."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from portal.domain.parameters import Value
from portal.domain.work import Work

LABEL = "R"
EDITOR = "r"
PLACE = "params${word}"
HINT = (
    "The code finds inputs (path by ending: inputs[['.csv']]), outputs (the path to write, by ending) and params "
    "(typed values by name: params$alpha). It runs in a directory of its own; any file in it that matches an output "
    "ending is kept."
)
DRIVER = Path(__file__).parent / "drivers" / "driver.R"


def unavailable(options: Mapping[str, str]) -> str | None:
    program = _program(options)
    if shutil.which(program):
        return None
    return f"{program} is not installed on this machine; on Debian, apt-get install r-base-core brings it."


def prepare(work: Work, space: Path) -> list[str]:
    (space / "task.R").write_text(work.code.replace("\r", ""), "utf-8")
    (space / "values.tsv").write_text("".join(_lines(work)), "ascii")
    shutil.copyfile(DRIVER, space / "driver.R")
    return [_program(work.placement.options), "--vanilla", str(space / "driver.R"), str(space)]


def _program(options: Mapping[str, str]) -> str:
    return options.get("rscript") or "Rscript"


def _lines(work: Work) -> Iterator[str]:
    """One value a line: which list, name, type and the value itself, percent-encoded."""
    for ending in work.inputs:
        yield _line("inputs", ending, "text", work.file(ending))
    for ending in work.outputs:
        yield _line("outputs", ending, "text", work.output(ending))
    for argument in work.arguments:
        yield _line("params", argument.name, *_spelt(argument.value))


def _line(section: str, name: str, kind: str, text: str) -> str:
    return "\t".join((section, quote(name, safe=""), kind, quote(text, safe=""), ".")) + "\n"


def _spelt(value: Value) -> tuple[str, str]:
    """A value's R type and its text; a number as a hexadecimal float, which R reads without rounding."""
    if isinstance(value, bool):
        return "logical", str(value).upper()
    if isinstance(value, int):
        return ("integer" if abs(value) < 2**31 else "numeric"), str(value)
    return ("numeric", value.hex()) if isinstance(value, float) else ("text", value)
