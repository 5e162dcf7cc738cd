"""A run's directory as its worker sees it: what lies there before, during and after the run."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from sqlalchemy.orm import Session

from portal import queue, storage
from portal.database import transaction
from portal.domain.errors import Unavailable
from portal.domain.limits import Limits
from portal.services import progress
from portal.services.progress import Claim
from portal.settings import settings
from tests.making import make_job, make_task, submitted
from tests.servers import eventually
from workers.runners import local
from workers.workspace import LOG_STEP, Workspace, short_of_disk

CUT = b"\n[log cut: the whole output is in the result file]\n"


@pytest.fixture
def claimed(session: Session, data: Path) -> Callable[..., Claim]:
    """The claim on the one run of a submission of this command."""

    def claim(code: str, limits: Limits | None = None, **more: Any) -> Claim:
        make_task(session, "t", "command", code, **more)
        make_job(session, "job", [(1, "t")])
        submitted(session, "job")
        with transaction(session):
            found = progress.claim(session, [queue.EVERY], "test", local.HOST)
        assert found is not None
        return limited(found, limits) if limits else found

    return claim


def limited(claim: Claim, limits: Limits) -> Claim:
    """The same claim with limits of its own: those of its backend are another matter."""
    return replace(claim, frozen={**claim.frozen, "limits": asdict(limits)})


@pytest.fixture
def start(session: Session, claimed: Callable[..., Claim]) -> Iterator[Callable[..., Workspace]]:
    """A started run of a command."""
    spaces = []

    def started(code: str, **more: Any) -> Workspace:
        workspace = Workspace.of(claimed(code, **more))
        workspace.prepare(workspace.sources(session))
        spaces.append(workspace.space)
        workspace.beat()
        local.start(local.handle(workspace.space))
        return workspace

    yield started
    for space in spaces:
        local.end_abandoned(space)
        if local._json(space / "launched.json") is None:
            local._reap(str(space))


def outcome(workspace: Workspace) -> Any:
    return local.wait(local.handle(workspace.space), 30)


def read(workspace: Workspace, stream: str) -> list[bytes]:
    """All that is to be shipped of a stream, piece by piece, each where the one before it ended."""
    pieces: list[bytes] = []
    end = workspace.shipped[stream]
    while written := workspace.written():
        for each in written:
            if each.stream == stream:
                assert each.start == end
                end += len(each.data)
                pieces.append(each.data)
        workspace.ship(written)
    return pieces


def living(space: Path) -> list[int]:
    """The processes of a run's directory, its launcher included."""
    mark = f"TMPDIR={space / 'tmp'}".encode()
    launched = local._json(space / "launched.json") or {}
    launcher = [pid for pid in local._pids() if pid == launched.get("pid") and local._start_time(pid)]
    return launcher + [pid for pid in local._pids() if mark in local._environment(pid)]


def pid_of(workspace: Workspace, name: str = "main") -> int:
    """The process that wrote its number into that file of the work directory."""
    file = workspace.directory / name
    eventually(lambda: file.exists() and file.read_text().endswith("\n"), pause=0.01)
    return int(file.read_text())


def test_it_makes_nothing_when_half_of_it_cannot_be_made(session: Session, claimed: Callable[..., Claim]) -> None:
    workspace = Workspace.of(claimed("cat $I1", inputs=(".txt",)))
    shutil.rmtree(settings().files_directory)

    with pytest.raises(Exception, match="not kept any more"):
        workspace.prepare(workspace.sources(session))

    assert list(settings().runs_directory.iterdir()) == []


def test_it_makes_a_directory_anew_where_an_earlier_one_could_not_be_entered(
    session: Session, claimed: Callable[..., Claim]
) -> None:
    workspace = Workspace.of(claimed("true"))
    (workspace.space / "tmp" / "closed").mkdir(parents=True)
    (workspace.space / "tmp" / "closed" / "file").touch()
    (workspace.space / "tmp" / "closed").chmod(0)

    workspace.prepare(workspace.sources(session))

    assert list(workspace.temporary.iterdir()) == [workspace.directory]


def test_it_refuses_a_run_below_the_floor_of_free_disk(
    claimed: Callable[..., Claim], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace.of(claimed("true"))
    workspace.check_room()
    assert not short_of_disk(settings().runs_directory)

    monkeypatch.setenv("PORTAL_DISK_FLOOR_BYTES", str(2**60))
    settings.cache_clear()

    assert short_of_disk(settings().runs_directory)
    assert short_of_disk(Path("/no/such/place"))
    with pytest.raises(Unavailable, match="too little free disk on the worker's machine"):
        workspace.check_room()


@pytest.mark.parametrize(
    ("limit", "code", "sentence"),
    [
        ({"wall_seconds": 1}, "sleep 60", "its time limit of 1 s (it had run for "),
        ({"cpu_seconds": 1}, "while :; do :; done", "its limit of 1 s of processor time (it had used "),
        ({"memory_bytes": 100_000}, "sleep 60", "its memory limit of 100.0 kB: it had taken "),
        ({"output_bytes": 50_000}, "head -c 60000 /dev/zero > x; sleep 60", "files reached their limit of 50."),
        (
            {"output_bytes": 50_000},
            "head -c 60000 /dev/zero > $TMP/x; sleep 60",
            "files reached their limit of 50.",
        ),
        ({"files": 5}, "touch 1 2 3 4 5 6; sleep 60", "its limit of 5 files and folders: there were "),
        ({"log_bytes": 500}, "seq 1000; sleep 60", "its standard output reached the log limit of 500 bytes"),
    ],
)
def test_it_hands_each_limit_of_the_task_to_the_run(
    start: Callable[..., Workspace], limit: dict[str, int], code: str, sentence: str
) -> None:
    assert sentence in outcome(start(code, limits=Limits(**limit))).detail


def test_it_keeps_what_was_written_before_a_limit_ended_the_run(start: Callable[..., Workspace]) -> None:
    code = "echo kept > a.csv; head -c 60000 /dev/zero > b.csv; sleep 60"
    workspace = start(code, outputs=(".csv",), limits=Limits(output_bytes=50_000))
    assert outcome(workspace).reason == "output_limit"

    found = workspace.collect()

    assert [kept.blob.size for kept in found.kept] == [5]
    assert "b.csv" in found.left[0]


def test_it_stores_nothing_when_it_cannot_store_all(
    start: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = start("echo 1 > a.csv; echo 2 > b.csv", outputs=(".csv",))
    outcome(workspace)
    adopt = storage.adopt

    def full_at_the_second(key: str, stream: BinaryIO) -> storage.Blob | None:
        if key.endswith("-2"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return adopt(key, stream)

    monkeypatch.setattr(storage, "adopt", full_at_the_second)
    with pytest.raises(OSError, match="No space"):
        workspace.collect()

    runs = settings().files_directory / "runs"
    assert [path for path in runs.rglob("*") if path.is_file()] == []


def test_it_gives_a_log_in_order_piece_by_piece_and_each_byte_once(start: Callable[..., Workspace]) -> None:
    workspace = start("seq 100000; echo oops >&2; touch written; while [ ! -e go ]; do sleep 0.02; done; echo end")
    eventually((workspace.directory / "written").exists, pause=0.01)
    eventually(lambda: (workspace.space / "stderr").stat().st_size == 5, pause=0.01)
    pieces = read(workspace, "stdout")
    assert workspace.written() == []
    (workspace.directory / "go").touch()
    outcome(workspace)

    pieces += read(workspace, "stdout")

    assert max(map(len, pieces)) <= LOG_STEP
    assert b"".join(pieces) == b"".join(b"%d\n" % number for number in range(1, 100_001)) + b"end\n"


def test_it_marks_a_log_that_was_cut(start: Callable[..., Workspace]) -> None:
    workspace = start("seq 1000 >&2", limits=Limits(log_bytes=500))
    outcome(workspace)

    log = b"".join(read(workspace, "stderr"))

    assert log[500:] == b"\n[log cut: more than 500 bytes]\n"
    assert workspace.written() == []


def test_it_marks_once_that_a_long_result_goes_on_beyond_its_log(start: Callable[..., Workspace]) -> None:
    code = "seq 1000; touch written; while [ ! -e go ]; do sleep 0.02; done; seq 1000"
    workspace = start(code, stdout=".txt", limits=Limits(log_bytes=500))
    eventually((workspace.directory / "written").exists, pause=0.01)
    eventually(lambda: workspace.written() and read(workspace, "stdout")[-1] == CUT, pause=0.01)
    (workspace.directory / "go").touch()
    assert outcome(workspace).reason == "exited"

    assert workspace.written() == []
    [kept] = workspace.collect().kept
    assert kept.blob.size == 2 * len("".join(f"{number}\n" for number in range(1, 1001)))


def test_it_leaves_the_log_of_a_result_of_exactly_its_length_unmarked(start: Callable[..., Workspace]) -> None:
    workspace = start("head -c 500 /dev/zero", stdout=".txt", limits=Limits(log_bytes=500))
    outcome(workspace)

    assert read(workspace, "stdout") == [bytes(500)]


def test_it_ships_no_other_file_that_a_program_links_in_place_of_its_result(start: Callable[..., Workspace]) -> None:
    workspace = start("rm $ID.txt; ln -s /etc/passwd $ID.txt", stdout=".txt", limits=Limits(log_bytes=5))
    outcome(workspace)

    assert workspace.written() == []


@pytest.mark.parametrize("end", [0, 3, 500, 500 + len(CUT)])
def test_it_goes_on_where_the_kept_log_ends(start: Callable[..., Workspace], end: int) -> None:
    first = start("seq 1000", stdout=".txt", limits=Limits(log_bytes=500))
    outcome(first)
    whole = b"".join(read(first, "stdout"))

    second = Workspace(first.space, first.claim)
    second.resume_log({"stdout": end, "elsewhere": 7})

    assert b"".join(read(second, "stdout")) == whole[end:]
    assert second.shipped == {"stdout": len(whole), "stderr": 0}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    """Launchers wait two seconds for a sign of life."""
    monkeypatch.setenv("PORTAL_LEASE_SECONDS", "1")
    monkeypatch.setenv("PORTAL_BEAT_SECONDS", "0.1")
    settings.cache_clear()


def test_it_lets_a_run_that_was_handed_over_wait_for_the_next_worker(
    impatient: None, start: Callable[..., Workspace]
) -> None:
    workspace = start("sleep 4")

    workspace.hand_over(60)

    assert outcome(workspace).reason == "exited"


def test_it_ends_a_run_that_was_handed_over_and_not_taken_in_time(
    impatient: None, start: Callable[..., Workspace]
) -> None:
    workspace = start("sleep 60")

    workspace.hand_over(0.5)

    found = outcome(workspace)
    assert (found.reason, "for 1.5 s" in found.detail) == ("abandoned", True)


def test_it_brings_the_usual_patience_back_with_the_next_beat(impatient: None, start: Callable[..., Workspace]) -> None:
    workspace = start("sleep 60")

    workspace.hand_over(60)
    workspace.beat()

    found = outcome(workspace)
    assert (found.reason, "for 2.0 s" in found.detail) == ("abandoned", True)


def test_it_ends_a_run_that_nobody_looks_after(start: Callable[..., Workspace]) -> None:
    workspace = start("sleep 600 & echo $$ > main; sleep 600")
    pid_of(workspace)

    assert local.end_abandoned(workspace.space)

    assert living(workspace.space) == []
    assert json.loads((workspace.space / "outcome.json").read_text())["reason"] == "stopped"


def test_it_ends_an_abandoned_run_whose_launcher_is_frozen(
    start: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.workspace.GRACE_SECONDS", 0.1)
    monkeypatch.setattr(local, "LATE_SECONDS", 0.5)
    workspace = start("setsid sleep 600 & echo $$ > main; sleep 600")
    pid_of(workspace)
    os.kill(json.loads((workspace.space / "launched.json").read_text())["pid"], signal.SIGSTOP)

    assert local.end_abandoned(workspace.space)

    assert living(workspace.space) == []


def test_it_ends_what_a_killed_launcher_left_in_an_abandoned_directory(start: Callable[..., Workspace]) -> None:
    workspace = start("(sleep 600; true) & echo $$ > main; sleep 600")
    pid_of(workspace)
    os.kill(json.loads((workspace.space / "launched.json").read_text())["pid"], signal.SIGKILL)

    assert local.end_abandoned(workspace.space)

    assert living(workspace.space) == []


def test_it_has_nothing_to_end_where_nothing_was_launched(tmp_path: Path) -> None:
    assert local.end_abandoned(tmp_path)
    assert local.end_abandoned(tmp_path / "none")


@pytest.mark.parametrize("other", [{"boot": "another"}, {"namespace": "pid:[1]"}])
def test_it_leaves_the_directory_of_another_machine_or_container_alone(
    start: Callable[..., Workspace], other: dict[str, str]
) -> None:
    workspace = start("echo $$ > main; sleep 600")
    main = pid_of(workspace)
    launched = workspace.space / "launched.json"
    true = launched.read_text()
    launched.write_text(json.dumps({**json.loads(true), **other}))

    assert not local.end_abandoned(workspace.space)

    assert main in living(workspace.space)
    launched.write_text(true)


def test_it_never_ends_a_process_that_only_bears_the_launchers_number(tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    launched = {"pid": stranger.pid, "started": 1, "boot": local.BOOT, "namespace": local.NAMESPACE}
    (tmp_path / "launched.json").write_text(json.dumps(launched))

    assert local.end_abandoned(tmp_path)

    stranger.communicate(b"\n")
    assert stranger.returncode == 0
