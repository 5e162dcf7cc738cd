"""A warm parent: `parent.py <orders> <ready> <language> [<module> ...]`, the first two being descriptors.

It loads what it shall have, says so, and forks children that wait for an order, one at least, each with the program to
be of a run like the last one. The child that takes an order becomes the launcher of a run. With the order comes one end
of a line, whose other end the worker holds: on it the launcher says that it has the run, and how the run ended; its end
alone says that there is no such launcher. A launcher whose programs are no forks of it waits for another order then.
"""

# ruff: noqa: E402
from __future__ import annotations

import gc
import json
import os
import signal
import socket
import struct
import sys
import time
from importlib import import_module

sys.path[0] = os.path.dirname(os.path.dirname(sys.path[0]))

from workers import launcher
from workers.confinement.cages import LEVELS, is_wrapped
from workers.confinement.kernel import PR_SET_PDEATHSIG, end_with, prctl
from workers.confinement.program import Program
from workers.confinement.spawn import Spawn
from workers.confinement.twin import OfTwin, Twin
from workers.warm import pages, rehearsal, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from workers.launcher import Become, Ready

WAITING_SECONDS = 60  # after which a launcher is made anew, as what it saw of the machine may have changed
WAITS = b"waits"  # what a launcher tells its parent; what it has ready for a run, it tells when it has taken one


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
    pages.gather()
    if become := language.Program and rehearsal.learn(language):
        become()
        language.run()
    os.write(ready, b"ready")
    os.close(ready)
    if become := Launchers(socket.socket(fileno=orders), language.Program).next():
        become()
        language.run()
    os._exit(0)


class Launchers:
    """A parent's children, by what each last told: that it waits, has taken a run, or that this leaves room.

    Another is made when none waits: once all leave room, or when somebody waits for it.
    """

    def __init__(self, orders: socket.socket, kind: type[Program] | None) -> None:
        self.orders, self.kind = orders, kind
        self.told: dict[int, bytes] = {}
        self.common: dict[str, Any] | None = None

    def next(self) -> Become | None:
        """Only in a child, when it has nothing more to do, or becomes a run's program."""
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # they are buried by themselves
        patience = struct.pack("@qq", WAITING_SECONDS, 0)
        self.orders.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
        while True:
            if self.is_wanted():
                hearing, telling = (each.detach() for each in socket.socketpair(type=socket.SOCK_SEQPACKET))
                if os.fork() == 0:
                    return launch(self.orders, telling, self.kind, self.common)
                os.close(telling)
                self.told[hearing] = WAITS
            self.listen()

    def is_wanted(self) -> bool:
        if WAITS in self.told.values():
            return False
        return set(self.told.values()) <= {launcher.ROOM} or words.can_be_read(self.orders.fileno())

    def listen(self) -> None:
        others = () if WAITS in self.told.values() else (self.orders.fileno(),)
        words.await_any(*self.told, *others)
        for each in filter(words.can_be_read, list(self.told)):
            try:
                self.hear(each, os.read(each, words.LONGEST))
            except ConnectionError:
                self.forget(each)

    def hear(self, child: int, said: bytes) -> None:
        """Raises ConnectionError when there is no such child any more."""
        if not said:
            raise ConnectionResetError
        self.told[child] = said
        if said == WAITS:
            with words.way(child) as way:
                words.say(way, "orders", self.orders.fileno())
        elif said != launcher.ROOM:
            self.common = json.loads(said)

    def forget(self, child: int) -> None:
        os.close(child)
        del self.told[child]


def launch(
    orders: socket.socket, telling: int, kind: type[Program] | None, common: dict[str, Any] | None
) -> Become | None:
    """Take an order and see to it, as the launcher of its run, which outlives its parent; one after another, if it may.

    Who minds a run does not listen for orders, so that they are heard to be nobody's when their parent is dead. It does
    again when it is ready: an order that comes before then is better off with another one.
    """
    parent = os.getppid()
    end_with(parent)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    launcher.settle(orders.fileno(), telling)
    twin = Twin() if common and not (is_spawned(common, kind) or is_wrapped(common)) else None
    if twin and twin.pid == 0:
        orders.detach()
        return twin.serve(kind or Program)
    make = Maker(kind, twin)
    while True:
        ready = make.ahead(common)
        if become := ready and ready.fork():
            orders.detach()
            return become
        if orders.fileno() < 0:
            orders = again(telling)
        order = taken(orders, telling, ready)
        launcher.enter(order.space)
        if (become := launcher.mind(order, ready, make)) or not (order.is_over and make.may_go_on(order.common)):
            return become
        launcher.leave()
        end_with(parent)
        common = order.common


def taken(orders: socket.socket, telling: int, ready: Ready | None) -> launcher.Order:
    """The next order; without one, there is no launcher any more."""
    try:
        order, line = words.wanted(orders)
    except (EOFError, TimeoutError):
        if ready:
            ready.dismiss()
        os._exit(0)
    prctl(PR_SET_PDEATHSIG, 0)
    os.close(orders.detach())
    secrets = json.loads(words.rest(line)) if order["secrets"] else {}
    given = launcher.Order(order["space"], secrets, order["until"], line, telling)
    given.held, given.inside = order["held"], order["inside"]
    return given


def again(telling: int) -> socket.socket:
    """Where orders come from, as the parent gives it to whoever waits. Without a parent, there is no launcher."""
    launcher.say(telling, WAITS)
    try:
        with words.way(telling) as way:
            _, (orders,) = words.hear(way)
    except EOFError:
        os._exit(0)
    return socket.socket(fileno=orders)


class Maker:
    """Makes what is to be ready for a run: the thread that starts it, or the program to be, which a twin forks.

    A twin that is made for a run knows it, and what the launcher forks itself knows all that the launcher does: such a
    launcher minds no other run. `kind`: what the program is if it runs in the fork itself; None, if it never does.
    """

    def __init__(self, kind: type[Program] | None, twin: Twin | None) -> None:
        self.kind, self.twin = kind, twin
        self.made = time.monotonic()
        self.knows_runs = False

    def __call__(self, common: dict[str, Any]) -> Ready:
        """Raises NotMade, OSError."""
        if self.twin:
            return self.of_twin(common, self.twin)
        if is_spawned(common, self.kind):
            return Spawn(common)
        if self.knows_runs:
            raise launcher.NotMade
        return launcher.ready(common, self.kind or Program)

    def of_twin(self, common: dict[str, Any], twin: Twin) -> Ready:
        """Whatever else the launcher started, it would take the twin for a part of that run."""
        if is_spawned(common, self.kind) or is_wrapped(common) or not twin.suits(common):
            raise launcher.NotMade
        return OfTwin(common, self.kind or Program, twin)

    def may_go_on(self, common: dict[str, Any]) -> bool:
        """After such a run, with another one."""
        self.knows_runs = True
        return self.knows_apart(common) and self.sees_the_machine()

    def knows_apart(self, common: dict[str, Any]) -> bool:
        """Whether nothing that the launcher knows of such a run comes to another one's program."""
        return not self.twin.is_spent if self.twin else is_spawned(common, self.kind)

    def sees_the_machine(self) -> bool:
        """Whether what was opened or shown of it for all runs cannot have changed for long."""
        return time.monotonic() - self.made < WAITING_SECONDS

    def ahead(self, common: dict[str, Any] | None) -> Ready | None:
        """For runs like the last one. What keeps it from being made is told of the run for which it is tried again."""
        try:
            return self(common) if common else None
        except (OSError, launcher.NotMade):
            return None


def is_spawned(common: dict[str, Any], kind: type[Program] | None) -> bool:
    return kind is None and not LEVELS[common["level"]].walled


if __name__ == "__main__":
    main()
