"""The user's program: what it is given, and how a forked child turns into it."""

from __future__ import annotations

import errno
import json
import os
import resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

GO = b"g"  # a launcher's word to its program, and a worker's to a launcher that is held
LIMITS = "PORTAL_LIMITS"  # the variable with the commands that limit a script
LENGTH = 8  # bytes that tell how long an order is
OPEN_FILES = 4096  # of one process
USUAL_LIMITS = {
    resource.RLIMIT_NOFILE: OPEN_FILES, resource.RLIMIT_CORE: 0, resource.RLIMIT_MEMLOCK: 0,
    resource.RLIMIT_MSGQUEUE: 0, resource.RLIMIT_NICE: 0, resource.RLIMIT_RTPRIO: 0,
}  # fmt: skip
CANNOT_START = {
    errno.ENOENT: "The program '{}' was not found.",
    errno.EACCES: "The program '{}' is not executable.",
    errno.ENOEXEC: "The program '{}' is nothing this machine can run; a script needs a first line like #!/bin/sh.",
    errno.E2BIG: "The arguments of the program '{}' are too many or too long.",
}


class Program:
    """Its words and environment, as bytes whatever the locale, its directory, and its own limits: which, soft, hard."""

    def __init__(self, given: dict[str, Any], hearing: int = -1) -> None:
        self.given, self.hearing = given, hearing
        self.argv = [encoded(word) for word in given["argv"]]
        self.environment = {encoded(name): encoded(value) for name, value in given["environment"].items()}
        self.work = encoded(given["work"])
        self.limits: list[tuple[int, int, int]] = given["resources"]

    @staticmethod
    def settle() -> None:
        """In whoever forks it, or in itself: what is the same in all of its kind."""

    @staticmethod
    def prepare() -> None:
        """In the program to be, beforehand: what it needs no order for."""

    def become(self, telling: int, before: Callable[[], None]) -> None:
        """In a forked child: turn into it, or tell why not. All other descriptors close on exec."""
        try:
            self.enter()
            for limit in self.limits:
                set_limit(*limit)
            self.begin(before)
        except BaseException as problem:  # noqa: BLE001 - nothing may run on as a second launcher
            os.write(telling, self.why_not(problem).encode())
            os._exit(127)

    def begin(self, before: Callable[[], None]) -> None:
        """The places are asked for while Python's own files can still be read."""
        places = self.places()
        before()
        self.wait()
        self.execute(places)

    def wait(self) -> None:
        """For its launcher's word, or end without it."""
        if os.read(self.hearing, len(GO)) != GO:
            os._exit(0)

    def enter(self) -> None:
        try:
            os.chdir(self.work)
        except OSError as problem:
            raise OSError(f"its work directory cannot be entered ({problem.strerror})") from problem

    def places(self) -> list[bytes]:
        """Where it may lie."""
        if b"/" in self.argv[0]:
            return [self.argv[0]]
        paths = self.environment.get(b"PATH", os.fsencode(os.defpath)).split(b":")
        return [os.path.join(each, self.argv[0]) for each in paths]

    def execute(self, places: list[bytes]) -> NoReturn:
        """What keeps one that is there from being started is told rather than that it is nowhere."""
        told: OSError | None = None
        for place in places:
            try:
                os.execve(place, self.argv, self.environment)  # noqa: S606 - no shell is the point
            except (FileNotFoundError, NotADirectoryError) as missing:
                told = told or missing
            except OSError as problem:
                told = problem if told is None or told.errno == errno.ENOENT else told
        raise told or FileNotFoundError(errno.ENOENT, "there is no such program")

    def why_not(self, problem: BaseException) -> str:
        if isinstance(problem, OSError) and problem.errno in CANNOT_START:
            return CANNOT_START[problem.errno].format(self.argv[0].decode(errors="replace"))
        return f"The program cannot be started: {problem}."


def framed(order: dict[str, Any]) -> bytes:
    """As it goes to a program to be."""
    said = json.dumps(order).encode()
    return len(said).to_bytes(LENGTH) + said


def ordered(way: int) -> Any:
    """Without it there is nothing to become."""
    return json.loads(_heard(way, int.from_bytes(_heard(way, LENGTH))))


def _heard(way: int, length: int) -> bytes:
    """So many bytes; who says less has ended, and so does this process."""
    said = b""
    while len(said) < length:
        if not (part := os.read(way, length - len(said))):
            os._exit(0)
        said += part
    return said


def set_usual_limits() -> None:
    """Those of every run, for this process and all that come of it."""
    for which, most in USUAL_LIMITS.items():
        set_limit(which, most)


def set_limit(which: int, soft: int, margin: int = 0) -> None:
    resource.setrlimit(which, bounds(which, soft, margin))


def bounds(which: int, soft: int, margin: int) -> tuple[int, int]:
    """Soft and hard, as far as this process may have them."""
    most = resource.getrlimit(which)[1]
    hard = soft + margin if most == resource.RLIM_INFINITY else min(soft + margin, most)
    return min(soft, hard), hard


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
