"""The ONE way forward: claim, start, beat, end, try again, hand over, stop and advance.

Every function that ends or begins something locks the Submission before its runs, always in this order: without that
lock two parallel runs that end at one instant lose the next stage. Every write of a worker names its attempt: when it
changes no row, the worker is a ghost and must discard what it holds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from itertools import chain, count
from typing import Any

from sqlalchemy import Row, Select, and_, case, false, func, or_, select, update
from sqlalchemy.orm import Session

from portal import mail, queue
from portal.database import is_postgresql, now
from portal.domain import conditions, durations, plan, states
from portal.domain.conditions import Facts
from portal.domain.levels import STRICTEST
from portal.domain.names import marked
from portal.domain.states import State
from portal.domain.verdict import Outcome, Then, judge
from portal.domain.work import Work
from portal.models import Attempt, Batch, Letter, LogChunk, Result, Run, Submission
from portal.services import audit
from portal.settings import settings
from portal.storage import Blob

BACK_OFF, LONGEST_BACK_OFF = 2.0, 300.0
NOBODY = ""
ENDING_SECONDS = 8.0  # what a launcher needs at most, once it knows that it must end its run
DAY = 86_400

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claim:
    """A run that is a worker's own for the length of its lease. With a `handle` it was started before: take it up.

    `counted`: that its last worker was lost is counted already.
    """

    run_id: int
    submission_id: int
    uuid: str
    attempt: int
    frozen: dict[str, Any]
    handle: dict[str, Any] | None = None
    counted: bool = False

    @cached_property
    def work(self) -> Work:
        """What is to be done. Read here and not while claiming, so that one unreadable Work holds nobody up."""
        return Work.from_json(self.frozen)


@dataclass(frozen=True)
class Kept:
    """A file that a run gives: its public name and where its bytes already stand."""

    name: str
    blob: Blob


@dataclass(frozen=True)
class Found:
    """What a run left: the files kept, the endings that no file matched, and sentences on what was not kept."""

    kept: Sequence[Kept] = ()
    missing: Sequence[str] = ()
    left: Sequence[str] = ()


NOTHING = Found()


@dataclass(frozen=True)
class Written:
    """Some bytes that a run wrote to a stream, from `start` on."""

    stream: str
    start: int
    data: bytes


class Answer(Enum):
    """What a beat brings back."""

    GO_ON = "go on"
    STOP = "stop"
    GHOST = "ghost"


def claim(session: Session, queues: Sequence[str], worker: str, host: str, level: int = STRICTEST) -> Claim | None:
    """Take one run: one of this host that lost its worker, else one that is due, in the order of submission.
    None of those that are due that must be confined further than this worker does.

    One statement, one commit. What is tried again, and the later steps of what was begun, come before what is new.
    """
    if orphan := _take(session, _orphaned(host), worker, {Run.lease: _lease_of_orphan()}):
        return _claim(orphan, counted=_take_up(session, orphan, worker))
    begun = {Run.lease: _lease(), Run.started: now()}
    found = _take(session, _due(queues, level), worker, begun)
    return _claim(found) if found else None


def _orphaned(host: str) -> Any:
    """Runs started on this host that were handed over, or whose lease has run out: their processes may still live."""
    lost = and_(Run.lease < now(), Run.lost < settings().portal_max_lost)
    mine = and_(Run.state == State.RUNNING, Run.handle["host"].as_string() == host)
    return and_(mine, or_(Run.worker == NOBODY, lost))


def _lease() -> Any:
    return now(settings().portal_lease_seconds)


def _lease_of_orphan() -> Any:
    """What was handed over keeps its long lease until its launcher has heard of the new worker by a beat."""
    return case((Run.worker == NOBODY, Run.lease), else_=_lease())


def _due(queues: Sequence[str], level: int) -> Any:
    if level < settings().portal_min_level:
        return false()
    mine = and_(Run.state == State.QUEUED, Run.due <= now(), Run.minimum_level <= level)
    return mine if queue.EVERY in queues else and_(mine, Run.queue.in_(queues))


def _take(session: Session, condition: Any, worker: str, more: Mapping[Any, Any]) -> Row[Any] | None:
    candidate = select(Run.id).where(condition).order_by(Run.priority.desc(), Run.id).limit(1)
    if is_postgresql(session):
        candidate = candidate.with_for_update(skip_locked=True)
    statement = (
        update(Run)
        .where(Run.id == candidate.scalar_subquery(), condition)
        .values(
            {
                Run.state: State.RUNNING,
                Run.attempt: Run.attempt + 1,
                Run.worker: worker,
                Run.reason: "",
                **more,
            }
        )
        .returning(Run.id, Run.submission_id, Run.uuid, Run.attempt, Run.work, Run.handle)
        .execution_options(synchronize_session=False)
    )
    return session.execute(statement).one_or_none()


def _claim(row: Row[Any], counted: bool = False) -> Claim:
    return Claim(row.id, row.submission_id, row.uuid, row.attempt, row.work, row.handle, counted)


def _take_up(session: Session, row: Row[Any], worker: str) -> bool:
    """The try that goes on, with its log, has the new number now. Whether its last worker was lost, which counts."""
    chunks = update(LogChunk).where(LogChunk.run_id == row.id, LogChunk.attempt == row.attempt - 1)
    session.execute(chunks.values(attempt=row.attempt))
    attempt = session.scalar(_open_attempt(row.id))
    if attempt is None:  # a worker of an older version started it
        attempt = Attempt(run_id=row.id)
        session.add(attempt)
    lost = attempt.worker != NOBODY
    attempt.number, attempt.worker = row.attempt, worker
    if lost:
        session.execute(update(Run).where(Run.id == row.id).values(lost=Run.lost + 1))
    return lost


def started(session: Session, claim: Claim, handle: dict[str, Any], level: int | None = None) -> Answer:
    """Keep the handle, before anything is started under it, and tell that the step runs. STOP: it ends unstarted."""
    run = _lock(session, claim)
    if run is None:
        return Answer.GHOST
    submission = run.submission
    if submission.stop_asked:
        run.move(State.STOPPED, f"Stopped step: {run.stage}")
        advance(session, submission)
        return Answer.STOP
    run.handle, run.lease = handle, _lease()
    submission.started = submission.started or now()
    submission.say(f"Running step: {run.stage}{_which(session, run)}", run=run)
    session.add(Attempt(run_id=run.id, number=claim.attempt, worker=run.worker, level=level))
    _summarise(session, submission)
    return Answer.GO_ON


def _which(session: Session, run: Run) -> str:
    """Which attempt it is, from the second on: clients look for the first one's plain words."""
    earlier = session.scalars(select(func.count()).where(Attempt.run_id == run.id)).one()
    return f" (attempt {earlier + 1})" if earlier else ""


def beat(session: Session, claim: Claim, written: Sequence[Written] = ()) -> Answer:
    """Extend the lease, keep what the run wrote since the last beat, and learn whether a stop is asked."""
    extended = session.execute(
        update(Run).where(*_mine(claim)).values(lease=_lease()).returning(Run.submission_id)
    ).one_or_none()
    if extended is None:
        return Answer.GHOST
    _keep_log(session, claim, written)
    stop_asked = session.scalars(select(Submission.stop_asked).where(Submission.id == claim.submission_id)).one()
    return Answer.STOP if stop_asked else Answer.GO_ON


def finish(session: Session, claim: Claim, outcome: Outcome, found: Found = NOTHING) -> bool:
    """One transaction that ends a run: state, results, messages, the next stage or the end. False: a ghost."""
    run = _lock(session, claim)
    if run is None:
        return False
    _keep_results(session, run, claim, found)
    verdict = judge(claim.work.rules, outcome, found.missing)
    if run.submission.stop_asked and outcome.reason == "stopped":
        run.move(State.STOPPED, f"Stopped step: {run.stage}")
    elif verdict.then is Then.FAIL:
        run.move(State.ERROR, f"Step {run.stage} ({run.task_name}): {verdict.sentence}")
    else:
        run.move(State.COMPLETE, _completed(run, verdict.sentence))
    _end_attempt(session, run, run.reason, outcome)
    if verdict.then is Then.FINISH:
        _leave_out(run.submission, "The job ended early, as the task's rules say")
    advance(session, run.submission)
    return True


def retry(session: Session, claim: Claim, outcome: Outcome) -> bool:
    """Whether the task's rules give a failed run another try; if so it is queued for then, and keeps no results."""
    run, rules = _lock(session, claim), claim.work.retries
    verdict = judge(claim.work.rules, outcome, ())
    if run is None or run.submission.stop_asked or verdict.then is not Then.FAIL:
        return False
    if not rules.wanted(outcome, run.retried):
        return False
    wait = rules.wait(run.retried)
    run.retried += 1
    why = f"{verdict.sentence.rstrip('.')}; retry {run.retried} of {rules.most} in {durations.words(wait)}"
    _end_attempt(session, run, verdict.sentence, outcome)
    _queue_again(session, run, f"Step {run.stage} ({run.task_name}): {why}", wait)
    return True


def ended(session: Session, claim: Claim) -> bool:
    """Whether this very attempt has ended the run: what a worker asks whose commit got no answer."""
    run = session.get(Run, claim.run_id)
    return run is not None and run.attempt == claim.attempt and run.state.final


def _completed(run: Run, sentence: str) -> str:
    return f"Completed step: {run.stage} ({sentence})" if sentence else f"Completed step: {run.stage}"


def give_back(session: Session, claim: Claim, why: str) -> bool:
    """The machinery failed, not the user's program: queue the run again, later each time; too often is a crash."""
    run = _lock(session, claim)
    if run is None:
        return False
    if not claim.counted:
        run.lost += 1
    _give_back(session, run, why)
    return True


def release(session: Session, claim: Claim, why: str, wait: float = 0) -> bool:
    """Queue a run again that nothing went wrong with: its worker ends, or has no room for it. Nothing is counted."""
    run = _lock(session, claim)
    if run is None:
        return False
    _end_attempt(session, run, why)
    _queue_again(session, run, f"Step {run.stage} ({run.task_name}) is tried again: {why}", wait)
    return True


def hand_over(session: Session, claim: Claim) -> bool:
    """Leave a run whose processes outlive this worker to the next one of its host. Nothing is counted."""
    run = _lock(session, claim)
    if run is None:
        return False
    run.worker, run.lease = NOBODY, now(settings().portal_hand_over_seconds)
    session.execute(update(Attempt).where(Attempt.run_id == run.id, Attempt.ended.is_(None)).values(worker=NOBODY))
    queue.say(session, "wake", run.queue)
    return True


def _give_back(session: Session, run: Run, why: str) -> None:
    _end_attempt(session, run, f"Lost: {why}")
    if run.lost >= settings().portal_max_lost and not run.submission.stop_asked:
        run.handle = None
        run.move(State.CRASH, f"Step {run.stage} ({run.task_name}) was given up after {run.lost} tries: {why}")
        advance(session, run.submission)
        return
    wait = min(BACK_OFF * 2 ** (run.lost - 1), LONGEST_BACK_OFF)
    _queue_again(session, run, f"Step {run.stage} ({run.task_name}) is tried again: {why}", wait)


def _queue_again(session: Session, run: Run, sentence: str, wait: float) -> None:
    """Another try after some seconds, unless a stop is asked."""
    run.handle = None
    if run.submission.stop_asked:
        run.move(State.STOPPED, f"Stopped step: {run.stage}")
        advance(session, run.submission)
        return
    run.move(State.QUEUED, sentence)
    run.due = now(wait)
    _summarise(session, run.submission)
    if not wait:
        queue.say(session, "wake", run.queue)


def _end_attempt(session: Session, run: Run, sentence: str, outcome: Outcome | None = None) -> None:
    """Close the try that was under way, if one was started."""
    if outcome is not None:
        run.exit_status, run.usage = outcome.exit_status, outcome.usage
    attempt = session.scalar(_open_attempt(run.id))
    if attempt is not None:
        attempt.ended, attempt.sentence = now(), sentence
        attempt.exit_status, attempt.usage = (outcome.exit_status, outcome.usage) if outcome else (None, None)


def _open_attempt(run_id: int) -> Select[Attempt]:
    mine = select(Attempt).where(Attempt.run_id == run_id, Attempt.ended.is_(None))
    return mine.order_by(Attempt.number.desc()).limit(1)


def recover(session: Session, run_id: int) -> bool:
    """Queue a run again whose lease ran out and that no worker of its host took up. For the sweep."""
    submission_id = session.scalar(select(Run.submission_id).where(Run.id == run_id))
    if submission_id is None or not _lock_submission(session, submission_id):
        return False
    run = session.scalar(select(Run).where(Run.id == run_id, lapsed()).with_for_update())
    if run is None:
        return False
    run.lost += 1
    _give_back(session, run, "its worker was lost")
    return True


def lapsed() -> Any:
    """Leases that ran out: at once for what was never started, else after its launcher has surely fenced itself."""
    lease = settings().portal_lease_seconds
    patience = max(1.5 * lease, lease + ENDING_SECONDS)
    never_started = and_(Run.handle.is_(None), Run.lease < now())
    return and_(Run.state == State.RUNNING, or_(never_started, Run.lease < now(-patience)))


def stop(session: Session, submission: Submission) -> None:
    """Ask a submission to end: what waits never starts, what runs is ended by its worker. Harmless when repeated."""
    locked = _lock_submission(session, submission.id)
    if locked is None or locked.state.final or locked.stop_asked:
        return
    locked.stop_asked = True
    locked.say("Stop asked")
    audit.record(session, "stopped", "run", locked.uuid, job=locked.job_name)
    for run in _fresh_runs(session, locked):
        if run.state in (State.WAITING, State.QUEUED):
            run.move(State.STOPPED)
            run.reason = "Stopped before it began"
    advance(session, locked)


def begin(session: Session, submission: Submission) -> None:
    """Queue the first steps of a submission that nobody knows yet, so that no lock is needed."""
    _go_on(session, submission, submission.runs)
    if any(run.state is State.SKIPPED for run in submission.runs):
        _summarise(session, submission)


def advance(session: Session, submission: Submission) -> None:
    """Queue what is due now, or end the submission. The caller holds the submission's lock."""
    runs = _fresh_runs(session, submission)
    if any(run.state in states.WORST_FIRST for run in runs):
        _leave_out(submission, "An earlier step did not complete")
    _go_on(session, submission, runs)
    _summarise(session, submission)


def _go_on(session: Session, submission: Submission, runs: Sequence[Run]) -> None:
    """Every run whose turn it is is queued, or skipped; what is skipped may give others their turn."""
    places = {run.position: run for run in runs}
    files = _files(session, submission, runs)
    while turn := plan.due(_places(runs)):
        facts = _facts(runs, files)
        for place in turn:
            _queue_or_skip(session, places[place], facts)


def _queue_or_skip(session: Session, run: Run, facts: Facts) -> None:
    whys = [conditions.why_not(each, facts) for each in _conditions(run)]
    if why := next(filter(None, whys), None):
        run.move(State.SKIPPED)
        run.reason = f"Because {why}"
        run.submission.say(f"Step {run.stage} ({run.label}) is skipped: {why}", run=run)
        return
    run.move(State.QUEUED)
    run.due = now()
    queue.say(session, "wake", run.queue)


def _conditions(run: Run) -> list[dict[str, Any]]:
    return run.condition["all"] if run.condition else []


def _facts(runs: Sequence[Run], files: Mapping[int, Sequence[str]]) -> Facts:
    return Facts(
        skipped={run.position for run in runs if run.state is State.SKIPPED},
        exit_statuses={run.position: run.exit_status for run in runs},
        files=files,
    )


def _files(session: Session, submission: Submission, runs: Sequence[Run]) -> dict[int, list[str]]:
    """The names of all files by the place of the run that gave them, if a run that waits asks for any."""
    waiting = [run for run in runs if run.state is State.WAITING]
    if not any("file" in each for run in waiting for each in _conditions(run)):
        return {}
    inputs = runs[0].work["inputs"]
    usual = inputs[0] if inputs else ".input"
    found = {conditions.UPLOADS: [conditions.upload_name(each.ending or usual) for each in submission.batch.uploads]}
    given = select(Run.position, Result.name).join(Result.run).where(Result.submission_id == submission.id)
    for place, name in session.execute(given):
        found.setdefault(place, []).append(name)
    return found


def _leave_out(submission: Submission, why: str) -> None:
    for run in submission.runs:
        if run.state is State.WAITING:
            run.move(State.SKIPPED)
            run.reason = why


def _places(runs: Iterable[Run]) -> list[plan.Place]:
    return [plan.Place(run.position, run.stage, run.state, _needs(run.needs)) for run in runs]


def _needs(places: Sequence[int] | None) -> frozenset[int] | None:
    return None if places is None else frozenset(places)


def _summarise(session: Session, submission: Submission) -> None:
    """Store the submission's state; at the end write its last message, once."""
    session.flush()
    state = states.summary(run.state for run in submission.runs)
    if submission.state.final:
        return
    submission.state = State.RUNNING if submission.started and state is State.QUEUED else state
    if state.final:
        submission.ended = now()
        submission.expires = _expiry(submission)
        submission.say(_last_words(submission), kind="end")
    _summarise_batch(session, submission)


def _expiry(submission: Submission) -> Any:
    """Until when its results are kept: as its job says, else the settings; None: for ever."""
    days = (submission.job and submission.job.keep_days) or settings().portal_keep_days
    return now(days * DAY) if days else None


def _last_words(submission: Submission) -> str:
    """The end's message; 'Completed job at step' are words that clients look for."""
    done = [run for run in submission.runs if run.state is State.COMPLETE]
    if submission.state is State.COMPLETE:
        return f"Completed job at step #{max((run.stage for run in done), default=0)}"
    if submission.state is State.STOPPED:
        return "Stopped"
    return next(run.reason for run in submission.runs if run.state is submission.state)


def _summarise_batch(session: Session, submission: Submission) -> None:
    """The batch's state, under its own lock, since its submissions may end side by side; at its end, a letter."""
    session.flush()
    batch = session.scalars(
        select(Batch).where(Batch.id == submission.batch_id).with_for_update().execution_options(populate_existing=True)
    ).one()
    members = session.scalars(select(Submission.state).where(Submission.batch_id == batch.id)).all()
    batch.state = states.batch_summary(members)
    if all(state.final for state in members) and mail.on():
        session.add(Letter(batch=batch))
        queue.say(session, "tell")


def _mine(claim: Claim) -> tuple[Any, ...]:
    return Run.id == claim.run_id, Run.attempt == claim.attempt, Run.state == State.RUNNING


def _lock_submission(session: Session, submission_id: int) -> Submission | None:
    fresh = select(Submission).where(Submission.id == submission_id).with_for_update()
    return session.scalar(fresh.execution_options(populate_existing=True))


def _lock(session: Session, claim: Claim) -> Run | None:
    """The claimed run with its submission locked, or None when it is this worker's no more."""
    if _lock_submission(session, claim.submission_id) is None:
        return None
    fresh = select(Run).where(*_mine(claim)).with_for_update()
    return session.scalar(fresh.execution_options(populate_existing=True))


def _fresh_runs(session: Session, submission: Submission) -> Sequence[Run]:
    session.flush()
    fresh = select(Run).where(Run.submission_id == submission.id).order_by(Run.stage, Run.position).with_for_update()
    return session.scalars(fresh.execution_options(populate_existing=True)).all()


def _keep_log(session: Session, claim: Claim, written: Sequence[Written]) -> None:
    """Only what is not kept yet: a beat whose commit was uncertain says the same bytes again."""
    ends = log_ends(session, claim) if written else {}
    for each in written:
        known = max(ends.get(each.stream, 0) - each.start, 0)
        if data := each.data[known:]:
            chunk = LogChunk(run_id=claim.run_id, attempt=claim.attempt, stream=each.stream, data=data)
            chunk.start = each.start + known
            session.add(chunk)


def log_ends(session: Session, claim: Claim) -> dict[str, int]:
    """How many bytes of each stream of this attempt are kept."""
    end = func.max(LogChunk.start + func.length(LogChunk.data))
    mine = select(LogChunk.stream, end).where(LogChunk.run_id == claim.run_id, LogChunk.attempt == claim.attempt)
    return {stream: int(length) for stream, length in session.execute(mine.group_by(LogChunk.stream))}


def _keep_results(session: Session, run: Run, claim: Claim, found: Found) -> None:
    for sentence in found.left:
        run.submission.say(f"Step {run.stage} ({run.task_name}): {sentence}", run=run)
    taken = set(session.scalars(select(Result.name).where(Result.submission_id == run.submission_id)))
    names = {each.name: _names(each.name, run) for each in found.kept}
    for each in found.kept:
        name = next(free for free in names[each.name] if free not in taken)
        taken.add(name)
        session.add(
            Result(
                submission_id=run.submission_id,
                run=run,
                attempt=claim.attempt,
                name=name,
                key=each.blob.key,
                size=each.blob.size,
                sha256=each.blob.sha256,
            )
        )


def _names(name: str, run: Run) -> Iterator[str]:
    """The public name, then others with the step's place in them, for where another file has the same name already."""
    place = f"{run.stage}-{run.position + 1}"
    marks = chain([place], (f"{place}-{number}" for number in count(2)))
    return chain([name], (marked(run.submission.uuid, name, mark) for mark in marks))


def before(runs: Iterable[Run]) -> dict[int, frozenset[int]]:
    """All that each run of a submission comes after, by their positions."""
    return plan.before(_places(runs))


def rescue(session: Session, submission_id: int) -> None:
    """Go on with a submission that nothing moves any more. For the sweep; it should find none."""
    submission = _lock_submission(session, submission_id)
    if submission is None or submission.state.final:
        return
    if not any(run.state in (State.QUEUED, State.RUNNING) for run in _fresh_runs(session, submission)):
        log.warning("nothing moved the submission %s: it goes on now", submission.uuid)
        advance(session, submission)
