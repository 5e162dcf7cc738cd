"""Programs that are forks of warm interpreters: what they find, and how they end, is as if they had started fresh."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from tests.levels import offered
from tests.making import make_backend, make_job, make_task, submitted
from tests.servers import eventually
from tests.workers.alike import Twice, left
from workers.confinement import probes
from workers.languages import usual
from workers.runners import local
from workers.warm import lines, proofs

WARM = pytest.mark.parametrize("level", [f"{offered()[0]} warm", f"{offered()[-1]} warm"], indirect=True)
WAITING = [  # commands at the lower levels are started by their launchers' threads
    ("python", "print('done')", "launchers"),
    ("python", "print('done')", "children"),
    ("python", "print('done')", "programs"),
    ("command", "echo done", "launchers"),
]
ALIKE = {
    "its name and words": """
        import os, sys
        print(__name__, sys.argv, sys.path[0] == os.getcwd(), os.path.basename(__file__))
        """,
    "its flags and streams": """
        import sys
        print(sys.flags, sys.stdin.read(), sys.executable)
        print([(each.encoding, each.errors, each.isatty(), each.line_buffering) for each in (sys.stdout, sys.stderr)])
        """,
    "its environment": """
        import os, subprocess
        print(sorted(name for name in os.environ), os.environ['HOME'] == os.getcwd(), os.environ['PATH'])
        os.environ["MINE"] = "1"
        print(subprocess.run(["env"], capture_output=True, text=True).stdout.count("\\n"))
        """,
    "what it has open": "import os\nprint(sorted(os.listdir('/proc/self/fd')), os.readlink('/proc/self/fd/0'))",
    "its place among processes": """
        import os, resource
        print(os.getpgrp() == os.getpid() == os.getsid(0), oct(os.umask(0o22)), os.getcwd() == os.environ["HOME"])
        limits = resource.RLIMIT_CORE, resource.RLIMIT_NOFILE, resource.RLIMIT_CPU
        print([resource.getrlimit(each) for each in limits])
        """,
    "its signals": """
        import signal
        print([(each.name, signal.getsignal(each)) for each in (signal.SIGINT, signal.SIGPIPE, signal.SIGTERM,
              signal.SIGCHLD, signal.SIGXFSZ, signal.SIGHUP)], signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        """,
    "modules of its own": """
        import importlib, sys
        open("workers.py", "w").write("mine = 1")
        importlib.invalidate_caches()
        import workers
        print(workers.mine, "launcher" in sys.modules)
        """,
    "an error": "def f():\n    return 1 / 0\n\nf()",
    "an error in an error": "try:\n    {}[1]\nexcept KeyError:\n    raise ValueError('two') from None",
    "a hook for errors": """
        import sys
        sys.excepthook = lambda *words: print("mine", words[0].__name__, words[2].tb_frame.f_code.co_name)
        raise ValueError
        """,
    "an error of syntax": "x = = 1",
    "a word at its exit": "import sys\nsys.exit('that is all')",
    "an exit status": "raise SystemExit(7)",
    "a large exit status": "raise SystemExit(300)",
    "an exit without a word": "import os\nprint('x')\nos._exit(4)",
    "an exit in a thread": "import threading, sys\nthreading.Thread(target=lambda: sys.exit(3)).start()",
    "a signal to itself": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
    "an interruption": "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)",
    "a thread that goes on": "import threading\nthreading.Timer(0.05, print, ['late']).start()\nprint('end')",
    "a daemon that never ends": """
        import threading
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        print("end")
        """,
    "what was registered for its end": "import atexit\natexit.register(print, 'bye')\nraise ValueError('first')",
    "a last word that goes wrong": "import atexit\natexit.register(print, 'bye')\natexit.register(lambda: 1 / 0)",
    "an exit at its exit": "import atexit, sys\natexit.register(lambda: sys.exit(4))\nprint('x')",
    "words that C wrote": """
        import ctypes
        ctypes.CDLL(None).printf(b"of C, %d\\n", 7)
        print("of Python")
        """,
    "words that C wrote before an error": "import ctypes\nctypes.CDLL(None).puts(b'of C')\nraise ValueError",
    "what there is of the portal": """
        import gc, sys, types
        found = [each for each in gc.get_objects() if isinstance(each, types.ModuleType)]
        print([each.__name__ for each in (*found, *sys.modules.values()) if each.__name__.startswith("workers")])
        """,
    "a file that it left open, beside something that is gone": """
        import json, weakref
        class Something:
            pass
        something = Something()
        json.gone = weakref.proxy(something)
        del something
        json.left = open("left.out", "w")
        json.left.write("all of it")
        """,
    "files that it left open": """
        import io, json
        json.left = open("left.out", "w")
        json.left.write("of another module")
        mine = open("mine.out", "w")
        mine.write("of its own")
        """,
    "processes of its own": """
        import multiprocessing, subprocess, sys
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(pool.map(abs, [-1, -2]))
        print(subprocess.run([sys.executable, "-c", "print('child')"], capture_output=True, text=True).stdout)
        """,
    "much output": "import sys\nsys.stdout.write('x' * 300_000)\nsys.stderr.write('y' * 300_000)",
    "numbers": """
        import numpy as np, scipy.stats
        print(np.linalg.inv(np.arange(4).reshape(2, 2) + np.eye(2)), scipy.stats.norm.ppf(0.975))
        np.seterr(all="raise")
        print(np.random.default_rng(1).random(), np.random.RandomState(2).rand())
        """,
    "threads of a library": "import numpy\nmany = numpy.random.rand(300, 300)\nprint((many @ many).shape)",
}


@WARM
@pytest.mark.parametrize("what", ALIKE)
def test_it_finds_the_same_as_a_fresh_start(level: int, twice: Twice, what: str) -> None:
    warm, fresh = twice("python", ALIKE[what], outputs=(".out",))

    assert warm == fresh


@WARM
def test_it_has_loaded_what_the_code_imports(level: int, twice: Twice) -> None:
    warm, fresh = twice("python", "import sys\nprint('scipy.stats' in sys.modules)\nimport scipy.stats")

    assert [each.words[1] for each in (warm, fresh)] == ["True\n", "False\n"]


@WARM
@pytest.mark.parametrize(
    ("code", "variables"),
    [
        ("import sys\nprint('numpy' in sys.modules)\nimport json", {}),
        ("import sys\nprint('numpy' in sys.modules)\nimport numpy", {"OMP_NUM_THREADS": "1"}),
    ],
    ids=["imports none of it", "has a variable that is read at the start"],
)
def test_it_is_as_lean_as_can_be(level: int, twice: Twice, code: str, variables: dict[str, str]) -> None:
    assert twice("python", code, variables=tuple(variables.items()))[0].words[1] == "False\n"


@WARM
@pytest.mark.parametrize("number", ["random.random()", "numpy.random.rand()", "uuid.uuid4()", "tempfile.mktemp()"])
def test_it_draws_numbers_of_its_own(level: int, session: Session, work: Callable[[], None], number: str) -> None:
    make_task(session, "t", "python", f"import numpy, random, tempfile, uuid\nprint({number})")
    make_job(session, "job", [(1, "t")])

    assert len({left(session, work).words for _ in range(3)}) == 3


@WARM
def test_it_leaves_nothing_to_the_next_run(level: int, session: Session, work: Callable[[], None]) -> None:
    make_task(
        session, "t", "python", "import json, numpy, os\nprint(os.environ.get('LEFT'), hasattr(json, 'left'))\n"
        "json.left = numpy.left = os.environ['LEFT'] = 'something'\nnumpy.seterr(all='raise')\nprint(numpy.geterr())",
    )  # fmt: skip
    make_job(session, "job", [(1, "t")])

    assert [left(session, work).words[1].split("\n")[0] for _ in range(2)] == ["None False"] * 2


SEARCH = """
import re, sys
found = 0
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
    for start, end in re.findall("^([0-9a-f]+)-([0-9a-f]+) rw", maps.read(), re.M):
        memory.seek(int(start, 16))
        found += len(re.findall(b"[n]eedle-of-an-earlier-run", memory.read(int(end, 16) - int(start, 16))))
print("found", found)
"""


@pytest.mark.parametrize("level", [f"{each} warm" for each in offered()], indirect=True)
def test_nothing_of_an_earlier_run_lies_in_its_memory(level: int, session: Session, work: Callable[[], None]) -> None:
    """Though both may have had the same launcher."""
    needle = "needle-of-an-earlier-run"
    make_task(session, "t", "python", SEARCH)
    make_job(session, "job", [(1, "t")])
    make_task(session, "earlier", "python", f"print({needle!r} * 100)", variables=(("NEEDLE", needle),))
    make_job(session, "before", [(1, "earlier")])
    for _ in range(3):
        submitted(session, "before")
    work()

    assert {left(session, work).words[1] for _ in range(3)} == {"found 0\n"}


@WARM
@pytest.mark.parametrize(
    ("language", "code"),
    [("python", "import time\ntime.sleep(0.3)\nprint('done')"), ("command", "sleep 0.3; echo done")],
)
def test_a_run_goes_on_without_its_parent(
    level: int, session: Session, work: Callable[[], None], language: str, code: str
) -> None:
    """A parent that is killed ends no run, and the next run starts all the same."""
    make_task(session, "t", language, code)
    make_job(session, "job", [(1, "t")])
    left(session, work)
    nursery = nursery_of_this_process()
    before = children_of(nursery)
    killing = threading.Timer(0.15, lambda: kill(before))
    killing.start()

    assert [left(session, work).words[1] for _ in range(2)] == ["done\n"] * 2
    killing.join()
    eventually(lambda: lines.is_open(lines.BARE) and children_of(nursery) - before)


@WARM
def test_a_parent_that_died_over_its_proof_is_tried_again(
    level: int, data: Path, monkeypatch: pytest.MonkeyPatch, nursery: None
) -> None:
    told = iter([{probes.START: "its launcher failed"}, {}, {}])
    monkeypatch.setattr(probes, "probe", lambda *_: next(told))
    monkeypatch.setattr(proofs, "AGAIN_SECONDS", 0)
    monkeypatch.setattr(proofs, "_proven", {})
    eventually(lambda: lines.is_open(lines.BARE))

    assert [proofs.holds(lines.BARE) for _ in range(2)] == [False, True]


@WARM
def test_a_nursery_that_died_is_made_anew(level: int, session: Session, work: Callable[[], None]) -> None:
    make_task(session, "t", "python", "print('done')")
    make_job(session, "job", [(1, "t")])
    before = nursery_of_this_process()

    os.kill(before, signal.SIGKILL)

    assert left(session, work).words[1] == "done\n"
    eventually(lambda: lines.is_open(lines.BARE))
    assert nursery_of_this_process() != before


@WARM
def test_it_leaves_nothing_open_behind(level: int, session: Session, work: Callable[[], None]) -> None:
    make_task(session, "t", "command", "true")
    make_job(session, "job", [(1, "t")])
    left(session, work)
    eventually(lambda: all(map(lines.is_open, usual())))
    before = open_sockets()

    for _ in range(3):
        left(session, work)

    assert open_sockets() == before


@WARM
def test_who_does_not_hear_of_the_end_finds_it(
    level: int, session: Session, work: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_told", lambda space, _: local._hang_up(space))
    make_task(session, "t", "command", "echo done")
    make_job(session, "job", [(1, "t")])

    assert left(session, work).words[1] == "done\n"


@WARM
@pytest.mark.parametrize(("language", "code", "which"), WAITING)
def test_what_waits_for_a_run_may_die(
    level: int, session: Session, work: Callable[[], None], language: str, code: str, which: str
) -> None:
    make_task(session, "t", language, code)
    make_job(session, "job", [(1, "t")])
    eventually(lambda: left(session, work) and waiting(language)[which])

    found = waiting(language)[which]
    kill(found)
    eventually(lambda: not any(map(is_alive, found)))

    assert [left(session, work).words[1] for _ in range(2)] == ["done\n"] * 2


@WARM
@pytest.mark.parametrize(("language", "code", "which"), WAITING)
def test_what_waits_for_a_run_ends_with_its_parent(
    level: int, session: Session, work: Callable[[], None], language: str, code: str, which: str
) -> None:
    make_task(session, "t", language, code)
    make_job(session, "job", [(1, "t")])
    eventually(lambda: left(session, work) and waiting(language)[which])
    found = waiting(language)[which]

    kill(children_of(nursery_of_this_process()))

    eventually(lambda: not any(map(is_alive, found)))


CONNECT = """
import socket
try:
    socket.create_connection(('127.0.0.1', {}), 5)
    print('in')
except OSError:
    print('out')
"""


@pytest.mark.parametrize("level", [f"{each} warm" for each in offered()[1:]], indirect=True)
def test_it_is_confined_as_its_own_backend_says(level: int, session: Session, work: Callable[[], None]) -> None:
    """Whatever the run before it was allowed, for which the one that waits was made."""
    backend = make_backend(session)
    with socket.create_server(("127.0.0.1", 0)) as server:
        make_task(session, "t", "python", CONNECT.format(server.getsockname()[1]))
        make_job(session, "job", [(1, "t")])
        found = []
        for allowed in (True, False, False, True, True):
            backend.network = allowed
            session.commit()
            found.append(left(session, work).words[1])

    assert found == ["in\n", "out\n", "out\n", "in\n", "in\n"]


def waiting(language: str) -> dict[str, set[int]]:
    """The processes that wait for a run of a language: launchers, their children (twins, where these fork the
    programs), and the program to be, the last."""
    parents = {each for each in children_of(nursery_of_this_process()) if language in words_of(each)}
    launchers = set().union(*map(children_of, parents))
    children = set().union(*map(children_of, launchers))
    return {
        "launchers": launchers,
        "children": children,
        "programs": set().union(*map(children_of, children)) or children,
    }


def words_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def open_sockets() -> list[str]:
    names = [each.resolve().name for each in Path("/proc/self/fd").iterdir()]
    return sorted(each for each in names if each.startswith("socket:"))


def nursery_of_this_process() -> int:
    [found] = [pid for pid in children_of(os.getpid()) if "nursery.py" in Path(f"/proc/{pid}/cmdline").read_text()]
    return found


def kill(processes: Iterable[int]) -> None:
    """Those of them that have not just ended by themselves."""
    for each in processes:
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def children_of(pid: int) -> set[int]:
    try:
        threads = Path(f"/proc/{pid}/task").iterdir()
        return {int(child) for each in threads for child in (each / "children").read_text().split()}
    except OSError:
        return set()
