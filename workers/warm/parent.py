"""A warm parent: `parent.py <orders> <ready> <language> [<module> ...]`, the first two being descriptors.

It loads what it shall have, says so, and forks children that wait for an order, one ahead, each with the program to be
of a run like the last one. The child that takes an order becomes the launcher of a run. With the order comes one end of
a line, whose other end the worker holds: on it the launcher says that it has the run, and how the run ended; its end
alone says that there is no such launcher.
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
from workers.confinement.pair import Pair
from workers.confinement.program import Program
from workers.warm import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

WAITING_SECONDS = 60.0  # after which a pair is made anew, as what it saw of the machine may have changed


def main() -> None:
    """Only a run's program comes back from it, as what turns the process into one: with no launcher around it."""
    orders, ready = map(int, sys.argv[1:3])
    end_with(os.getppid())
    language = import_module(f"workers.warm.{sys.argv[3]}")
    sys.path[0] = os.devnull  # until a run has its own there
    launcher.rehearse()
    language.load(sys.argv[4:])
    gc.collect()
    gc.freeze()
    os.write(ready, b"ready")
    os.close(ready)
    if become := next_child(socket.socket(fileno=orders), language.Program):
        become()
        language.run()
    os._exit(0)


def next_child(orders: socket.socket, kind: type[Program]) -> Callable[[], None] | None:
    """One after another, for a run like the last one: when that leaves room, or somebody waits, or it has died."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # they are buried by themselves
    common = None
    while True:
        waiting, free = os.pipe()
        if os.fork() == 0:
            return launch(orders, kind, free, common)
        os.close(free)
        if told := os.read(waiting, words.LONGEST):
            common = json.loads(told)
            words.await_any(waiting, orders.fileno())
        os.close(waiting)


def launch(
    orders: socket.socket, kind: type[Program], free: int, common: dict[str, Any] | None
) -> Callable[[], None] | None:
    """Take an order and see to it, as the launcher of its run, which outlives its parent."""
    end_with(os.getppid())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    launcher.settle(orders.fileno(), free)
    pair = made(common, kind)
    if pair and pair.fork():
        orders.detach()
        return pair.become
    try:
        order, line = words.wanted(orders, WAITING_SECONDS)
    except (EOFError, TimeoutError):
        if pair:
            pair.dismiss()
        os._exit(0)
    prctl(PR_SET_PDEATHSIG, 0)
    os.close(orders.detach())
    secrets = json.loads(words.rest(line)) if order["secrets"] else {}
    launcher.enter(order["space"])
    return launcher.mind(launcher.Order(secrets, order["until"], order["inside"], line, free), pair, kind)


def made(common: dict[str, Any] | None, kind: type[Program]) -> Pair | None:
    """A pair for such runs. What keeps it from being made is told of the run for which it is tried again."""
    try:
        return Pair(common, kind) if common else None
    except OSError:
        return None


if __name__ == "__main__":
    main()
