"""The way of a step: what follows it is claimed with its end, and no step costs more for the steps around it."""

from __future__ import annotations

import errno
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from portal import patience, queue, storage
from portal.database import engine, now, transaction
from portal.domain.states import State
from portal.models import Run, Submission
from portal.services import progress, results
from portal.services.progress import Claim, Expected
from portal.settings import settings
from tests.making import make_job, make_task, submitted
from tests.servers import eventually
from workers import execution, succession
from workers.execution import never, perform
from workers.runners import local
from workers.succession import Beginning, Begun
from workers.workspace import remove

FORESEEN, NOT_FORESEEN = 10, 12  # statements, as docs/reliability.md says
LOOK_AHEAD = 2  # more, now and then
BEGINS = 1  # which SQLite hears as a statement


def due(session: Session, expected: Expected | None = None) -> Claim | None:
    orphan = progress.claim_orphan(session, "test", local.HOST)
    return orphan or progress.claim_due(session, [queue.EVERY], "test", expected=expected)


def claimed() -> Claim:
    with transaction() as session:
        claim = due(session)
    assert claim is not None
    return claim


@pytest.fixture
def chain(session: Session, tmp_path: Path) -> Callable[[int], Submission]:
    """A job of so many steps, each copying what the one before it gave and telling that it ran."""

    def make(length: int) -> Submission:
        for step in range(length):
            code = f"cat $I1 > $O1; echo {step} >> {tmp_path}/ran"
            make_task(session, f"t{step}", "command", code, inputs=(f".s{step}",), outputs=(f".s{step + 1}",))
        make_job(session, "chain", [(step + 1, f"t{step}") for step in range(length)])
        submission = submitted(session, "chain")
        session.rollback()
        return submission

    return make


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """What the database is told: statements and commits."""
    found: Counter[str] = Counter()

    def executed(*_: object) -> None:
        found["statements"] += 1

    def committed(*_: object) -> None:
        found["commits"] += 1

    for name, heard in (("after_cursor_execute", executed), ("commit", committed)):
        event.listen(engine(), name, heard)
    yield found
    for name, heard in (("after_cursor_execute", executed), ("commit", committed)):
        event.remove(engine(), name, heard)


def answered(*answers: bool) -> Callable[[], AbstractContextManager[Session]]:
    """Transactions whose commits are answered, or not, in this order; what comes after these is."""
    left = iter(answers)

    @contextmanager
    def often_answered() -> Iterator[Session]:
        with transaction() as own:
            yield own
        if not next(left, True):
            raise OperationalError("COMMIT", {}, Exception("no answer"))

    return often_answered


def costs(claim: Claim | None) -> list[Counter[str]]:
    """What each step costs, from its claim on, as one worker goes through all of them."""
    found = []
    while claim:
        with counted() as cost:
            claim = perform(claim, never, due)
        found.append(cost)
    return found


def test_a_step_of_a_long_chain_costs_as_few_words_with_the_database_as_one_of_a_short_chain(
    session: Session, chain: Callable[[int], Submission]
) -> None:
    submission = chain(12)

    _, *between, _ = costs(claimed())

    assert {cost["commits"] for cost in between} == {1}
    assert sorted(cost["statements"] - FORESEEN - BEGINS for cost in between) == [*[0] * 9, LOOK_AHEAD]
    session.rollback()
    assert submission.state is State.COMPLETE
    assert last_result(submission) == b"x\n"


def test_one_of_many_steps_side_by_side_costs_as_few(session: Session, tmp_path: Path) -> None:
    for step in range(12):
        make_task(session, f"t{step}", "command", "cat $I1 > $O1", inputs=(".txt",), outputs=(f".s{step}",))
    make_job(session, "wide", [(1, f"t{step}") for step in range(12)])
    submitted(session, "wide")
    session.rollback()

    _, *between, _ = costs(claimed())

    assert {cost["commits"] for cost in between} == {1}
    assert all(cost["statements"] <= NOT_FORESEEN + BEGINS for cost in between)


def test_what_is_of_another_submission_is_begun_with_the_end_too(
    session: Session, chain: Callable[[int], Submission]
) -> None:
    first = chain(1)
    second = submitted(session, "chain")
    session.rollback()

    after = perform(claimed(), never, due)

    assert isinstance(after, Begun) and after.claim.submission_id == second.id
    assert perform(after, never, due) is None
    session.rollback()
    assert (first.state, second.state) == (State.COMPLETE, State.COMPLETE)


def last_result(submission: Submission) -> bytes:
    [*_, final] = results.of_submission(submission)
    with results.open_file(final) as stream:
        return stream.read()


def begun_second(chain: Callable[[int], Submission]) -> tuple[Submission, Begun]:
    """By a worker that was held up before it started anything under it."""
    submission = chain(2)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(succession, "once_committed", lambda *_: None)
        after = perform(claimed(), never, due)
    assert isinstance(after, Begun)
    return submission, after


def ran(tmp_path: Path) -> Sequence[str]:
    return (tmp_path / "ran").read_text().split()


def test_a_step_that_was_begun_and_whose_worker_died_before_it_started_anything_is_started_anew(
    session: Session, chain: Callable[[int], Submission], work: Callable[[], None], tmp_path: Path
) -> None:
    submission, begun = begun_second(chain)
    (begun.workspace.space / "launch.json").unlink()  # it died while it brought the inputs
    with transaction(session):
        session.execute(update(Run).where(Run.id == begun.claim.run_id).values(lease=now(-1)))

    perform(claimed())
    session.rollback()
    assert (submission.runs[1].state, submission.runs[1].lost) == (State.QUEUED, 1)
    with transaction(session):
        session.execute(update(Run).where(Run.id == begun.claim.run_id).values(due=now(-1)))
    work()

    session.rollback()
    assert (submission.state, ran(tmp_path)) == (State.COMPLETE, ["0", "1"])
    assert [each.sentence[:5] for each in submission.runs[1].attempts] == ["Lost:", "Compl"]
    assert list(settings().runs_directory.iterdir()) == [begun.before.space]  # which the cleaner finds


def test_a_step_that_was_begun_a_while_ago_is_not_started_after_a_stop(
    session: Session, chain: Callable[[int], Submission], tmp_path: Path
) -> None:
    submission, begun = begun_second(chain)
    with transaction(session):
        progress.stop(session, submission)

    perform(replace(begun, at=begun.at - 60))

    session.rollback()
    assert (submission.state, ran(tmp_path)) == (State.STOPPED, ["0"])
    assert [each.sentence for each in submission.runs[1].attempts] == ["Stopped step: 2"]
    assert [each.sentence for each in submission.messages][-3:] == ["Stop asked", "Stopped step: 2", "Stopped"]


def test_a_step_that_was_begun_a_while_ago_is_started_once_and_told_once(
    session: Session, chain: Callable[[int], Submission], tmp_path: Path
) -> None:
    submission, begun = begun_second(chain)

    perform(replace(begun, at=begun.at - 60))

    session.rollback()
    assert (submission.state, ran(tmp_path)) == (State.COMPLETE, ["0", "1"])
    assert [each.sentence for each in submission.messages].count("Running step: 2") == 1
    assert len(submission.runs[1].attempts) == 1


def test_a_step_is_started_with_the_end_of_the_one_before_it_and_can_be_stopped_whenever_its_worker_looks(
    session: Session, tmp_path: Path
) -> None:
    make_task(session, "short", "command", "true")
    make_task(session, "long", "command", f"touch {tmp_path}/begun; sleep 600")
    make_job(session, "job", [(1, "short"), (2, "long")])
    submission = submitted(session, "job")
    session.rollback()

    begun = perform(claimed(), never, due)
    assert isinstance(begun, Begun)
    eventually((tmp_path / "begun").exists, pause=0.01)
    launcher = json.loads((begun.workspace.space / "launched.json").read_text())["pid"]
    with transaction(session):
        progress.stop(session, submission)
    perform(replace(begun, at=begun.at - 60))

    assert not Path(f"/proc/{launcher}").exists()
    session.rollback()
    assert [run.state for run in submission.runs] == [State.COMPLETE, State.STOPPED]
    assert list(settings().runs_directory.iterdir()) == []


def test_each_step_is_started_once(chain: Callable[[int], Submission], monkeypatch: pytest.MonkeyPatch) -> None:
    chain(3)
    started = []
    start = local._start_fresh
    monkeypatch.setattr(local, "_start_fresh", lambda space, *more: (started.append(space), start(space, *more)))

    costs(claimed())

    assert len(started) == len(set(started)) == 3


def test_what_was_begun_in_vain_has_no_directory_that_a_later_claim_has(chain: Callable[[int], Submission]) -> None:
    """Whose number is the same, as the first one was never counted."""
    chain(1)
    places = []
    for _ in range(2):
        with suppress(ZeroDivisionError), Beginning() as beginning, transaction() as session:
            claim = due(session)
            assert claim is not None
            beginning.begin(session, claim)
            assert isinstance(beginning.run, Begun)
            places.append((claim.attempt, beginning.run.workspace.space))
            1 / 0  # noqa: B018

    assert [attempt for attempt, _ in places] == [1, 1]
    assert len({space for _, space in places}) == 2


def test_what_a_run_gave_stays_though_it_cannot_be_forced_to_the_disk_again_after_a_lost_answer(
    session: Session, chain: Callable[[int], Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = chain(1)
    claim = claimed()
    forced = iter([True])
    force = storage.force

    def once(keys: Sequence[str]) -> None:
        if keys and not next(forced, False):
            raise OSError(errno.EMFILE, "too many open files")
        force(keys)

    monkeypatch.setattr(execution, "transaction", answered(True, False))
    monkeypatch.setattr(execution, "RETRY_SECONDS", 0)
    monkeypatch.setattr(storage, "force", once)
    ask = progress.row
    monkeypatch.setattr(progress, "row", lambda *asked: (waited_for(), ask(*asked))[1])

    assert perform(claim, never, due) is None

    session.rollback()
    assert (submission.state, last_result(submission)) == (State.COMPLETE, b"x\n")


def waited_for() -> None:
    """What is done while PostgreSQL's answers are waited for."""
    if errand := patience._mine.errand:
        errand.run()


def test_a_step_whose_begin_was_not_committed_is_not_started(
    session: Session, chain: Callable[[int], Submission], tmp_path: Path
) -> None:
    submission = chain(2)
    claim = claimed()
    commits = itertools.count(1)

    def refuse(own: Session) -> None:
        if next(commits) == 2:  # the first one begins the first step
            raise OSError(errno.EIO, "the answer is no")

    event.listen(Session, "before_commit", refuse)
    try:
        perform(claim, never, due)
    finally:
        event.remove(Session, "before_commit", refuse)

    session.rollback()
    assert ran(tmp_path) == ["0"]
    assert submission.runs[1].state is State.WAITING


def test_what_follows_finds_what_the_step_before_it_made_of_a_name(session: Session, work: Callable[[], None]) -> None:
    """All steps read and write files that end alike, as the upload does."""
    for step in range(4):
        make_task(session, f"t{step}", "command", f"cat $I1 > $O1; echo {step} >> $O1", inputs=(".t",), outputs=(".t",))
    make_job(session, "rewriting", [(step + 1, f"t{step}") for step in range(4)])
    submission = submitted(session, "rewriting")

    work()

    session.rollback()
    assert last_result(submission) == b"x\n0\n1\n2\n3\n"


def test_a_file_whose_name_was_given_long_before_is_kept_beside_that(session: Session, tmp_path: Path) -> None:
    """What was told of such a step's end was told in vain, and leaves nothing."""
    for step, (taken, given) in enumerate((("a", "b"), ("b", "c"), ("c", "b"), ("b", "d"))):
        code = f"cat $I1 > $O1; echo {step} | tee -a {tmp_path}/ran >> $O1"
        make_task(session, f"t{step}", "command", code, inputs=(f".{taken}",), outputs=(f".{given}",))
    make_job(session, "to_and_fro", [(step + 1, f"t{step}") for step in range(4)])
    submission = submitted(session, "to_and_fro")
    session.rollback()

    steps = costs(claimed())

    session.rollback()
    assert (submission.state, ran(tmp_path), len(steps)) == (State.COMPLETE, ["0", "1", "2", "3"], 4)
    assert [each.name.rpartition(".")[2] for each in results.of_submission(submission)] == ["b", "c", "b", "d"]
    assert last_result(submission) == b"x\n0\n1\n2\n3\n"
    assert [each.sentence for each in submission.messages if each.sentence.startswith("Completed step")] == [
        f"Completed step: {step + 1}" for step in range(4)
    ]
    assert list(settings().runs_directory.iterdir()) == []


def test_a_step_is_brought_what_any_step_before_it_gave(session: Session, work: Callable[[], None]) -> None:
    make_task(session, "first", "command", "cat $I1 > $O1", inputs=(".in",), outputs=(".a",))
    make_task(session, "second", "command", "echo second > $O1", outputs=(".b",))
    make_task(session, "third", "command", "cat $I1 $I2 > $O1", inputs=(".a", ".b"), outputs=(".c",))
    make_task(session, "fourth", "command", "cat $I1 $I2 > $O1", inputs=(".c", ".a"), outputs=(".d",))
    names = ["first", "second", "third", "fourth"]
    make_job(session, "far", [(step, name) for step, name in enumerate(names, 1)])
    submission = submitted(session, "far")

    work()

    session.rollback()
    assert last_result(submission) == b"x\nsecond\nx\n"


def test_a_step_that_waits_for_a_failed_one_leaves_nothing_behind(session: Session, work: Callable[[], None]) -> None:
    for name, code in (("fails", "exit 3"), ("never", "true")):
        make_task(session, name, "command", code)
    make_job(session, "job", [(1, "fails"), (2, "never")])
    submission = submitted(session, "job")

    work()

    session.rollback()
    assert [run.state for run in submission.runs] == [State.ERROR, State.SKIPPED]
    assert list(settings().runs_directory.iterdir()) == []


def test_what_would_follow_never_begins_when_a_stop_came_meanwhile(
    session: Session, chain: Callable[[int], Submission], tmp_path: Path
) -> None:
    submission = chain(2)
    claim = claimed()

    def ending() -> bool:
        with transaction() as other:
            progress.stop(other, other.get_one(Submission, submission.id))
        return False

    perform(slow(claim), ending, due)

    session.rollback()
    assert [run.state for run in submission.runs] == [State.COMPLETE, State.STOPPED]
    assert (submission.state, ran(tmp_path)) == (State.STOPPED, ["0"])
    assert list(settings().runs_directory.iterdir()) == []


@pytest.mark.parametrize("little", [succession.LITTLE, -1])
def test_a_step_begins_whose_directory_was_removed_before_its_turn_came(
    session: Session,
    chain: Callable[[int], Submission],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    little: int,
) -> None:
    """As the cleaner does with those that nobody has touched for long."""
    monkeypatch.setattr(succession, "LITTLE", little)
    submission = chain(2)
    claim = claimed()

    def ending() -> bool:
        for space in settings().runs_directory.glob(f"{submission.runs[1].uuid}.*"):
            remove(space)
        return False

    after = perform(slow(claim), ending, due)
    assert isinstance(after, Begun)
    perform(after, never, due)

    session.rollback()
    assert (submission.state, ran(tmp_path)) == (State.COMPLETE, ["0", "1"])
    assert submission.runs[1].lost == 0


def test_an_end_is_told_once_though_no_answer_came_and_nothing_was_claimed(
    session: Session, chain: Callable[[int], Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = chain(2)
    claim = claimed()
    monkeypatch.setattr(execution, "transaction", answered(True, False))  # its begin, its end
    monkeypatch.setattr(execution, "RETRY_SECONDS", 0)

    assert perform(claim, never, lambda *_: None) is None

    session.rollback()
    sentences = [each.sentence for each in submission.messages]
    assert [submission.runs[0].state, sentences.count("Completed step: 1")] == [State.COMPLETE, 1]
    assert list(settings().runs_directory.iterdir()) == []


def test_nothing_is_made_ready_by_a_worker_that_claims_nothing_more(
    session: Session, chain: Callable[[int], Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    chain(2)
    readied: list[object] = []
    monkeypatch.setattr(succession, "make_ready", lambda *given: readied.append(given))

    assert perform(claimed(), never, lambda *_: None) is None

    assert readied == []
    assert list(settings().runs_directory.iterdir()) == []


def test_a_run_goes_on_before_one_that_cannot_be_read(
    session: Session, chain: Callable[[int], Submission], work: Callable[[], None], tmp_path: Path
) -> None:
    submission = chain(2)
    with transaction(session):
        session.execute(update(Run).where(Run.id == submission.runs[1].id).values(work={"what": "nonsense"}))

    assert perform(claimed(), never, due) is not None

    session.rollback()
    assert (submission.runs[0].state, ran(tmp_path)) == (State.COMPLETE, ["0"])


def slow(claim: Claim) -> Claim:
    """So that its worker looks around meanwhile."""
    return replace(claim, frozen=claim.frozen | {"code": f"{claim.frozen['code']}; sleep 0.8"})


def test_nobody_is_called_for_what_the_worker_that_ends_a_run_does_itself(
    session: Session, chain: Callable[[int], Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    chain(2)
    said: list[tuple[str, str]] = []
    monkeypatch.setattr(queue._line(), "send", lambda *word: said.append(word))

    perform(claimed(), never, due)
    assert said == []
    with transaction(session):
        session.execute(update(Run).values(queue="nobody's"))
    chain_again = submitted(session, "chain")
    session.rollback()
    said.clear()
    claim = claimed()
    assert claim.submission_id == chain_again.id
    perform(claim, never, lambda *_: None)
    assert said == [("wake", "here")]


def test_one_of_several_workers_calls_the_next_where_there_is_more_to_do(
    session: Session, chain: Callable[[int], Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    chain(1)
    said: list[tuple[str, str]] = []
    monkeypatch.setattr(queue._line(), "send", lambda *word: said.append(word))

    with transaction(session):
        progress.call_for_more(session, [queue.EVERY], 4)
    claimed()
    with transaction(session):
        progress.call_for_more(session, [queue.EVERY], 4)

    assert said == [("wake", "here")]


def test_what_the_disk_does_not_take_for_good_is_not_kept_and_the_run_is_tried_again(
    session: Session, chain: Callable[[int], Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = chain(1)
    with monkeypatch.context() as failing:
        failing.setattr(storage, "force", broken)
        perform(claimed(), never, due)

    session.rollback()
    assert (submission.runs[0].state, submission.runs[0].lost) == (State.QUEUED, 1)
    assert results.of_submission(submission) == []
    assert not [each for each in storage.every() if each.key.startswith("runs/")]


def broken(keys: Sequence[str]) -> None:
    raise OSError(errno.EIO, "Input/output error")
