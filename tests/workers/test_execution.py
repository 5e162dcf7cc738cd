"""A run, from submission to its end, done by real launchers and real programs."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from portal import queue
from portal.database import now, transaction
from portal.domain.limits import Limits
from portal.domain.retries import Retries
from portal.domain.states import State
from portal.domain.verdict import Then
from portal.models import Run, Submission
from portal.services import logs, progress, results
from portal.settings import settings
from tests.making import make_backend, make_job, make_task, submitted
from tests.servers import eventually
from workers.execution import never, perform
from workers.runners import local
from workers.sweep import sweep
from workers.workspace import Workspace

Work = Callable[[], None]


def test_it_runs_a_command_and_keeps_its_standard_output(session: Session, work: Callable[[], None]) -> None:
    make_task(session, "count", "command", "wc -l < $I1", inputs=(".txt",), stdout=".count")
    make_job(session, "lines", [(1, "count")])
    submission = submitted(session, "lines", b"a\nb\n")
    work()
    session.expire_all()
    assert submission.state is State.COMPLETE
    [kept] = results.of_submission(submission)
    assert kept.name == f"{submission.uuid}.count"
    with results.open_file(results.find(session, kept.name)) as stream:
        assert stream.read().strip() == b"2"


@pytest.fixture
def ran(session: Session, work: Work) -> Callable[..., Submission]:
    """One command as a job of its own, submitted and worked through."""

    def run(code: str, **more: object) -> Submission:
        make_task(session, "t", "command", code, **more)
        make_job(session, "job", [(1, "t")])
        submission = submitted(session, "job")
        work()
        session.expire_all()
        return submission

    return run


def names(submission: Submission) -> list[str]:
    return [result.name.removeprefix(submission.uuid) for result in results.of_submission(submission)]


def content(session: Session, submission: Submission, ending: str) -> bytes:
    with results.open_file(results.find(session, submission.uuid + ending)) as stream:
        return stream.read()


def only(submission: Submission) -> Run:
    [run] = submission.runs
    return run


@pytest.mark.parametrize(
    ("rules", "state"),
    [
        ({}, State.ERROR),
        ({"exit_statuses": (3,), "on_exit_status": Then.CONTINUE}, State.COMPLETE),
        ({"exit_statuses": (3,), "on_exit_status": Then.FAIL}, State.ERROR),
        ({"exit_statuses": (4,), "on_exit_status": Then.CONTINUE}, State.ERROR),
    ],
)
def test_it_does_as_the_tasks_rules_say_about_an_exit_status(
    ran: Callable[..., Submission], rules: dict[str, object], state: State
) -> None:
    submission = ran("echo kept > a.txt; exit 3", outputs=(".txt",), **rules)

    assert (submission.state, only(submission).exit_status) == (state, 3)
    assert names(submission) == [".a.txt"]


@pytest.mark.parametrize(("then", "state"), [(Then.FAIL, State.ERROR), (Then.CONTINUE, State.COMPLETE)])
def test_it_does_as_the_tasks_rules_say_about_a_missing_output(
    ran: Callable[..., Submission], then: Then, state: State
) -> None:
    submission = ran("touch a.csv", outputs=(".csv", ".png"), on_missing_output=then)

    assert submission.state is state
    assert "No file with the ending .png was written" in only(submission).reason
    assert names(submission) == [".a.csv"]


def test_it_keeps_every_file_of_an_ending_in_the_order_of_the_tasks_outputs(ran: Callable[..., Submission]) -> None:
    submission = ran("touch b.csv a.csv x.png graph.out other.out $O1", outputs=(".png", ".csv", "graph.out"))

    assert names(submission) == [".png", ".x.png", ".a.csv", ".b.csv", ".graph.out"]


def test_it_keeps_files_apart_that_would_bear_one_public_name(session: Session, ran: Callable[..., Submission]) -> None:
    submission = ran("echo 1 > x.csv; echo 2 > $ID.x.csv; echo 3 > .x.csv", outputs=(".csv",))

    found = {content(session, submission, name) for name in names(submission)}
    assert (submission.state, found) == (State.COMPLETE, {b"1\n", b"2\n", b"3\n"})


def test_it_finds_an_output_among_any_number_of_other_files(ran: Callable[..., Submission]) -> None:
    submission = ran("i=0; while [ $i -lt 1100 ]; do : > a$i.tmp; i=$((i+1)); done; : > z.csv", outputs=(".csv",))

    assert (submission.state, names(submission)) == (State.COMPLETE, [".z.csv"])


def test_it_keeps_no_file_from_elsewhere_and_gives_odd_names_plain_ones(
    session: Session, ran: Callable[..., Submission], tmp_path: Path
) -> None:
    (tmp_path / "secret.csv").write_text("secret")
    code = (
        f"ln -s {tmp_path}/secret.csv link.csv; ln {tmp_path}/secret.csv hard.csv; mkfifo pipe.csv\n"
        "mkdir dir.csv; echo x > dir.csv/in.csv; echo x > ../above.csv; echo x > 'odd\tname.csv'; echo x > good.csv"
    )

    submission = ran(code, outputs=(".csv",))

    assert names(submission) == [".good.csv", ".odd_name.csv"]


def test_it_misses_an_output_that_only_a_link_stands_for(ran: Callable[..., Submission], tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("secret")

    submission = ran(f"ln {tmp_path}/secret.csv hard.csv", outputs=(".csv",))

    assert (submission.state, names(submission)) == (State.ERROR, [])


def test_it_does_not_take_an_untouched_input_for_an_output(ran: Callable[..., Submission]) -> None:
    submission = ran("true", inputs=(".txt",), outputs=(".txt",))

    assert only(submission).reason.endswith("No file with the ending .txt was written")


def test_it_gives_a_program_a_clean_environment_with_the_tasks_variables(
    session: Session, ran: Callable[..., Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "hush")
    monkeypatch.setenv("SECRET_KEY", "3f9a6c1e8b2d7054" * 2 + "kept from runs")
    settings.cache_clear()

    submission = ran("env", stdout=".env", variables=(("SPECIES", "it's 'a' $b 😀"), ("EMPTY", "")))

    told = dict(line.split("=", 1) for line in content(session, submission, ".env").decode().splitlines())
    assert (told["SPECIES"], told["EMPTY"], told["LANG"]) == ("it's 'a' $b 😀", "", "C.UTF-8")
    assert told.keys() <= {"PATH", "HOME", "TMPDIR", "LANG", "SPECIES", "EMPTY", "PWD", "SHLVL", "_", "OLDPWD"}
    assert submission.uuid in told["HOME"]


def test_it_ends_a_run_at_its_time_limit(ran: Callable[..., Submission]) -> None:
    submission = ran("echo begun; sleep 300", limits=Limits(wall_seconds=1))

    assert submission.state is State.ERROR
    assert "reached its time limit of 1 s" in only(submission).reason


def test_it_keeps_what_a_program_wrote_to_both_its_streams(session: Session, ran: Callable[..., Submission]) -> None:
    submission = ran("head -c 600000 /dev/zero | tr '\\0' a; echo; echo oops >&2")

    run = only(submission)
    assert logs.whole(session, run, "stdout") == b"a" * 600_000 + b"\n"
    assert logs.whole(session, run, "stderr") == b"oops\n"
    assert run.usage


def test_it_says_that_a_program_was_not_found(session: Session, ran: Callable[..., Submission]) -> None:
    submission = ran("no-such-program $I1", inputs=(".txt",))

    assert (submission.state, only(submission).exit_status) == (State.ERROR, 127)
    assert "no-such-program: not found" in logs.last_lines(session, only(submission), "stderr", 200)


def test_it_hands_earlier_results_and_the_upload_to_later_steps(session: Session, work: Work) -> None:
    make_task(session, "cut", "command", "tr a b < $I1 > $O1; echo 2 > two.part", inputs=(".txt",), outputs=(".part",))
    make_task(session, "same", "command", "echo side > $O1", outputs=(".side",))
    join = "cat $I1 $I2; cat $ID.two.part; cat $I3"
    make_task(session, "join", "command", join, inputs=(".part", ".side", ".txt"), stdout=".all")
    make_job(session, "flow", [(10, "cut"), (10, "same"), (20, "join")])
    submission = submitted(session, "flow", b"aaa\n")

    work()

    session.expire_all()
    assert submission.state is State.COMPLETE, submission.messages[-1].sentence
    assert content(session, submission, ".all") == b"bbb\nside\n2\naaa\n"


def test_it_leaves_no_directory_behind(ran: Callable[..., Submission]) -> None:
    ran("mkdir -p deep/er; touch deep/er/x; ln -s / link; chmod 0 deep .")

    assert list(settings().runs_directory.iterdir()) == []


def test_it_runs_below_the_root_directory_of_its_backend(
    session: Session, ran: Callable[..., Submission], tmp_path: Path
) -> None:
    make_backend(session, root_directory=str(tmp_path / "elsewhere"))

    submission = ran("pwd; echo $TMP", stdout=".txt")

    first, second = content(session, submission, ".txt").decode().split()
    assert first == f"{second}/{submission.uuid}"
    assert Path(second).is_relative_to(tmp_path / "elsewhere")


def test_it_gives_a_run_back_when_the_machine_cannot_hold_it(
    session: Session, ran: Callable[..., Submission], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    make_backend(session, root_directory=str(tmp_path / "file"))

    submission = ran("true")

    assert (submission.state, only(submission).lost) == (State.QUEUED, 1)
    assert "is tried again" in only(submission).reason
    assert str(tmp_path) not in only(submission).reason


@pytest.fixture
def begun(session: Session, tmp_path: Path) -> Iterator[Callable[..., Submission]]:
    """Submits a command as a job and sees it through beside the test, which goes on when the command has begun."""
    threads: list[threading.Thread] = []

    def begin(code: str, ending: Callable[[], bool] = never, **more: object) -> Submission:
        make_task(session, "t", "command", f"echo $$ >> {tmp_path}/began; {code}", **more)
        make_job(session, "job", [(1, "t")])
        submission = submitted(session, "job")
        threads.append(threading.Thread(target=perform, args=(claimed(session), ending)))
        threads[0].start()
        eventually((tmp_path / "began").exists)
        return submission

    yield begin
    for thread in threads:
        thread.join()


def wait_for(session: Session, submission: Submission, state: State) -> None:
    def reached() -> bool:
        session.rollback()
        session.expire_all()
        return only(submission).state is state

    eventually(reached)


def wait_for_hand_over(session: Session, submission: Submission) -> None:
    def handed_over() -> bool:
        session.rollback()
        session.expire_all()
        return only(submission).worker == ""

    eventually(handed_over)


def stop(session: Session, submission: Submission) -> None:
    with transaction(session):
        progress.stop(session, submission)


def test_it_stops_a_running_program_on_request_and_keeps_what_it_gave(
    session: Session, begun: Callable[..., Submission], tmp_path: Path
) -> None:
    submission = begun(f"echo half > a.csv; sleep 300 & echo $! >> {tmp_path}/began; sleep 300", outputs=(".csv",))
    eventually(lambda: len((tmp_path / "began").read_text().split()) == 2)

    stop(session, submission)

    wait_for(session, submission, State.STOPPED)
    assert (submission.state, names(submission)) == (State.STOPPED, [".a.csv"])
    assert not [pid for pid in (tmp_path / "began").read_text().split() if Path("/proc", pid).exists()]


def test_it_never_starts_what_was_stopped_after_its_claim(session: Session, data: Path, tmp_path: Path) -> None:
    make_task(session, "t", "command", f"touch {tmp_path}/began")
    make_job(session, "job", [(1, "t")])
    submission = submitted(session, "job")
    claim = claimed(session)
    stop(session, submission)

    perform(claim)

    session.expire_all()
    assert submission.state is State.STOPPED
    assert not (tmp_path / "began").exists()
    assert not list(settings().runs_directory.iterdir())


def test_it_brings_the_log_while_the_program_runs(session: Session, begun: Callable[..., Submission]) -> None:
    submission = begun("echo early; sleep 300")

    def log() -> bytes:
        session.rollback()
        session.expire_all()
        return logs.whole(session, only(submission), "stdout")

    assert eventually(log) == b"early\n"
    stop(session, submission)


def test_it_tries_again_what_failed_as_the_tasks_rules_say_and_keeps_each_log(
    session: Session, ran: Callable[..., Submission], work: Work, tmp_path: Path
) -> None:
    code = f"echo x >> {tmp_path}/tries; wc -l < {tmp_path}/tries; touch a.csv; test $(wc -l < {tmp_path}/tries) = 2"
    submission = ran(code, outputs=(".csv",), retries=Retries(most=3, exit_statuses=(1,), wait_seconds=300))
    assert (only(submission).state, names(submission)) == (State.QUEUED, [])

    lose(session, seconds=1)
    work()

    session.expire_all()
    run = only(submission)
    assert (submission.state, run.retried, names(submission)) == (State.COMPLETE, 1, [".a.csv"])
    written = [logs.whole(session, run, "stdout", attempt.number) for attempt in run.attempts]
    assert written == [b"1\n", b"2\n"]


@pytest.mark.parametrize(
    ("code", "more", "state"),
    [
        ("sh -c 'kill -SEGV $$'", {}, State.QUEUED),
        ("kill -KILL $$", {}, State.QUEUED),
        ("exit 1", {}, State.ERROR),
        ("sh -c 'kill -SEGV $$'", {"exit_statuses": (139,), "on_exit_status": Then.FAIL}, State.ERROR),
    ],
)
def test_it_takes_the_crash_of_a_commands_program_for_a_crash(
    ran: Callable[..., Submission], code: str, more: dict[str, object], state: State
) -> None:
    submission = ran(code, retries=Retries(most=1, on_crash=True, wait_seconds=300), **more)

    assert only(submission).state is state


def test_it_names_the_signal_that_ended_a_commands_program(ran: Callable[..., Submission]) -> None:
    submission = ran("sh -c 'kill -SEGV $$'; exit $?")

    assert only(submission).reason == "Step 1 (t): Failed with exit status 139 (signal SEGV)"


def test_it_hands_a_running_program_over_to_the_next_worker(
    session: Session, begun: Callable[..., Submission], tmp_path: Path
) -> None:
    submission = begun(f"echo one; while [ ! -e {tmp_path}/go ]; do sleep 0.1; done; echo two", lambda: True)

    wait_for_hand_over(session, submission)
    (tmp_path / "go").touch()
    perform(claimed(session))

    session.expire_all()
    assert (submission.state, only(submission).lost) == (State.COMPLETE, 0)
    assert logs.whole(session, only(submission), "stdout") == b"one\ntwo\n"
    assert len((tmp_path / "began").read_text().split()) == 1


def test_it_ends_a_running_program_with_its_worker_where_the_setting_says_so(
    session: Session, begun: Callable[..., Submission], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PORTAL_AT_SHUTDOWN", "end")
    settings.cache_clear()

    submission = begun("sleep 300", lambda: (tmp_path / "began").exists())

    wait_for(session, submission, State.QUEUED)
    assert only(submission).lost == 0
    assert not Path("/proc", (tmp_path / "began").read_text().strip()).exists()


def full(session: Session, monkeypatch: pytest.MonkeyPatch, bytes_needed: int = 2**60) -> None:
    """Let there be less free disk than is needed."""
    monkeypatch.setenv("PORTAL_DISK_FLOOR_BYTES", str(bytes_needed))
    settings.cache_clear()


def test_it_lets_a_run_wait_uncounted_that_meets_a_full_disk(
    session: Session, ran: Callable[..., Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    full(session, monkeypatch)

    submission = ran("true")

    assert (only(submission).state, only(submission).lost) == (State.QUEUED, 0)
    assert "too little free disk" in only(submission).reason


def test_it_never_blames_a_program_for_a_full_disk(
    session: Session, begun: Callable[..., Submission], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    submission = begun(f"while [ ! -e {tmp_path}/go ]; do sleep 0.1; done; exit 3")

    full(session, monkeypatch)
    (tmp_path / "go").touch()

    wait_for(session, submission, State.QUEUED)
    assert only(submission).lost == 0


def claimed(session: Session) -> progress.Claim:
    with transaction(session):
        claim = progress.claim(session, [queue.EVERY], "test", local.HOST)
    assert claim is not None
    return claim


def break_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Workspace) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Workspace, "beat", broken)


def test_it_never_gives_back_what_it_cannot_look_after_while_it_lives(
    session: Session, begun: Callable[..., Submission], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    submission = begun("sleep 300", lambda: True)
    wait_for_hand_over(session, submission)

    break_workspace(monkeypatch)
    perform(claimed(session))

    session.expire_all()
    assert only(submission).state is State.QUEUED
    assert not Path("/proc", (tmp_path / "began").read_text().strip()).exists()


def lose(session: Session, seconds: float) -> None:
    """Let every lease have run out so long ago."""
    with transaction(session):
        session.execute(update(Run).values(lease=now(-seconds), due=now(-seconds)))


def test_it_takes_up_what_a_lost_worker_had_started_and_starts_it_once(
    session: Session, data: Path, tmp_path: Path
) -> None:
    make_task(session, "t", "command", f"echo ran >> {tmp_path}/log; echo kept", stdout=".txt")
    make_job(session, "job", [(1, "t")])
    submission = submitted(session, "job")
    lost = claimed(session)
    workspace = Workspace.of(lost)
    workspace.prepare(workspace.sources(session))
    with transaction(session):
        progress.started(session, lost, local.handle(workspace.space))
    local.start(local.handle(workspace.space))
    lose(session, seconds=1)

    perform(claimed(session))

    session.expire_all()
    assert (submission.state, only(submission).attempt) == (State.COMPLETE, 2)
    assert (tmp_path / "log").read_text() == "ran\n"
    assert content(session, submission, ".txt") == b"kept\n"


def test_it_tries_a_run_again_that_was_ended_while_the_database_took_no_word(
    session: Session, work: Work, tmp_path: Path
) -> None:
    make_task(session, "t", "command", "echo kept", stdout=".txt")
    make_job(session, "job", [(1, "t")])
    submission = submitted(session, "job")
    lost = claimed(session)
    workspace = Workspace.of(lost)
    workspace.prepare(workspace.sources(session))
    with transaction(session):
        progress.started(session, lost, local.handle(workspace.space))
    workspace.tidy()
    lose(session, seconds=1)

    perform(claimed(session))

    session.expire_all()
    assert "is tried again: its directory is gone from the worker's machine" in only(submission).reason
    assert (only(submission).state, only(submission).lost) == (State.QUEUED, 1)
    lose(session, seconds=1)
    work()
    session.expire_all()
    assert submission.state is State.COMPLETE


def test_it_starts_nothing_for_a_worker_whose_run_is_anothers_by_now(
    session: Session, data: Path, tmp_path: Path
) -> None:
    make_task(session, "t", "command", f"echo ran >> {tmp_path}/log", stdout=".txt")
    make_job(session, "job", [(1, "t")])
    submission = submitted(session, "job")
    ghost = claimed(session)
    lose(session, seconds=1000)
    sweep()
    lose(session, seconds=1000)
    live = claimed(session)

    perform(ghost)
    assert list(settings().runs_directory.iterdir()) == []
    perform(live)

    session.expire_all()
    assert (submission.state, only(submission).attempt) == (State.COMPLETE, 2)
    assert (tmp_path / "log").read_text() == "ran\n"


def test_it_gives_a_run_back_whose_launcher_is_gone_without_an_outcome(session: Session, data: Path) -> None:
    make_task(session, "t", "command", "true")
    make_job(session, "job", [(1, "t")])
    submission = submitted(session, "job")
    claim = claimed(session)
    workspace = Workspace.of(claim)
    workspace.prepare(workspace.sources(session))
    (workspace.space / "launch.json").write_text("{}")
    with transaction(session):
        progress.started(session, claim, local.handle(workspace.space))
    lose(session, seconds=1)

    perform(claimed(session))

    session.expire_all()
    assert (only(submission).state, only(submission).lost) == (State.QUEUED, 1)
    assert "is tried again: its launcher ended without an outcome" in only(submission).reason


def test_it_hands_each_step_of_a_chain_the_newest_file_of_an_ending(session: Session, work: Work) -> None:
    for number in "123":
        code = f"(cat $I1; printf {number}) > $O1"
        make_task(session, f"t{number}", "command", code, inputs=(".csv",), outputs=(".csv",))
    make_job(session, "job", [(1, "t1"), (2, "t2"), (3, "t3")])
    submission = submitted(session, "job", b"x")

    work()

    session.expire_all()
    written = [results.open_file(results.find(session, each.name)).read() for each in results.of_submission(submission)]
    assert written == [b"x1", b"x12", b"x123"]


def test_it_keeps_an_output_apart_from_the_input_of_the_same_ending(session: Session, work: Work) -> None:
    make_task(session, "t", "command", "sort -r $I1", inputs=(".txt",), stdout=".txt")
    make_job(session, "job", [(1, "t")])
    submission = submitted(session, "job", b"a\nb\n")

    work()

    session.expire_all()
    assert content(session, submission, ".txt") == b"b\na\n"


@pytest.mark.parametrize("code", ["rm $ID.log; mkfifo $ID.log", "rm $ID.log; ln -s /etc/passwd $ID.log"])
def test_it_neither_waits_for_nor_follows_what_a_program_puts_in_place_of_its_output(
    session: Session, ran: Callable[..., Submission], code: str
) -> None:
    submission = ran(f"echo early; {code}; exit 0", stdout=".log")

    assert only(submission).state is State.ERROR
    assert b"root:" not in logs.whole(session, only(submission), "stdout")


def test_it_bears_with_a_program_that_empties_its_temporary_directory(ran: Callable[..., Submission]) -> None:
    submission = ran("rm -rf $TMP/*; exit 3", outputs=(".csv",))

    assert (only(submission).attempt, only(submission).exit_status) == (1, 3)
    assert not list(settings().runs_directory.iterdir())


def test_it_keeps_what_has_room_and_says_what_it_left(session: Session, ran: Callable[..., Submission]) -> None:
    limits = Limits(output_bytes=1_000_000)
    code = "echo small > a.csv; truncate -s 900K b.csv; truncate -s 900K c.csv"
    submission = ran(code, outputs=(".csv",), limits=limits)

    assert only(submission).state is State.ERROR
    assert names(submission) == [".a.csv", ".b.csv"]
    story = [message.sentence for message in submission.messages]
    assert "Step 1 (t): Not kept, being beyond the limits of size and number: c.csv" in story


def test_it_counts_no_input_as_output(session: Session, work: Work) -> None:
    make_task(
        session,
        "t",
        "command",
        "sleep 1.2; echo more >> $I1; echo small > $O1",
        inputs=(".txt",),
        outputs=(".csv", ".txt"),
        limits=Limits(output_bytes=1_000_000, files=2),
    )
    make_job(session, "job", [(1, "t")])
    submission = submitted(session, "job", b"x" * 2_000_000)

    work()

    session.expire_all()
    assert (submission.state, names(submission)) == (State.COMPLETE, [".csv", ".txt"])


@pytest.mark.real
def test_it_keeps_as_many_files_as_a_run_may_make(ran: Callable[..., Submission]) -> None:
    submission = ran("seq -f %g.csv 1 1100 | xargs touch", outputs=(".csv",))

    assert (submission.state, len(names(submission))) == (State.COMPLETE, 1100)


def test_it_keeps_files_whose_names_look_the_same(session: Session, ran: Callable[..., Submission]) -> None:
    submission = ran("touch 'a?.csv' 'a*.csv' 'a|.csv'", outputs=(".csv",))

    assert names(submission) == [".a_.csv", "_1-1.a_.csv", "_1-1-2.a_.csv"]


def test_it_keeps_a_file_under_all_the_names_that_a_run_gave_it(
    session: Session, ran: Callable[..., Submission]
) -> None:
    submission = ran("echo a > a.keep; mkdir deep; ln a.keep b.keep; ln a.keep deep/c", outputs=(".keep",))

    assert (submission.state, names(submission)) == (State.COMPLETE, [".a.keep", ".b.keep"])
    assert content(session, submission, ".b.keep") == b"a\n"


def test_it_says_of_links_to_elsewhere_that_they_are_not_kept(ran: Callable[..., Submission], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    code = f"ln {tmp_path}/secret a.keep; ln a.keep b.keep; ln -s {tmp_path}/secret c.keep; touch d.keep"
    submission = ran(code, outputs=(".keep",))

    assert names(submission) == [".d.keep"]
    story = [message.sentence for message in submission.messages]
    assert "Step 1 (t): Not kept, being links: a.keep, b.keep, c.keep" in story


def test_it_gives_a_run_up_that_it_cannot_read_and_goes_on_with_the_next(session: Session, work: Work) -> None:
    make_task(session, "t", "command", "true")
    make_job(session, "job", [(1, "t")])
    unreadable, readable = submitted(session, "job"), submitted(session, "job")
    with transaction(session):
        session.execute(update(Run).where(Run.id == only(unreadable).id).values(work={"of": "another version"}))

    for _ in range(settings().portal_max_lost):
        work()
        lose(session, seconds=1)

    session.expire_all()
    assert (unreadable.state, readable.state) == (State.CRASH, State.COMPLETE)


def test_it_ends_what_a_killed_launcher_left_before_the_next_try(session: Session, data: Path) -> None:
    make_task(session, "t", "command", "(sleep 600; true) & echo started; sleep 600", stdout=".txt")
    make_job(session, "job", [(1, "t")])
    submitted(session, "job")
    claim = claimed(session)
    workspace = Workspace.of(claim)
    workspace.prepare(workspace.sources(session))
    handle = local.handle(workspace.space)
    with transaction(session):
        progress.started(session, claim, handle)
    local.start(handle)
    written = workspace.directory / f"{claim.work.identity}.txt"
    eventually(lambda: written.exists() and written.read_text() == "started\n")
    os.kill(json.loads((workspace.space / "launched.json").read_text())["pid"], signal.SIGKILL)

    perform(replace(claim, handle=handle))

    assert not [pid for pid in local._pids() if f"TMPDIR={workspace.temporary}".encode() in local._environment(pid)]
