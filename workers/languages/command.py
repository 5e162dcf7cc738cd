"""A command, or several lines of them, for sh. A value is always one word, never syntax."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from portal.domain import command
from portal.domain.work import Work, bindings
from workers.confinement.program import LIMITS
from workers.languages import write

LABEL = "Command"
EDITOR = "shell"
PLACE = "$P{number}"
HINT = (
    "Write it as for sh; pipes, several lines and redirections work. $I1, $I2 are the input files and $O1, $O2 the "
    "output files, in the order of their endings; $P1, $P2 the parameters with their flags; $VALUE the parameter whose "
    "flag is VALUE; $ID the run's identity, $TMP the directory above the working directory."
)
SHELL = "/bin/sh"
WARM = (sys.executable, "command")
LIMITED = f'eval "${{{LIMITS}-}}"; unset {LIMITS}\n'  # who starts it may leave its limits to itself


def unavailable(options: Mapping[str, str]) -> str | None:
    return None if Path(SHELL).exists() else f"{SHELL} is missing on this machine."


def warm(work: Work) -> tuple[str, ...] | None:
    return WARM


def usual() -> list[tuple[str, ...]]:
    return [WARM]


def prepare(work: Work, space: Path) -> list[str]:
    script = f"{space}/task.sh"
    write(script, LIMITED + command.script(work.code, bindings(work, str(space / "tmp"))))
    return [SHELL, script]
