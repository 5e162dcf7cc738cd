"""R code, run by Rscript through a small driver that hands it its values as data."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from portal.domain.parameters import Argument, Kind, Value
from portal.domain.work import Work
from portal.settings import settings
from workers import open_files
from workers.installed import homes
from workers.languages import write

LABEL = "R"
EDITOR = "r"
PLACE = "params${word}"
HINT = (
    "The code finds inputs (path by ending: inputs[['.csv']]), outputs (the path to write, by ending) and params "
    "(typed values by name: params$alpha). Code of the first system finds its names, too: I1 and O1 as open files, "
    "P1 as list(flag = value). It runs in a directory of its own; any file in it that matches an output ending is kept."
)
ADDRESS_ROOM = 8_000_000_000
RSCRIPT = "Rscript"
EMBEDDING = "_rinterface_cffi_abi"  # rpy2's way to R's library that was made without R
READ_AT_START = (
    "R_", "_R_", "HOME", "PATH", "LANG", "LC_", "TZ", "LD_", "MALLOC_", "OMP_", "OPENBLAS_", "GOTO_", "MKL_", "BLIS_",
    "GFORTRAN_", "JAVA_", "EDITOR", "VISUAL", "TEXI2DVI", "DVIPS", "LN_S", "COLUMNS", "DISPLAY", "TERM",
)  # fmt: skip
DRIVER = (Path(__file__).parent / "drivers" / "driver.R").read_text("utf-8")


def unavailable(options: Mapping[str, str]) -> str | None:
    program = _program(options)
    if shutil.which(program):
        return None
    return f"{program} is not installed on this machine; on Debian, apt-get install r-base-core brings it."


def readable(options: Mapping[str, str]) -> list[str]:
    return homes(_program(options))


def prepare(work: Work, space: Path) -> list[str]:
    write(f"{space}/task.R", work.code.replace("\r", ""))
    write(f"{space}/driver.R", DRIVER)
    _tell_values(work, space)
    return [_program(work.placement.options), "--vanilla", f"{space}/driver.R", str(space)]


def tell_of_inputs(work: Work, space: Path) -> None:
    if open_files.names_inputs(work):
        _tell_values(work, space)


def _tell_values(work: Work, space: Path) -> None:
    write(f"{space}/values.tsv", "".join(_lines(work, space)))


def warm(work: Work) -> tuple[str, ...] | None:
    """The machine's own R, where it is there and nothing given changes how R starts."""
    given = (*work.variables, *work.secrets)
    if work.placement.options.get("rscript") or any(name.startswith(READ_AT_START) for name in given):
        return None
    return next(iter(usual()), None)


def usual() -> list[tuple[str, ...]]:
    return [(sys.executable, "r", *settings().warm_packages)] if _can_be_embedded() else []


@cache
def _can_be_embedded() -> bool:
    return shutil.which(RSCRIPT) is not None and find_spec(EMBEDDING) is not None


def _program(options: Mapping[str, str]) -> str:
    return options.get("rscript") or RSCRIPT


def _lines(work: Work, space: Path) -> Iterator[str]:
    """One value a line: which list, name, type, the value itself and its flag, percent-encoded."""
    for ending in work.inputs:
        yield _line("inputs", ending, "text", work.file(ending))
    for ending in work.outputs:
        yield _line("outputs", ending, "text", work.output(ending))
    for argument in work.arguments:
        yield _line("params", argument.name, *_spelt(work.value(argument)))
    for name, (file, kind) in open_files.named(work, space).items():
        yield _line("files", name, kind, file)
    for number, each in enumerate(work.flagged(), 1):
        yield _numbered(f"P{number}", each, work.text(each))


def _numbered(name: str, argument: Argument, text: str) -> str:
    """P1 as the first system's code has it: list(flag = text), or of a boolean whether it is on."""
    if argument.kind is Kind.BOOLEAN:
        return _line("names", name, *_spelt(bool(argument.value)))
    return _line("names", name, "flagged", text, argument.flag)


def _line(section: str, name: str, kind: str, text: str, flag: str = "") -> str:
    return "\t".join((section, quote(name, safe=""), kind, quote(text, safe=""), f".{quote(flag, safe='')}")) + "\n"


def _spelt(value: Value) -> tuple[str, str]:
    """A value's R type and its text; a number as a hexadecimal float, which R reads without rounding."""
    if isinstance(value, bool):
        return "logical", str(value).upper()
    if isinstance(value, int):
        return ("integer" if abs(value) < 2**31 else "numeric"), str(value)
    if isinstance(value, float):
        return "numeric", value.hex()
    return ("nothing", "") if value is None else ("text", value)
