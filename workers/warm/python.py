"""Python that is warm: a fork runs the driver in itself, and ends as an interpreter does."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # as in the kernel's calls
import atexit
import gc
import os
import signal
import sys
import threading
import types
from _io import _IOBase  # whose likes are found faster than those of io.IOBase
from contextlib import suppress
from importlib import import_module

from workers.confinement import program
from workers.confinement.kernel import LIBC, close_all_but

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, NoReturn

NAME = "driver.py"
DRIVER = os.path.join(os.path.dirname(os.path.dirname(__file__)), "languages", "drivers", NAME)
OURS = "workers"
OF_THE_DRIVER = ("encodings.utf_8_sig", "io", "json", "linecache", "os", "sys", "traceback", "types")
SAMPLE = "{}print('done')\nopen('left', 'w').write('written')\n"
HANDLED: dict[int, Any] = {
    signal.SIGINT: _signal.default_int_handler,
    signal.SIGPIPE: _signal.SIG_IGN,
    signal.SIGXFSZ: _signal.SIG_IGN,
}

ours: list[str] = []  # the modules of ours that are loaded
loaded: list[str] = []  # all that others are loaded for
forgotten: list[types.ModuleType] = []  # to take one down would write to all that it is made of

with open(DRIVER, encoding="utf-8") as driver:
    text = driver.read()
code = compile(text, DRIVER, "exec")


class Program(program.Program):
    """The parent's own interpreter: its last word but one is the driver."""

    @staticmethod
    def settle() -> None:
        """Its own modules it has from here on, but nobody finds them."""
        forgotten.extend(sys.modules.pop(name) for name in ours)
        os.environ.clear()

    @staticmethod
    def prepare() -> None:
        for number, handled in HANDLED.items():
            _signal.signal(number, handled)
        if numbers := sys.modules.get("numpy.random"):
            numbers.seed()  # else all forks had the same chance

    def begin(self, before: Callable[[], None]) -> None:
        sys.argv = [os.fsdecode(self.argv[-1])]
        os.environb.update(self.environment)
        before()
        self.wait()
        close_all_but()


def load(modules: list[str]) -> None:
    loaded.extend(modules)
    for each in (*OF_THE_DRIVER, *modules):
        import_module(each)
    # To look for them among all modules would have each fork copy where the names lie.
    ours.extend(name for name in sys.modules if name.partition(".")[0] == OURS)


def sample(space: str) -> list[str]:
    """A short task's files, and its words."""
    task = SAMPLE.format("".join(f"import {each}\n" for each in loaded))
    for name, content in {"task.py": task, NAME: text}.items():
        with open(os.path.join(space, name), "w", encoding="utf-8") as file:
            file.write(content)
    return [sys.executable, os.path.join(space, NAME)]


def run() -> NoReturn:
    """The driver, as the main module; then everything that an interpreter does at its end."""
    main = types.ModuleType("__main__")
    main.__dict__["__file__"] = sys.argv[0]
    sys.modules["__main__"] = main
    try:
        exec(code, main.__dict__)  # noqa: S102 - it is the driver
        status = 0
    except SystemExit as leaving:
        status = status_of(leaving)
    except BaseException as error:  # noqa: BLE001 - whatever the program raised
        status = failed(error)
    leave(status)


def status_of(leaving: SystemExit) -> int:
    if leaving.code is None or isinstance(leaving.code, int):
        return (leaving.code or 0) & 0xFF
    sys.stderr.write(f"{leaving.code}\n")
    return 1


def failed(error: BaseException) -> int:
    try:
        sys.excepthook(type(error), error, from_driver(error.__traceback__))
    except BaseException as another:  # noqa: BLE001 - the program's own hook
        sys.__excepthook__(type(another), another, another.__traceback__)
    return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1


def from_driver(trace: TracebackType | None) -> TracebackType | None:
    while trace and trace.tb_frame.f_code is not code:
        trace = trace.tb_next
    return trace


def leave(status: int) -> NoReturn:
    """Threads end, what was registered is called, what is open is written; modules are not taken down one by one."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.modules["__main__"].__dict__.clear()
        gc.collect()
        write_open_files()
    finally:
        if status < 0:
            signal.signal(-status, signal.SIG_DFL)
            os.kill(os.getpid(), -status)
        LIBC.fflush(None)
        os._exit(status)


def write_open_files() -> None:
    for each in [each for each in gc.get_objects() if issubclass(type(each), _IOBase)]:
        with suppress(Exception):
            each.flush()
