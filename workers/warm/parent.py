"""A warm parent: `parent.py <orders> <ready> <language> [<module> ...]`, the first two being descriptors.

It loads what it shall have, says so, and forks children that wait for an order, always one ahead. The child that takes
one becomes the launcher of a run. With the order comes one end of a line, whose other end the worker holds: on it the
launcher says that it has the run, and how the run ended; its end alone says that there is no such launcher.
"""

# ruff: noqa: E402
from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
from importlib import import_module

sys.path[0] = os.path.dirname(os.path.dirname(sys.path[0]))

from workers import launcher
from workers.confinement.kernel import PR_SET_PDEATHSIG, end_with, prctl
from workers.confinement.program import Program
from workers.warm import environ, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LINE = 3  # the line's place in a launcher, which closes all that is beyond it


def main() -> None:
    """Only a run's program comes back from it, as what turns the process into one: with no launcher around it."""
    orders, ready = map(int, sys.argv[1:3])
    end_with(os.getppid())
    language = import_module(f"workers.warm.{sys.argv[3]}")
    sys.path[0] = os.devnull  # until a run has its own there
    language.load(sys.argv[4:])
    launcher.rehearse()
    gc.collect()
    gc.freeze()
    os.write(ready, b"ready")
    os.close(ready)
    if become := next_child(socket.socket(fileno=orders), language.Program):
        become()
        language.run()
    os._exit(0)


def next_child(orders: socket.socket, kind: type[Program]) -> Callable[[], None] | None:
    """One after another, each when the last has taken an order, or died over it."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # they are buried by themselves
    while True:
        waiting, free = os.pipe()
        if os.fork() == 0:
            return launch(orders, kind, free)
        os.close(free)
        os.read(waiting, 1)
        os.close(waiting)


def launch(orders: socket.socket, kind: type[Program], free: int) -> Callable[[], None] | None:
    """Take an order and see to it, as the launcher of its run, which outlives its parent."""
    end_with(os.getppid())
    try:
        order, line = words.wanted(orders)
    except EOFError:
        os._exit(0)
    orders.detach()
    os.close(free)
    prctl(PR_SET_PDEATHSIG, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    secrets = json.loads(words.rest(line) or "{}")
    environ.show(f"SPACE={order['space']}/")
    os.dup2(line, LINE, inheritable=False)
    launcher.settle(order["space"], LINE)
    return launcher.mind(secrets, order["until"], kind if order["inside"] else Program, LINE)


if __name__ == "__main__":
    main()
