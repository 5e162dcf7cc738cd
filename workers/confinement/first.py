"""The first process of a namespace of processes, which buries the dead. With it all others end.

Within bubblewrap it starts the program and tells how that ended, by a pipe, for an exit status from within does not
tell a signal from a status; when nothing else is alive any more it ends. Behind a twin's walls it stays for the next
program, and tells whenever all that one left is buried. Nothing that a program does can end it sooner, or change
what it tells: no signal from inside reaches it, and its memory and pipes are closed to all.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
from contextlib import suppress

from workers.confinement.kernel import PR_SET_DUMPABLE, PR_SET_PDEATHSIG, close_all_but, prctl, reset_signals
from workers.confinement.program import Program, set_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

PROCESSES = 256
INSIDE = b"inside\n"
WORD = b"w"
BURY_MILLISECONDS = 250


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


def stay(hearing: int, telling: int, seal: Callable[[], None]) -> NoReturn:
    """As long as its parent, which is outside, and says there that a program has begun, and that it has ended. Signals
    wake it for nothing, so that no program keeps it busy."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    hide()
    seal()
    close_all_but(hearing, telling)
    poll = select.poll()
    poll.register(hearing, select.POLLIN)
    while os.read(hearing, len(WORD)):
        while not poll.poll(BURY_MILLISECONDS):
            _bury_all(os.WEXITED | os.WNOHANG)
        if os.read(hearing, len(WORD)):
            _bury_all(os.WEXITED)
            os.write(telling, WORD)
    os._exit(0)


def _bury_all(how: int) -> None:
    with suppress(ChildProcessError):
        while os.waitid(os.P_ALL, 0, how):
            continue


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
