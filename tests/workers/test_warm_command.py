"""Commands whose launchers wait for them: they find what they find when started fresh, and nothing of one another."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.limits import Limits
from portal.domain.states import State
from portal.models import Submission
from portal.services import progress
from portal.settings import settings
from tests.levels import offered
from tests.making import make_job, make_task, submitted
from tests.servers import eventually
from tests.workers.alike import Twice, left
from workers.confinement.probes import WALLED
from workers.warm import lines, proofs

WARM = pytest.mark.parametrize("level", [f"{level} warm" for level in offered()], indirect=True)
LIMITED = Limits(wall_seconds=600, cpu_seconds=60, output_bytes=1_000_001, memory_bytes=500_000_000)
ALIKE = {
    "its name and words": "basename $0; echo $#",
    "its environment": "env | sort; set | grep -c PORTAL",
    "what it has open": "ls /proc/self/fd; readlink /proc/self/fd/0; cat",
    "its signals": "grep ^Sig[BIC] /proc/self/status | sed 's/[01][08]0000000$//'",  # two are the C library's own,
    "its limits": "sort /proc/self/limits",
    "its place": "umask; id; [ $(ps -o sid= -p $$) = $$ ] && echo alone; [ $PWD = $HOME ] && echo home; ls -a",
    "what it may never gain": "grep -E '^(NoNewPrivs|Seccomp|Cap...):' /proc/self/status; cat /proc/self/oom_score_adj",
    "a program that is not there": "echo before\nnot-there --at-all\n",
    "a line that is none": "echo before\nif then",
    "an exit status": "exit 7",
    "a return": "return 3",
    "a signal to itself": "kill -TERM $$",
    "a signal to its child": "sh -c 'kill -KILL $$'",
    "what it does at its end": "trap 'echo bye' EXIT; echo first >&2; false",
    "several lines": "cat > here.out << END\none\nEND\nfor each in 1 2; do echo $each; done | tac",
    "much output": "head -c 300000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero | tr '\\0' y >&2",
    "what it leaves running": "sleep 600 & echo done",
}
LITTER = """
for each in / /dev /etc /tmp /dev/shm /var/tmp /run; do mkdir $each/left; echo left > $each/left.txt; done 2> /dev/null
ipcmk -Q -S 1
trap '' TERM
for each in 1 2 3; do (sleep 0.01 &); done
"""
FOUND = """
ls -A / /dev /etc /tmp /dev/shm /dev/pts
ls -A $HOME/../../.. | wc -l
set -- /proc/[0-9]*; echo $#
cat /proc/net/unix /proc/net/dev
grep -v ${HOME%/tmp/*} /proc/mounts | sed 's/id=[0-9]*//g' | sort
ipcs | tail -n +2
"""


@WARM
@pytest.mark.parametrize("what", ALIKE)
def test_it_finds_the_same_as_a_fresh_start(level: int, twice: Twice, what: str) -> None:
    warm, fresh = twice("command", ALIKE[what], outputs=(".out",), limits=LIMITED)

    assert warm == fresh


@WARM
def test_it_finds_its_signals_as_ever_where_only_an_interpreters_parent_takes_orders(
    level: int, twice: Twice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while the parent of commands is not ready: a launcher of the bare interpreter's starts a program then."""
    eventually(lambda: lines.is_open(lines.BARE))
    monkeypatch.setattr(proofs, "holds", lambda key: False)

    warm, fresh = twice("command", "grep ^SigIgn /proc/self/status", limits=LIMITED)

    assert warm == fresh


@WARM
def test_a_launcher_minds_one_after_another(level: int, session: Session, work: Callable[[], None]) -> None:
    """More than one, as another is made meanwhile where the machine is slow."""
    make_task(session, "t", "command", "echo $PPID $(readlink /proc/self/ns/pid)")
    make_job(session, "job", [(1, "t")])

    assert len({left(session, work).words for _ in range(12)}) < 7


@pytest.mark.parametrize("level", [f"{level} warm" for level in offered() if level >= WALLED], indirect=True)
def test_it_finds_nothing_of_another_run_of_its_launcher(
    level: int, session: Session, work: Callable[[], None]
) -> None:
    make_task(session, "litter", "command", LITTER)
    make_job(session, "before", [(1, "litter")])
    make_task(session, "t", "command", FOUND)
    make_job(session, "job", [(1, "t")])
    before = left(session, work).words[1]

    for _ in range(3):
        submitted(session, "before")
        work()
        assert left(session, work).words[1].splitlines() == before.splitlines()


@WARM
def test_what_one_used_is_not_counted_to_the_next(level: int, session: Session, work: Callable[[], None]) -> None:
    much = used(
        session, work, "much", "x=$(head -c 60000000 /dev/zero | tr '\\0' x); for each in 1 2 3; do y=$x$each; done"
    )
    little = used(session, work, "little", "true")

    assert much["max_memory_bytes"] > 60_000_000 > little["max_memory_bytes"]
    assert much["cpu_seconds"] > little["cpu_seconds"]


@WARM
def test_a_signal_that_is_for_another_run_ends_nothing(level: int, session: Session, work: Callable[[], None]) -> None:
    """It may come late, when its launcher has another run already."""
    submission = begun(session, work, lambda launcher: os.kill(launcher, signal.SIGTERM))

    assert submission.state is State.COMPLETE


@WARM
def test_a_run_whose_launcher_is_killed_is_tried_again(level: int, session: Session, work: Callable[[], None]) -> None:
    submission = begun(session, work, lambda launcher: os.kill(launcher, signal.SIGKILL))

    eventually(lambda: ended(session, work, submission))
    assert submission.state is State.COMPLETE
    assert [run.attempt for run in submission.runs] == [2]


@WARM
def test_a_run_that_is_stopped_is_not_followed_by_its_signal(
    level: int, session: Session, work: Callable[[], None]
) -> None:
    stopped = begun(session, work, lambda _: stop_all(), "endless", "while sleep 0.1; do echo on; done")
    after = begun(session, work)

    assert [each.state for each in (stopped, after)] == [State.STOPPED, State.COMPLETE]


def used(session: Session, work: Callable[[], None], name: str, line: str) -> dict[str, float]:
    make_task(session, name, "command", line)
    make_job(session, name, [(1, name)])
    submission = submitted(session, name)
    work()
    session.expire_all()
    [run] = submission.runs
    assert run.usage is not None
    return run.usage


def begun(
    session: Session,
    work: Callable[[], None],
    meanwhile: Callable[[int], None] = lambda _: None,
    name: str = "short",
    line: str = "sleep 0.5; echo done",
) -> Submission:
    """A run that takes a moment, at whose first try something happens to its launcher."""
    make_task(session, name, "command", line)
    make_job(session, name, [(1, name)])
    submission = submitted(session, name)
    [run] = submission.runs
    minded = settings().runs_directory / f"{run.uuid}.1" / "launched.json"
    happening = threading.Thread(target=lambda: meanwhile(launcher_of(minded)))
    happening.start()
    work()
    happening.join()
    session.expire_all()
    return submission


def ended(session: Session, work: Callable[[], None], submission: Submission) -> bool:
    work()
    session.expire_all()
    return submission.state.final


def launcher_of(minded: Path) -> int:
    eventually(minded.exists, pause=0.01)
    pid: int = json.loads(minded.read_text())["pid"]
    return pid


def stop_all() -> None:
    with transaction() as session:
        for submission in session.scalars(select(Submission)):
            progress.stop(session, submission)
