"""The first process of a run's own namespaces: it starts the program, buries the dead, and tells how the program ended.

The launcher hears of that by a pipe, for an exit status from within does not tell a signal from a status. When nothing
else is alive any more it ends. Nothing that the program does can end it sooner, or change what it tells: no signal from
inside reaches it, and its memory and pipes are closed to all.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys

from workers.confinement.kernel import PR_SET_DUMPABLE, close_all_but, prctl, reset_signals
from workers.confinement.program import Program, set_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

PROCESSES = 256
INSIDE = b"inside\n"


def main() -> None:
    described, hearing, telling, status = map(int, sys.argv[1:])
    with open(described, encoding="utf-8") as description:
        program = Program(json.load(description), hearing)
    for each in (hearing, telling, status):
        os.set_inheritable(each, False)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    hide()
    if started := start():
        see_out(started, status)
    become(program, telling)


def start() -> int:
    """The program's own process, in which it is 0."""
    started = os.fork()
    if started == 0:
        os.setsid()
        reset_signals()
    return started


def become(program: Program, telling: int) -> None:
    prctl(PR_SET_DUMPABLE, 1)  # a fork's memory is its own again, as a new program's is
    program.become(telling, lambda: set_limit(resource.RLIMIT_NPROC, PROCESSES))


def hide() -> None:
    """From here on nobody inside sees into this process."""
    prctl(PR_SET_DUMPABLE, 0)


def see_out(program: int, status: int) -> NoReturn:
    os.write(status, INSIDE)
    close_all_but(status)
    for stream in (1, 2):
        os.dup2(0, stream)
    _bury(program, status)
    os._exit(0)


def _bury(program: int, status: int) -> None:
    while True:
        try:
            pid, ended = os.wait()
        except ChildProcessError:
            return
        if pid == program:
            os.write(status, f"{ended}\n".encode())
