"""How a worker gives a warm parent an order. No line, or no answer, means that it starts a launcher itself."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from workers.confinement.program import GO
from workers.warm import words
from workers.warm.nursery import Key

NURSERY = Path(__file__).with_name("nursery.py")
BARE: Key = (sys.executable, "python")
ANSWER_SECONDS = 1.0
START_SECONDS = 10.0
OFF_SECONDS = 1.0
AGAIN_SECONDS = 0.25
MOST_WAITING = 20  # launchers at one time, more or less

log = logging.getLogger(__name__)
_requests: socket.socket | None = None
_lines: dict[Key, socket.socket] = {}
_asked: dict[Key, float] = {}  # when a parent was asked for in vain


def open_nursery() -> None:
    """In a worker's main process, before its pool: a nursery for all of them, made anew when it dies."""
    global _requests
    _requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    _requests.settimeout(ANSWER_SECONDS)
    threading.Thread(target=_keep, args=(theirs,), name="nursery", daemon=True).start()


def _keep(requests: socket.socket) -> None:
    """It dies with this thread, which lives as long as its process."""
    while True:
        told = [sys.executable, "-I", "-S", str(NURSERY), str(requests.fileno())]
        ended = subprocess.Popen(
            told, pass_fds=(requests.fileno(),), env={"PATH": os.defpath}, cwd="/", stdin=subprocess.DEVNULL
        ).wait()
        log.warning("the nursery of warm interpreters ended (%s) and is started again", ended)
        time.sleep(AGAIN_SECONDS)


def ordered(key: Key, space: Path, until: float, inside: bool, secrets: Mapping[str, str]) -> socket.socket | None:
    """Where a parent's child, which has become the launcher of the run that is described there, will tell its end.

    `inside`: it runs the program in itself; else it starts the program as any launcher does. A launcher that is not
    made for such a run leaves it to the next one.
    """
    order = _order(space, until, inside, secrets=bool(secrets))
    for _ in range(MOST_WAITING):
        line = _given(key, order, secrets)
        told = _told_first(line, key) if line else b""
        if line is None or told == words.MINDED:
            return line
        line.close()
        if told != words.DECLINED:
            return None
    return None


def held(key: Key, space: Path, until: float, inside: bool) -> socket.socket | None:
    """The same of a launcher that makes everything ready, but begins nothing before it is let go. When nothing more
    can be said to it, it is called off."""
    return _given(key, _order(space, until, inside, held=True), {})


def let_go(key: Key, line: socket.socket) -> bool:
    """Whether a launcher that was held begins its run now; if not, there is none."""
    if _told_first(line, key) == words.MINDED:
        with suppress(OSError):
            line.sendall(GO)
            return True
    line.close()
    return False


def call_off(line: socket.socket) -> None:
    """A launcher that was held leaves no trace of it in the run's directory, and has left that when this returns."""
    with line, suppress(OSError):
        line.settimeout(OFF_SECONDS)
        line.shutdown(socket.SHUT_WR)
        while line.recv(words.LONGEST):
            pass


def is_open(key: Key) -> bool:
    """Whether this parent takes orders; if it does not yet, it is told to get ready."""
    return _line(key) is not None


def _line(key: Key) -> socket.socket | None:
    if key not in _lines and time.monotonic() - _asked.get(key, -AGAIN_SECONDS) >= AGAIN_SECONDS:
        _asked[key] = time.monotonic()
        if found := _asked_for(key):
            _lines[key] = found
    return _lines.get(key)


def _asked_for(key: Key) -> socket.socket | None:
    if _requests is None:
        return None
    mine, theirs = socket.socketpair()
    with mine, suppress(OSError, EOFError):
        mine.settimeout(ANSWER_SECONDS)
        with theirs:
            words.say(_requests, key, theirs.fileno())
        _, (found,) = words.hear(mine)
        line = socket.socket(fileno=found)
        line.settimeout(START_SECONDS)
        return line
    return None


def _order(space: Path, until: float, inside: bool, secrets: bool = False, held: bool = False) -> dict[str, object]:
    return {"space": str(space), "until": until, "inside": inside, "secrets": secrets, "held": held}


def _given(key: Key, order: Mapping[str, object], secrets: Mapping[str, str]) -> socket.socket | None:
    """The line of an order; None, if nobody takes any."""
    if (way := _line(key)) is None:
        return None
    mine, theirs = socket.socketpair()
    mine.settimeout(START_SECONDS)
    try:
        with theirs:
            words.say(way, order, theirs.fileno())
        if secrets:
            mine.sendall(json.dumps(dict(secrets)).encode())
            mine.shutdown(socket.SHUT_WR)
    except OSError as failure:
        mine.close()
        _give_up(key, failure)
        return None
    return mine


def _told_first(line: socket.socket, key: Key) -> bytes:
    """Nothing, if nobody has the order."""
    try:
        return line.recv(1)
    except OSError as failure:
        _give_up(key, failure)
        return b""


def _give_up(key: Key, failure: OSError) -> None:
    log.warning("a warm parent gave no answer: %s", failure)
    if known := _lines.pop(key, None):
        known.close()
