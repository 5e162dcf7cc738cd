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

from workers.confinement.kernel import PR_SET_DUMPABLE, prctl
from workers.confinement.program import Program, set_limit

PROCESSES = 256
INSIDE = b"inside\n"


def main() -> None:
    described, telling, status = map(int, sys.argv[1:])
    with open(described, encoding="utf-8") as description:
        program = Program(json.load(description))
    for each in (telling, status):
        os.set_inheritable(each, False)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    hold(program, telling, status)


def hold(program: Program, telling: int, status: int) -> None:
    """Start the program and see it out; only the program's own process comes back, if it is no fresh one."""
    prctl(PR_SET_DUMPABLE, 0)
    os.write(status, INSIDE)
    started = os.fork()
    if started == 0:
        prctl(PR_SET_DUMPABLE, 1)  # a fork's memory is its own again, as a new program's is
        program.become(telling, lambda: set_limit(resource.RLIMIT_NPROC, PROCESSES))
        return
    os.close(telling)
    for stream in (1, 2):
        os.dup2(0, stream)
    _bury(started, status)
    os._exit(0)


def _bury(program: int, status: int) -> None:
    while True:
        try:
            pid, ended = os.wait()
        except ChildProcessError:
            return
        if pid == program:
            os.write(status, f"{ended}\n".encode())
