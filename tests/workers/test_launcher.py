"""The launcher with real processes: what becomes of a run, however it ends."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.levels import offered
from workers import launcher as launching
from workers.installed import homes

LAUNCHER = Path(__file__).parents[2] / "workers" / "launcher.py"
COMMAND = [sys.executable, "-I", "-S", str(LAUNCHER)]
PATIENCE = 30
everywhere = pytest.mark.parametrize("launch", offered(), indirect=True)


class Launch:
    """One run's directory, and the launchers started on it."""

    def __init__(self, directory: Path, level: int) -> None:
        self.directory = directory
        self.level = level
        self.work = directory / "work"
        self.work.mkdir()
        self.started: list[subprocess.Popen[bytes]] = []

    def write(self, argv: list[str], **changes: Any) -> None:
        limits = {"wall_seconds": PATIENCE, "log_bytes": 1_000_000, **changes.pop("limits", {})}
        spec = {
            "argv": argv,
            "environment": {"PATH": os.environ["PATH"]},
            "work": str(self.work),
            "limits": limits,
            "grace_seconds": 0.3,
            "patience_seconds": PATIENCE,
            "confinement": {"level": self.level, "readable": homes(sys.executable)},
            **changes,
        }
        (self.directory / "launch.json").write_text(json.dumps(spec))

    def start(self, *until: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [*COMMAND, str(self.directory), *until], stdin=subprocess.DEVNULL, start_new_session=True, cwd="/"
        )
        self.started.append(process)
        return process

    def run(self, argv: list[str], **changes: Any) -> dict[str, Any]:
        """The outcome of a run that nobody disturbs."""
        self.write(argv, **changes)
        assert self.start().wait(PATIENCE) == 0
        return self.outcome()

    def stop(self, launcher: subprocess.Popen[bytes]) -> None:
        (self.directory / "stop").touch()
        launcher.terminate()

    def python(self, code: str, **changes: Any) -> dict[str, Any]:
        return self.run([sys.executable, "-c", code], **changes)

    def outcome(self) -> dict[str, Any]:
        outcome: dict[str, Any] = json.loads((self.directory / "outcome.json").read_text())
        return outcome

    def handle(self) -> int:
        launched = self.directory / "launched.json"
        until(launched.exists)
        pid: int = json.loads(launched.read_text())["pid"]
        return pid

    def pid(self, name: str) -> int:
        """The process that wrote its number into that file of the work directory."""
        file = self.work / name
        until(lambda: file.exists() and file.read_text().endswith("\n"))
        own = int(file.read_text())
        return own if self.level < 3 else self.seen_from_outside(own)

    def seen_from_outside(self, pid: int) -> int:
        """The number here of a process that has this one in the run's own namespace; 0 when it is gone."""
        found = (number for number in processes_in(self.work) if number_inside(number) == pid)
        return next(found, 0)

    def stdout(self) -> bytes:
        return self.kept("stdout")

    def stderr(self) -> bytes:
        return self.kept("stderr")

    def kept(self, stream: str) -> bytes:
        """There is no file of a stream to which nothing was written."""
        file = self.directory / stream
        return file.read_bytes() if file.exists() else b""


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.01)


def number_inside(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("NSpid:")).split()[-1])


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def launch(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Launch]:
    made = Launch(tmp_path, getattr(request, "param", 1))
    yield made
    for process in made.started:
        made.stop(process)
        process.wait(PATIENCE)


@everywhere
@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_it_reports_the_exit_status(launch: Launch, status: int) -> None:
    outcome = launch.run(["sh", "-c", f"echo out; echo err >&2; exit {status}"])
    assert (outcome["reason"], outcome["exit_status"], outcome["signal"]) == ("exited", status, None)
    assert outcome["detail"] == ""
    assert (launch.stdout(), launch.stderr()) == (b"out\n", b"err\n")
    assert (outcome["stdout_bytes"], outcome["stderr_bytes"]) == (4, 4)
    assert (outcome["stdout_cut"], outcome["stderr_cut"]) == (False, False)


@everywhere
def test_it_reports_what_the_run_used(launch: Launch) -> None:
    outcome = launch.python("kept = bytearray(80_000_000)\nwhile __import__('time').process_time() < 0.3: pass")
    assert outcome["usage"]["cpu_seconds"] >= 0.3
    assert outcome["usage"]["max_memory_bytes"] > 80_000_000
    assert outcome["usage"]["wall_seconds"] >= 0.3
    assert outcome["ended_at"] > outcome["started_at"]


@everywhere
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM])
def test_it_reports_the_signal_that_ended_the_process(launch: Launch, number: int) -> None:
    outcome = launch.run(["sh", "-c", f"kill -{number:d} $$"])
    assert (outcome["reason"], outcome["exit_status"], outcome["signal"]) == ("signalled", None, number)
    assert f"signal {number:d}" in outcome["detail"]


@everywhere
def test_it_ends_a_run_at_its_time_limit(launch: Launch) -> None:
    outcome = launch.run(["sleep", "60"], limits={"wall_seconds": 0.3})
    assert (outcome["reason"], outcome["signal"]) == ("wall_time", signal.SIGTERM)
    assert "its time limit of 0.3 s (it had run for " in outcome["detail"]


@everywhere
def test_it_ends_a_frozen_run_at_its_time_limit(launch: Launch) -> None:
    outcome = launch.run(["sh", "-c", "kill -STOP $$; sleep 60"], limits={"wall_seconds": 0.3})
    assert outcome["reason"] == "wall_time"


@everywhere
def test_it_lets_a_frozen_run_tidy_up(launch: Launch) -> None:
    code = "trap 'echo tidied; exit 3' TERM; kill -STOP $$; sleep 60"
    outcome = launch.run(["sh", "-c", code], limits={"wall_seconds": 0.3}, grace_seconds=20)
    assert (outcome["reason"], outcome["exit_status"]) == ("wall_time", 3)
    assert launch.stdout() == b"tidied\n"


@everywhere
def test_it_keeps_what_a_run_says_on_being_told_to_end(launch: Launch) -> None:
    code = "trap 'echo tidied; exit 3' TERM; echo ready; while :; do sleep 0.02; done"
    outcome = launch.run(["sh", "-c", code], limits={"wall_seconds": 0.5}, grace_seconds=20)
    assert (outcome["reason"], outcome["exit_status"]) == ("wall_time", 3)
    assert launch.stdout() == b"ready\ntidied\n"


DOUBLE_FORK = """
import os, signal, time
def write(name):
    open(name + ".new", "w").write(f"{os.getpid()}\\n")
    os.rename(name + ".new", name)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        write("hidden")
        time.sleep(600)
    os._exit(0)
os.wait()
"""


@everywhere
def test_it_stops_a_hidden_descendant_that_ignores_the_polite_signal(launch: Launch) -> None:
    launch.write([sys.executable, "-c", DOUBLE_FORK + "write('main')\ntime.sleep(600)"])
    launcher = launch.start()
    hidden, main = launch.pid("hidden"), launch.pid("main")
    launch.stop(launcher)
    assert launcher.wait(PATIENCE) == 0
    assert not is_alive(hidden)
    assert not is_alive(main)
    assert launch.outcome()["reason"] == "stopped"


@everywhere
def test_it_says_stopped_when_the_process_exits_after_ignoring_the_stop(launch: Launch) -> None:
    launch.write(["sh", "-c", "trap '' TERM; echo $$ > main; while [ ! -e go ]; do :; done"], grace_seconds=20)
    launcher = launch.start()
    launch.pid("main")
    launch.stop(launcher)
    (launch.work / "go").touch()
    assert launcher.wait(PATIENCE) == 0
    assert (launch.outcome()["reason"], launch.outcome()["exit_status"]) == ("stopped", 0)


@everywhere
def test_it_does_not_wait_for_a_background_child_that_holds_the_output(launch: Launch) -> None:
    code = "sh -c 'trap \"\" TERM; echo $$ > child; while :; do sleep 0.1; done' & "
    code += "while [ ! -s child ]; do :; done; echo done"
    outcome = launch.run(["sh", "-c", code])
    assert (outcome["reason"], outcome["exit_status"]) == ("exited", 0)
    assert launch.stdout() == b"done\n"
    assert not is_alive(launch.pid("child"))


@everywhere
def test_it_ends_a_hidden_descendant_after_the_process_exited(launch: Launch) -> None:
    outcome = launch.python(DOUBLE_FORK + "while not os.path.exists('hidden'): time.sleep(0.01)")
    assert outcome["reason"] == "exited"
    assert not is_alive(launch.pid("hidden"))


SPREAD = """
import os, time
def spread(depth):
    for _ in range(3):
        if depth and os.fork() == 0:
            os.setsid()
            spread(depth - 1)
            time.sleep(600)
spread(3)
open("spread", "w").write(f"{os.getpid()}\\n")
time.sleep(600)
"""


@everywhere
def test_it_ends_a_whole_tree_of_processes(launch: Launch) -> None:
    launch.write([sys.executable, "-c", SPREAD])
    launcher = launch.start()
    launch.pid("spread")
    launch.stop(launcher)
    assert launcher.wait(PATIENCE) == 0
    assert launch.outcome()["reason"] == "stopped"
    assert not processes_in(launch.work)


def processes_in(directory: Path) -> list[int]:
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "cwd").readlink() == directory:
                found.append(int(process.name))
        except OSError:
            continue
    return found


@everywhere
@pytest.mark.parametrize(("stream", "name"), [("stdout", "standard output"), ("stderr", "standard error")])
def test_it_cuts_a_long_log_with_a_mark_and_ends_the_run(launch: Launch, stream: str, name: str) -> None:
    code = f"import sys, time\nfor _ in range(80): sys.{stream}.write('x' * 65536)\ntime.sleep(60)"
    outcome = launch.python(code, limits={"log_bytes": 1000})
    assert (outcome["reason"], outcome["signal"]) == ("log_limit", signal.SIGTERM)
    assert f"its {name} reached the log limit of 1.0 kB: it had written " in outcome["detail"]
    assert (launch.directory / stream).read_bytes() == b"x" * 1000 + b"\n[log cut: more than 1000 bytes]\n"
    cut = {each: outcome[f"{each}_cut"] for each in ("stdout", "stderr")}
    assert cut == {"stdout": stream == "stdout", "stderr": stream == "stderr"}


def test_it_finds_a_long_log_even_when_the_process_was_quick(launch: Launch) -> None:
    outcome = launch.python("import os\nos.write(2, b'x' * 2000)\nos._exit(0)", limits={"log_bytes": 1000})
    assert outcome["reason"] == "log_limit"
    assert "it had written 2.0 kB" in outcome["detail"]


@everywhere
def test_it_takes_a_standard_output_that_is_a_result_for_output_and_not_for_log(launch: Launch) -> None:
    result = launch.work / "result"
    limits = {"log_bytes": 1000, "output_bytes": 100_000}
    outcome = launch.run(["head", "-c", "50000", "/dev/zero"], stdout_file=str(result), limits=limits)
    assert (outcome["reason"], result.stat().st_size) == ("exited", 50_000)


def test_it_ends_a_run_whose_result_on_standard_output_is_too_large(launch: Launch) -> None:
    result = launch.work / "result"
    limits = {"log_bytes": 1000, "output_bytes": 100_000}
    outcome = launch.run(["cat", "/dev/zero"], stdout_file=str(result), limits=limits)
    assert outcome["reason"] == "output_limit"
    assert "100.0 kB" in outcome["detail"]
    assert result.stat().st_size == 100_000


def test_it_leaves_an_output_of_exactly_the_cap_whole(launch: Launch) -> None:
    outcome = launch.python("print('x' * 999)", limits={"log_bytes": 1000})
    assert launch.stdout() == b"x" * 999 + b"\n"
    assert outcome["stdout_cut"] is False


@everywhere
def test_it_keeps_the_last_words_of_a_process_that_has_gone(launch: Launch) -> None:
    code = "import fcntl, os\nfcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)\nos.write(1, b'x' * (1 << 20))\nos._exit(2)"
    outcome = launch.python(code, limits={"log_bytes": None})
    assert outcome["exit_status"] == 2
    assert launch.stdout() == b"x" * (1 << 20)


def test_it_keeps_bytes_that_are_no_text(launch: Launch) -> None:
    launch.run(["printf", r"\377\376\000a\n"])
    assert launch.stdout() == b"\xff\xfe\x00a\n"


@everywhere
def test_it_gives_every_argument_unchanged(launch: Launch) -> None:
    words = ["", "a b", "$HOME", "ü \udcff", "*", "-n\n"]
    launch.run([sys.executable, "-c", "import os, sys; print([os.fsencode(word) for word in sys.argv[1:]])", *words])
    assert launch.stdout().decode().strip() == str([os.fsencode(word) for word in words])


@everywhere
@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("no-such-program", "was not found"),
        ("./no-such-program", "was not found"),
        ("./plain", "is not executable"),
        ("./formless", "a script needs a first line"),
    ],
)
def test_it_says_why_a_program_cannot_start(launch: Launch, program: str, sentence: str) -> None:
    (launch.work / "plain").write_text("echo")
    (launch.work / "formless").write_text("echo")
    (launch.work / "formless").chmod(0o700)
    outcome = launch.run([program])
    assert (outcome["reason"], outcome["exit_status"], outcome["signal"]) == ("cannot_start", None, None)
    assert sentence in outcome["detail"]
    assert program in outcome["detail"]


def test_it_says_that_the_work_directory_is_missing(launch: Launch) -> None:
    launch.work.rmdir()
    outcome = launch.run(["true"])
    assert outcome["reason"] == "cannot_start"
    assert "work directory" in outcome["detail"]


@everywhere
def test_it_gives_the_process_only_the_environment_it_was_given(launch: Launch) -> None:
    launch.run(["/usr/bin/env"], environment={"COLOUR": "blue\nand ü", "EMPTY": ""})
    assert launch.stdout().decode() == "COLOUR=blue\nand ü\nEMPTY=\n"


STANDING = """
import json, os, resource, signal
print(json.dumps({
    "open": sorted(int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")),
    "stdin": os.readlink("/proc/self/fd/0"), "leads": os.getsid(0) == os.getpid() == os.getpgrp(),
    "umask": os.umask(0), "cwd": os.getcwd(), "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
    "memory": resource.getrlimit(resource.RLIMIT_AS)[0],
    "status": dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line),
}))
"""


@everywhere
def test_it_starts_the_process_private_and_limited(launch: Launch) -> None:
    launch.write([sys.executable, "-c", STANDING], limits={"memory_bytes": 2_000_000_000})
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    process = subprocess.Popen([*COMMAND, str(launch.directory)], stdin=subprocess.DEVNULL, close_fds=False)
    os.close(writing)
    assert process.wait(PATIENCE) == 0
    standing = json.loads(launch.stdout())
    assert os.read(reading, 1) == b""
    os.close(reading)
    assert standing["open"] == [0, 1, 2]
    assert standing["stdin"] == "/dev/null"
    assert standing["leads"]
    assert standing["umask"] == 0o077
    assert standing["cwd"] == str(launch.work)
    assert (standing["core"], standing["memory"]) == (0, resource.RLIM_INFINITY)
    assert standing["status"]["NoNewPrivs"] == "1"
    assert int(standing["status"]["SigBlk"], 16) == 0


@everywhere
def test_it_leaves_no_signal_ignored_or_blocked_for_the_process(launch: Launch) -> None:
    launch.run(["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"])
    known = sum(1 << (number - 1) for number in signal.valid_signals())
    assert [int(line.split()[1], 16) & known for line in launch.stdout().splitlines()] == [0, 0]


@everywhere
def test_it_starts_a_run_only_once(launch: Launch) -> None:
    launch.write(["sh", "-c", "echo started >> marks; sleep 0.3"])
    launchers = [launch.start() for _ in range(6)]
    assert [launcher.wait(PATIENCE) for launcher in launchers] == [0] * 6
    assert launch.start().wait(PATIENCE) == 0
    (launch.directory / "launched.json").unlink()
    assert launch.start().wait(PATIENCE) == 0
    assert (launch.work / "marks").read_text() == "started\n"


def test_it_can_be_found_by_its_handle_before_the_process_starts(launch: Launch) -> None:
    launcher_of_run = launch.run(["cp", "../launched.json", "seen.json"])
    assert launcher_of_run["exit_status"] == 0
    handle = json.loads((launch.work / "seen.json").read_text())
    assert handle["pid"] == launch.started[0].pid
    assert handle["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert handle["started"] > 0


def test_it_gives_up_a_run_whose_beat_stops(launch: Launch) -> None:
    (launch.directory / "beat").touch()
    outcome = launch.run(["sleep", "60"], patience_seconds=0.3)
    assert outcome["reason"] == "abandoned"


def test_it_gives_up_a_run_that_never_had_a_beat(launch: Launch) -> None:
    assert launch.run(["sleep", "60"], patience_seconds=0.3)["reason"] == "abandoned"


@everywhere
def test_it_gives_up_a_run_without_a_grace(launch: Launch) -> None:
    code = "trap 'echo tidied; exit 3' TERM; while :; do sleep 0.02; done"
    outcome = launch.run(["sh", "-c", code], patience_seconds=0.5, grace_seconds=PATIENCE)
    assert (outcome["reason"], outcome["signal"]) == ("abandoned", signal.SIGKILL)
    assert launch.stdout() == b""


def test_it_waits_as_long_as_the_beat_says(launch: Launch) -> None:
    (launch.directory / "beat").write_text("0.3")
    outcome = launch.run(["sleep", "60"])
    assert outcome["reason"] == "abandoned"
    assert "for 0.3 s" in outcome["detail"]


def test_it_waits_longer_than_usual_when_the_beat_says_so(launch: Launch) -> None:
    (launch.directory / "beat").write_text("60")
    assert launch.run(["sleep", "2"], patience_seconds=0.3)["reason"] == "exited"


def test_it_waits_as_usual_again_after_the_next_plain_beat(launch: Launch) -> None:
    beat = launch.directory / "beat"
    beat.write_text("60")
    launch.write(["sh", "-c", "echo $$ > main; exec sleep 60"], patience_seconds=0.3)
    launcher = launch.start()
    launch.pid("main")
    beat.write_text("")
    assert launcher.wait(PATIENCE) == 0
    assert launch.outcome()["reason"] == "abandoned"


@pytest.mark.parametrize("told", ["soon", "nan", "-5", "\x00\xff"])
def test_it_waits_as_usual_when_the_beat_says_nothing_sensible(launch: Launch, told: str) -> None:
    (launch.directory / "beat").write_text(told)
    assert launch.run(["sleep", "60"], patience_seconds=0.3)["reason"] == "abandoned"


def test_it_keeps_a_run_while_the_beat_changes_whatever_the_clock_says(launch: Launch) -> None:
    beat = launch.directory / "beat"
    launch.write(["sh", "-c", "while [ ! -e go ]; do sleep 0.05; done"], patience_seconds=2)
    launcher = launch.start()
    for jump in (1, -2, 3, -4, 5, -6, 7, -8, 9):
        beat.touch()
        os.utime(beat, (1e9 + jump * 1e8, 1e9 + jump * 1e8))
        time.sleep(0.4)
    (launch.work / "go").touch()
    assert launcher.wait(PATIENCE) == 0
    assert launch.outcome()["reason"] == "exited"


@everywhere
def test_it_takes_the_process_with_it_when_killed(launch: Launch) -> None:
    launch.write(["sh", "-c", "echo $$ > main; exec sleep 600"])
    launcher = launch.start()
    main = launch.pid("main")
    launcher.kill()
    until(lambda: not is_alive(main))
    assert not (launch.directory / "outcome.json").exists()


@everywhere
def test_it_outlives_the_one_who_started_it(launch: Launch) -> None:
    launch.write(["sh", "-c", "echo $$ > main; while [ ! -e go ]; do sleep 0.02; done; exit 5"])
    code = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:], start_new_session=True); time.sleep(600)"
    starter = subprocess.Popen([sys.executable, "-c", code, *COMMAND, str(launch.directory)], start_new_session=True)
    launch.pid("main")
    os.killpg(starter.pid, signal.SIGKILL)
    starter.wait(PATIENCE)
    (launch.work / "go").touch()
    until((launch.directory / "outcome.json").exists)
    assert launch.outcome()["exit_status"] == 5


@everywhere
def test_it_rests_when_the_process_closes_its_streams(launch: Launch) -> None:
    code = "import os, time\nfor fd in (0, 1, 2): os.close(fd)\ntime.sleep(1)\nopen('late', 'w').close()\nos._exit(6)"
    launch.write([sys.executable, "-c", code])
    launcher = launch.start()
    launcher.returncode = 0
    used = os.wait4(launcher.pid, 0)[2]
    assert launch.outcome()["exit_status"] == 6
    assert (launch.work / "late").exists()
    assert used.ru_utime + used.ru_stime < 0.6


@everywhere
def test_it_does_not_take_input(launch: Launch) -> None:
    assert launch.run(["cat"])["exit_status"] == 0


@everywhere
@pytest.mark.parametrize("moment", ["time.sleep(60)", "pass"])
def test_it_ends_a_run_whose_files_are_too_large_together(launch: Launch, moment: str) -> None:
    write = "import time\nfor name in 'abc': open(name, 'wb').write(b'x' * 700_000)\n"
    outcome = launch.python(write + moment, limits={"output_bytes": 2_000_000})
    assert outcome["reason"] == "output_limit"
    assert "2.0 MB: together they had 2.1 MB" in outcome["detail"]


def test_it_tells_a_small_excess_apart_from_the_limit(launch: Launch) -> None:
    write = "for name in 'ab': open(name, 'wb').write(b'x' * 1_000_150)"
    outcome = launch.python(write, limits={"output_bytes": 2_000_200})
    assert "their limit of 2.0002 MB: together they had 2.0003 MB." in outcome["detail"]


@everywhere
@pytest.mark.parametrize("moment", ["import time; time.sleep(60)", "pass"])
def test_it_ends_a_run_that_makes_too_many_files(launch: Launch, moment: str) -> None:
    make = "import os\nfor n in range(30):\n    os.mkdir(str(n))\n    open(f'{n}/{n}', 'w').close()\n"
    outcome = launch.python(make + moment, limits={"files": 50})
    assert outcome["reason"] == "files_limit"
    assert "its limit of 50 files and folders: there were 60" in outcome["detail"]


@pytest.mark.parametrize("code", ["time.sleep(1.2)", "open('given', 'ab').write(b'x' * 900_000)"])
def test_it_counts_only_what_the_run_adds_to_what_it_was_given(launch: Launch, code: str) -> None:
    (launch.work / "given").write_bytes(b"x" * 2_000_000)
    outcome = launch.python(f"import time\n{code}", limits={"output_bytes": 1_000_000, "files": 1})
    assert (outcome["reason"], outcome["exit_status"]) == ("exited", 0)


@pytest.mark.parametrize("file", ["given", "new"])
def test_it_ends_a_run_that_adds_too_much_to_what_it_was_given(launch: Launch, file: str) -> None:
    (launch.work / "given").write_bytes(b"x" * 2_000_000)
    outcome = launch.run(["sh", "-c", f"cat /dev/zero >> {file}"], limits={"output_bytes": 1_000_000})
    assert outcome["reason"] == "output_limit"
    assert re.search(r"its files reached their limit of 1\.0+ MB", outcome["detail"])


def test_it_ends_a_run_that_adds_too_many_files_to_those_it_was_given(launch: Launch) -> None:
    for name in "ab":
        (launch.work / name).touch()
    outcome = launch.run(["touch", "c", "d"], limits={"files": 1})
    assert outcome["reason"] == "files_limit"
    assert "its limit of 1 files and folders: there were 2" in outcome["detail"]


@everywhere
@pytest.mark.parametrize("command", ["exec {}", "{}; exit $?", "{}; exit 0"])
def test_it_stops_a_single_file_before_it_fills_the_disk(launch: Launch, command: str) -> None:
    shell = command.format("head -c 50000000 /dev/zero > big")
    outcome = launch.run(["sh", "-c", shell], limits={"output_bytes": 1_000_000})
    assert outcome["reason"] == "output_limit"
    assert re.search(r"limit of 1\.0+ MB", outcome["detail"])
    assert (launch.work / "big").stat().st_size <= 1_001_024


def test_it_names_the_output_limit_for_a_file_that_lies_elsewhere(launch: Launch) -> None:
    shell = "head -c 100000 /dev/zero > ../big"
    outcome = launch.run(["sh", "-c", shell + "; exit $?"], limits={"output_bytes": 1000})
    assert outcome["reason"] == "output_limit"
    assert "one file of it" in outcome["detail"]


@everywhere
def test_it_names_the_processor_time_limit(launch: Launch) -> None:
    outcome = launch.run(["sh", "-c", "while :; do :; done"], limits={"cpu_seconds": 1})
    assert (outcome["reason"], outcome["signal"]) == ("cpu_time", signal.SIGTERM)
    assert "its limit of 1 s of processor time (it had used 1." in outcome["detail"]


def test_it_adds_up_the_processor_time_of_living_processes(launch: Launch) -> None:
    spin = "while :; do :; done"
    outcome = launch.run(["sh", "-c", f"for i in 1 2 3 4; do ({spin}) & done; wait"], limits={"cpu_seconds": 1})
    assert (outcome["reason"], outcome["signal"]) == ("cpu_time", signal.SIGTERM)
    assert outcome["usage"]["cpu_seconds"] > 1


SPIN = "import os, sys, time\nwhile time.process_time() < 0.3: pass"


def test_it_adds_up_the_processor_time_of_processes_that_have_gone(launch: Launch) -> None:
    (launch.work / "spin.py").write_text(SPIN)
    shell = f"while :; do {sys.executable} -I -S spin.py; done"
    outcome = launch.run(["sh", "-c", shell], limits={"cpu_seconds": 1})
    assert outcome["reason"] == "cpu_time"


@everywhere
def test_it_counts_the_processor_time_of_orphans_that_ended(launch: Launch) -> None:
    (launch.work / "spin.py").write_text(SPIN + "\nopen(sys.argv[1], 'w').close()")
    orphans = "".join(f"({sys.executable} -I -S spin.py {n} &)\n" for n in range(4))
    wait = "while [ ! -e 0 -o ! -e 1 -o ! -e 2 -o ! -e 3 ]; do sleep 0.02; done"
    outcome = launch.run(["sh", "-c", orphans + wait], limits={"cpu_seconds": 1})
    assert outcome["reason"] == "cpu_time"


TAKE = "kept = bytearray(b'x') * 60_000_000\n"
TAKE_IN_CHILDREN = "import os, time\nfor _ in range(4):\n    if os.fork() == 0: break\n" + TAKE + "time.sleep(60)"


def test_it_ends_a_run_that_takes_too_much_memory(launch: Launch) -> None:
    outcome = launch.python("import time\n" + TAKE + "time.sleep(60)", limits={"memory_bytes": 50_000_000})
    assert outcome["reason"] == "memory"
    assert "its memory limit of 50.0 MB: it had taken " in outcome["detail"]
    assert outcome["usage"]["max_memory_bytes"] > 50_000_000


@everywhere
def test_it_adds_up_the_memory_of_all_processes(launch: Launch) -> None:
    outcome = launch.python(TAKE_IN_CHILDREN, limits={"memory_bytes": 200_000_000})
    assert outcome["reason"] == "memory"
    assert outcome["usage"]["max_memory_bytes"] > 200_000_000


SHARE = """
import os, time
kept = bytearray(b"x") * 60_000_000
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        time.sleep(60)
    children.append(child)
time.sleep(1)
for child in children:
    os.kill(child, 9)
"""


@everywhere
def test_it_counts_memory_that_processes_share_only_once(launch: Launch) -> None:
    outcome = launch.python(SHARE, limits={"memory_bytes": 200_000_000})
    assert outcome["reason"] == "exited"
    assert 60_000_000 < outcome["usage"]["max_memory_bytes"] < 150_000_000


def test_what_has_just_died_holds_no_memory() -> None:
    with subprocess.Popen(["true"]) as died:
        died.wait()

    assert launching.share_of_memory(str(died.pid), resident=10**9) == 0


def test_it_finds_too_much_memory_even_when_the_process_was_quick(launch: Launch) -> None:
    outcome = launch.python(TAKE, limits={"memory_bytes": 50_000_000})
    assert (outcome["reason"], outcome["exit_status"]) == ("memory", 0)


def test_it_lets_a_program_reserve_more_memory_than_it_uses(launch: Launch) -> None:
    code = "import mmap; kept = mmap.mmap(-1, 4_000_000_000); kept[0] = 1"
    assert launch.python(code, limits={"memory_bytes": 200_000_000})["reason"] == "exited"


@everywhere
def test_it_does_not_count_its_own_memory_as_the_programs(launch: Launch) -> None:
    assert launch.run(["true"], limits={"memory_bytes": 5_000_000})["reason"] == "exited"


def test_it_rests_while_many_processes_do_nothing(launch: Launch) -> None:
    launch.write(
        ["sh", "-c", "for i in $(seq 50); do sleep 60 & done; sleep 2; exit 7"], limits={"memory_bytes": 10**9}
    )
    launcher = launch.start()
    launcher.returncode = 0
    os.waitid(os.P_PID, launcher.pid, os.WEXITED | os.WNOWAIT)
    fields = Path(f"/proc/{launcher.pid}/stat").read_text().rpartition(")")[2].split()
    os.waitpid(launcher.pid, 0)
    assert launch.outcome()["exit_status"] == 7
    assert (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") < 0.6


def test_it_leaves_no_verdict_when_it_cannot_read_what_to_do(launch: Launch) -> None:
    launch.write(["true"], limits={"wall_secnods": 5})
    assert launch.start().wait(PATIENCE) == 1
    assert b"wall_secnods" in (launch.directory / "launcher.log").read_bytes()
    assert not (launch.directory / "launched.json").exists()
    assert not (launch.directory / "outcome.json").exists()


@everywhere
def test_it_leaves_no_verdict_and_no_process_when_it_fails_itself(launch: Launch) -> None:
    launch.write(["sh", "-c", "sleep 600 & echo something; wait"])
    (launch.directory / "stdout").symlink_to("/dev/full")
    assert launch.start().wait(PATIENCE) == 1
    assert not processes_in(launch.work)
    assert not (launch.directory / "outcome.json").exists()
    assert b"No space left" in (launch.directory / "launcher.log").read_bytes()


def test_it_leaves_no_process_that_goes_on_writing_where_nothing_can_be_written(launch: Launch) -> None:
    child = "trap '' TERM PIPE; echo $$ > child; while :; do echo more; sleep 0.02; done"
    launch.write(["sh", "-c", f"setsid sh -c '{child.replace(chr(39), chr(34))}' & wait"])
    (launch.directory / "stdout").symlink_to("/dev/full")
    assert launch.start().wait(PATIENCE) == 1
    assert not is_alive(launch.pid("child"))
    assert not (launch.directory / "outcome.json").exists()


def test_it_fails_when_the_last_words_of_a_run_cannot_be_written(launch: Launch) -> None:
    launch.write(["echo", "something"])
    (launch.directory / "stdout").symlink_to("/dev/full")
    assert launch.start().wait(PATIENCE) == 1
    assert not (launch.directory / "outcome.json").exists()


def test_it_starts_nothing_after_its_time(launch: Launch) -> None:
    launch.write(["touch", "begun"])
    assert launch.start(str(time.monotonic() - 0.1)).wait(PATIENCE) == 1
    assert not (launch.work / "begun").exists()
    assert not (launch.directory / "outcome.json").exists()
    assert b"not started in time" in (launch.directory / "launcher.log").read_bytes()


def test_it_starts_a_run_in_time(launch: Launch) -> None:
    launch.write(["touch", "begun"])
    assert launch.start(str(time.monotonic() + PATIENCE)).wait(PATIENCE) == 0
    assert launch.outcome()["reason"] == "exited"
