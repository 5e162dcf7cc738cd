"""R that is warm: embedded by rpy2, it was started with every run's words and has yet to read its script.

Each fork is given the run's own script, words and environment, and R's own main loop does the rest, up to its end.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from importlib import import_module
from itertools import takewhile
from tempfile import TemporaryDirectory

from workers.confinement import program
from workers.confinement.kernel import LIBC, SIGNALS, close_all_but
from workers.warm import sessions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, NoReturn

DRIVER = os.path.join(os.path.dirname(os.path.dirname(__file__)), "languages", "drivers", "driver.R")
OPTIONS = [b"--no-echo", b"--no-restore", b"--vanilla"]  # what Rscript makes of --vanilla
MODE = "RPY2_CFFI_MODE"
NOWHERE = "/nonexistent"  # a home that each run's own takes the place of
OF_A_SPACE = ("task.R", "values.tsv")
SAMPLE = {"task.R": "cat(mean(c(1, 2, 4)), '\\n')\nwriteLines('written', 'left')\n", "values.tsv": ""}
OF_A_RUN = (b"PWD", b"R_SESSION_TMPDIR", b"SPACE")
ASKING = "all <- readBin('/proc/self/environ', 'raw', 1e6); all[all == 0] <- charToRaw('\n'); cat(rawToChar(all))"
BEYOND_RPY2 = "extern char *R_TempDir; void R_reInitTempDir(int fatal); void R_setStartTime(void);"
LOADING = "invisible(loadNamespace('{}'))"
with open(DRIVER, encoding="utf-8") as driver:
    READ, LAST = driver.read().rstrip("\n").rsplit("\n", 1)
REHEARSAL = "local({{ given <- options(); for (each in 1:3) eval(parse('{}'), globalenv()); options(given) }})"
TIDY = "rm(list = ls(all.names = TRUE)); invisible(gc())"
ACTION, HANDLER = 256, 8  # bytes: more than what the kernel does on a signal takes, and who is called, its beginning

Actions = dict[int, bytes]
WHY_NOT = (ImportError, OSError, ValueError, AttributeError, subprocess.SubprocessError)


class Embedded:
    """R in this very process, as its own program has it, but for signals: those it handles in a run alone."""

    def __init__(self) -> None:
        os.environ[MODE] = "ABI"  # it was built without R
        situation, embedding = (import_module(f"rpy2.{each}") for each in ("situation", "rinterface_lib.openrlib"))
        del os.environ[MODE]
        self.ffi, self.r = embedding.ffi, embedding.rlib
        self.inner_ffi = import_module("cffi").FFI()
        self.inner_ffi.cdef(BEYOND_RPY2)
        self.inner = self.inner_ffi.dlopen(situation.get_rlib_path(embedding.R_HOME, os.uname().sysname))
        self.environment: dict[bytes, bytes] = {}
        self.libraries = 0
        self.main_loop = self.r.run_Rmainloop
        self.start()

    def start(self) -> None:
        """As far as it goes without a script, and without a directory of its own: R removes by a shell what it made."""
        before = actions(SIGNALS)
        self.be_told_directory(NOWHERE.encode())
        self.r.Rf_initialize_R(*self.words([b"R", *OPTIONS, b"--file=" + os.fsencode(DRIVER)]))
        self.script = descriptor_of(DRIVER)
        self.r.setup_Rmainloop()
        after = actions(SIGNALS)
        self.signals = {each: after[each] for each in SIGNALS if after[each][:HANDLER] != before[each][:HANDLER]}
        handle(before)

    def be_told_directory(self, directory: bytes) -> None:
        self.directory = self.inner_ffi.new("char[]", directory)
        self.inner.R_TempDir = self.directory

    def words(self, words: list[bytes]) -> tuple[int, list[Any]]:
        return len(words), [self.ffi.new("char[]", each) for each in words]

    def evaluate(self, code: str) -> None:
        """An error is R's to tell, and ends nothing."""
        read = self.r.Rf_lang2(self.r.Rf_install(b"str2expression"), self.r.Rf_mkString(code.encode()))
        called = self.r.Rf_protect(self.r.Rf_lang2(self.r.Rf_install(b"eval"), read))
        self.r.R_tryEval(called, self.r.R_GlobalEnv, self.ffi.NULL)
        self.r.Rf_unprotect(1)

    def take(self, driver: bytes, words: list[bytes]) -> None:
        """The words that the run would have been started with."""
        binary = os.path.join(self.environment[b"R_HOME"], b"bin/exec/R")
        self.r.R_set_command_line_arguments(*self.words([binary, *OPTIONS, b"--file=" + driver, b"--args", *words]))

    def run(self) -> NoReturn:
        """With a directory, a clock and chance of its own."""
        directory = sessions.directory()
        if directory:
            self.be_told_directory(directory)
        else:
            self.inner.R_TempDir = self.inner_ffi.NULL
            self.inner.R_reInitTempDir(1)
        self.inner.R_setStartTime()
        LIBC.srand(int.from_bytes(os.urandom(4)))
        ending = sessions.ending(directory, self.libraries)
        sessions.ON_EXIT(ending, None)
        self.main_loop()
        raise AssertionError("R ends its process")


embedded: Embedded


class Program(program.Program):
    """The parent's own R: its last two words are the driver and what the driver is told."""

    def begin(self, before: Callable[[], None]) -> None:
        *_, driver, told = self.argv
        handle(embedded.signals)
        os.environ.clear()
        LIBC.clearenv()
        os.environb.update(self.all_of_r() | self.environment)
        embedded.take(driver, [told])
        before()
        self.wait()
        close_all_but()
        put(opened_at_its_end(driver), embedded.script)

    def all_of_r(self) -> dict[bytes, bytes]:
        """What a fresh R finds beside what it is given."""
        home = self.environment.get(b"HOME", NOWHERE.encode())
        found = {name: value.replace(NOWHERE.encode(), home) for name, value in embedded.environment.items()}
        return {**found, b"PWD": os.getcwdb()}


def load(packages: list[str]) -> None:
    """In a process that has R's own environment from its start on, for libraries are found by it."""
    global embedded
    try:
        if "R_HOME" not in os.environ:
            os.execve(sys.executable, sys.orig_argv, os.environ | of_a_fresh_start())  # noqa: S606
        os.environ.update(os.environ.copy())  # R keeps pointers to what it found: not to what is written over later
        embedded = Embedded()
    except WHY_NOT as problem:
        sys.exit(f"R code starts fresh, for R cannot be embedded here: {problem}")
    for each in packages:
        embedded.evaluate(LOADING.format(each))
    embedded.environment = environment()
    rehearse()
    embedded.evaluate(TIDY)
    embedded.evaluate(READ)
    embedded.libraries = sessions.libraries()


def rehearse() -> None:
    """What the driver calls is read from R's library, and compiled, when it is called: once for all forks."""
    with TemporaryDirectory() as space:
        for each in OF_A_SPACE:
            open(os.path.join(space, each), "wb").close()
        embedded.take(os.fsencode(DRIVER), [os.fsencode(space)])
        embedded.evaluate(REHEARSAL.format(DRIVER))


def sample(space: str) -> list[str]:
    """A short task's files, and its words."""
    for name, content in SAMPLE.items():
        with open(os.path.join(space, name), "w", encoding="ascii") as file:
            file.write(content)
    return ["Rscript", DRIVER, space]


def of_a_fresh_start() -> dict[str, str]:
    """What a fresh R is started with by its own front end."""
    given = {name: os.environ[name] for name in ("PATH", "LANG")} | {"HOME": NOWHERE}
    told = subprocess.run(
        ["Rscript", "--vanilla", "-e", ASKING], env=given, stdin=subprocess.DEVNULL, capture_output=True, check=True
    )
    return dict(line.split("=", 1) for line in told.stdout.decode().splitlines())


def environment() -> dict[bytes, bytes]:
    """That of R, which sets some of it past Python."""
    texts: Iterable[bytes] = ctypes.POINTER(ctypes.c_char_p).in_dll(LIBC, "environ")  # type: ignore[assignment]
    pairs = (each.split(b"=", 1) for each in takewhile(bool, texts))
    return {name: value for name, value in pairs if name not in OF_A_RUN}


def descriptor_of(file: str) -> int:
    """Where it is open."""
    places = (f"/proc/self/fd/{each}" for each in os.listdir("/proc/self/fd"))
    return next(int(os.path.basename(each)) for each in places if os.path.exists(each) and os.path.samefile(each, file))


def opened_at_its_end(driver: bytes) -> int:
    """Where only the last line is left of it, unless it is another driver by now than the one that was read."""
    opened = os.open(driver, os.O_RDONLY)
    if os.fstat(opened).st_size == len(f"{READ}\n{LAST}\n".encode()):
        os.lseek(opened, len(f"{READ}\n".encode()), os.SEEK_SET)
    return opened


def put(opened: int, place: int) -> None:
    """As R opens it: what R starts has it, too."""
    if opened != place:
        os.dup2(opened, place)
        os.close(opened)
    os.set_inheritable(place, True)


def actions(numbers: Iterable[int]) -> Actions:
    """What the kernel does when these signals come."""
    found = {}
    for number in numbers:
        action = ctypes.create_string_buffer(ACTION)
        LIBC.sigaction(number, None, action)
        found[number] = action.raw
    return found


def handle(wanted: Actions) -> None:
    for number, action in wanted.items():
        LIBC.sigaction(number, action, None)


def run() -> NoReturn:
    embedded.run()
