"""The ONE way forward: claim, start, beat, end, try again, hand over, stop and advance.

Every function that ends or begins something locks the Submission before its runs, always in this order: without that
lock two parallel runs that end at one instant lose the next stage. Every write of a worker names its attempt: when it
changes no row, the worker is a ghost and must discard what it holds.

What each step goes through is written as plain statements, none of which reads all of its submission's runs: a job's
hundredth step costs what its first does. What is rare works on the whole objects.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache, cached_property
from itertools import chain, count, zip_longest
from typing import Any

from sqlalchemy import Select, Update, and_, bindparam, case, event, func, null, or_, select, update
from sqlalchemy.orm import Session, defer
from sqlalchemy.orm.util import identity_key

from portal import mail, queue
from portal.database import Base, is_postgresql, now
from portal.domain import conditions, durations, plan, states
from portal.domain.conditions import Facts
from portal.domain.levels import STRICTEST
from portal.domain.names import marked
from portal.domain.states import ACTIVE, State, check_move
from portal.domain.verdict import Outcome, Then, judge
from portal.domain.work import Work
from portal.models import Attempt, Batch, Letter, LogChunk, Result, Run, Submission
from portal.models.submission import LONGEST_SENTENCE, without_secrets
from portal.services import audit, statements
from portal.services.statements import STOP_ASKED, for_each, one_of, row, rows, tell
from portal.settings import settings
from portal.storage import Blob

BACK_OFF, LONGEST_BACK_OFF = 2.0, 300.0
NOBODY = ""
ENDING_SECONDS = 8.0  # what a launcher needs at most, once it knows that it must end its run
DAY = 86_400
FIRST = plan.Place(0, 1, State.RUNNING)
LEFT_OUT = {Then.FAIL: "An earlier step did not complete", Then.FINISH: "The job ended early, as the task's rules say"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claim:
    """A run that is a worker's own for the length of its lease. With a `handle` it was started before: take it up.

    `counted`: that its last worker was lost is counted already. `leads_on`: others of its submission wait.
    """

    run_id: int
    submission_id: int
    uuid: str
    attempt: int
    frozen: dict[str, Any]
    handle: dict[str, Any] | None = None
    counted: bool = False
    worker: str = NOBODY
    place: plan.Place = FIRST
    task_name: str = ""
    queue: str = ""
    leads_on: bool = True

    @cached_property
    def work(self) -> Work:
        """What is to be done. Read here and not while claiming, so that one unreadable Work holds nobody up."""
        return Work.from_json(self.frozen)


@dataclass(frozen=True)
class Expected:
    """A run that is made ready before it is claimed, and the handle by which it will be found."""

    claim: Claim
    handle: dict[str, Any]


TOLD = "told of an end"
NOTHING_TOLD = {"of": 0, "ended": 0, "as": 0, "kept": 0}


@dataclass(frozen=True)
class Kept:
    """A file that a run gives: its public name and where its bytes already stand."""

    name: str
    blob: Blob


@dataclass(frozen=True)
class Written:
    """Some bytes that a run wrote to a stream, from `start` on."""

    stream: str
    start: int
    data: bytes


@dataclass(frozen=True)
class Found:
    """What a run left: the files kept, the endings that no file matched, sentences on what was not kept, and the rest
    of its log."""

    kept: Sequence[Kept] = ()
    missing: Sequence[str] = ()
    left: Sequence[str] = ()
    log: Sequence[Written] = ()


NOTHING = Found()


@dataclass(frozen=True)
class Done:
    """The end of a run is written: its files, under the names that they are kept by; whether its job goes on."""

    kept: Sequence[Kept]
    goes_on: bool = True


class NotAsForeseen(Exception):
    """What was told of a run's end, without waiting for an answer, cannot all have been done."""


class Answer(Enum):
    """What a beat brings back."""

    GO_ON = "go on"
    STOP = "stop"
    GHOST = "ghost"


def claim(session: Session, queues: Sequence[str], worker: str, host: str, level: int = STRICTEST) -> Claim | None:
    """Take one run: one of this host that lost its worker, else one that is due."""
    return claim_orphan(session, worker, host) or claim_due(session, queues, worker, level)


def claim_orphan(session: Session, worker: str, host: str) -> Claim | None:
    """Take up a run of this host that was handed over, or whose worker is lost."""
    limits = settings().portal_lease_seconds, settings().portal_max_lost
    orphans = _taking_orphans(host, *limits, is_postgresql(session))
    if orphan := row(session, orphans, {"its_worker": worker}):
        return _claim(orphan, orphan.leads_on, counted=_take_up(session, orphan, worker))
    return None


def claim_due(
    session: Session,
    queues: Sequence[str],
    worker: str,
    level: int = STRICTEST,
    expected: Expected | None = None,
) -> Claim | None:
    """Take the first run that is due, in the order of submission. None of those that must be confined further than
    this worker does. Of what is `expected` the handle is kept with that, and nothing is read that is known.

    One statement. What is tried again, and the later steps of what was begun, come before what is new.

    Raises NotAsForeseen.
    """
    if level < settings().portal_min_level:
        return None
    due = _taking_due(tuple(queues), level, settings().portal_lease_seconds, is_postgresql(session))
    told = session.info.get(TOLD, NOTHING_TOLD)
    its = {"its_worker": worker, "expected": 0, "found_by": {}}
    if expected:
        its |= {"expected": expected.claim.run_id, "found_by": expected.handle}
    found = row(session, due, its | told)
    if found is None:
        return None
    _be_sure(session, found)
    queue.unsay(session, "wake", found.queue, found.id)
    return expected.claim if expected and found.work is None else _claim(found, found.leads_on)


@cache
def _taking_orphans(host: str, lease: float, most_lost: int, skip_locked: bool) -> Update:
    """What was handed over keeps its long lease until its launcher has heard of the new worker by a beat."""
    until = case((Run.worker == NOBODY, Run.lease), else_=now(lease))
    return _taking(_orphaned(host, most_lost), {Run.lease: until}, skip_locked).returning(Run.work)


@cache
def _taking_due(queues: tuple[str, ...], level: int, lease: float, skip_locked: bool) -> Update:
    found_by = bindparam("found_by", type_=Run.handle.type)
    expected = Run.id == bindparam("expected")
    handle = case((expected, found_by), else_=Run.handle)
    work = case((and_(expected, Run.attempt == 1), null()), else_=Run.work).label("work")
    taken = {Run.lease: now(lease), Run.started: now(), Run.handle: handle}
    return _taking(_due(queues, level), taken, skip_locked).returning(work, statements.AS_FORESEEN)


def call_for_more(session: Session, queues: Sequence[str], level: int) -> None:
    """Wake another worker if there is work for it: a word wakes one, however many runs it was about."""
    allowed = level >= settings().portal_min_level
    if allowed and (waiting := session.scalar(select(Run.queue).where(_due(queues, level)).limit(1))):
        queue.say(session, "wake", waiting)


def _orphaned(host: str, most_lost: int) -> Any:
    """Runs started on this host that were handed over, or whose lease has run out: their processes may still live."""
    lost = and_(Run.lease < now(), Run.lost < most_lost)
    mine = and_(Run.state == State.RUNNING, Run.handle["host"].as_string() == host)
    return and_(mine, or_(Run.worker == NOBODY, lost))


def _due(queues: Sequence[str], level: int) -> Any:
    mine = and_(Run.state == State.QUEUED, Run.due <= now(), Run.minimum_level <= level)
    return mine if queue.EVERY in queues else and_(mine, one_of(Run.queue, queues))


def _taking(condition: Any, more: Mapping[Any, Any], skip_locked: bool) -> Update:
    """The first of those that meet a condition, looked at once more when it is locked."""
    candidate = select(Run.id).where(condition).order_by(Run.priority.desc(), Run.id).limit(1)
    if skip_locked:
        candidate = candidate.with_for_update(skip_locked=True)
    taken = {
        Run.state: State.RUNNING,
        Run.attempt: Run.attempt + 1,
        Run.worker: bindparam("its_worker"),
        Run.reason: "",
    }
    first = update(Run).where(Run.id == candidate.scalar_subquery(), condition)
    return first.values({**taken, **more}).returning(
        *(getattr(Run, name) for name in statements.CLAIMED), statements.LEADS_ON.label("leads_on")
    )


def _claim(found: Any, leads_on: bool, counted: bool = False) -> Claim:
    return Claim(
        found.id,
        found.submission_id,
        found.uuid,
        found.attempt,
        found.work,
        found.handle,
        counted,
        worker=found.worker,
        place=_place(found),
        task_name=found.task_name,
        queue=found.queue,
        leads_on=leads_on,
    )


def foresee(session: Session, claim: Claim) -> list[Claim]:
    """What comes next if this run completes, and next if that does, and so on for some, as they will be claimed then:
    each the only run that waits for the one before it alone, while nothing else of its submission can begin or end.
    They are nobody's before."""
    its = {"submission": claim.submission_id, "run": claim.run_id}
    waiting = rows(session, statements.COME_NEXT, its) if claim.leads_on else []
    found: list[Claim] = []
    for run, after in zip_longest(waiting[: statements.AHEAD], waiting[1:]):
        before = found[-1] if found else claim
        if run is None or not _is_sure(run, after, before):
            break
        place = replace(_place(run), state=State.RUNNING)
        found.append(replace(_claim(run, leads_on=after is not None), attempt=1, worker=claim.worker, place=place))
    return found


def _is_sure(run: Any, after: Any, before: Claim) -> bool:
    """Whether it comes right after that one, and none of those `after` it does."""
    alone = run.needs is not None and set(run.needs) == {before.place.key} and not run.others
    last = after is None or after.stage > before.place.stage + 1
    return alone and last and not (run.condition or run.attempt) and run.queue == before.queue


def _take_up(session: Session, found: Any, worker: str) -> bool:
    """The try that goes on, with its log, has the new number now. Whether its last worker was lost, which counts."""
    chunks = update(LogChunk).where(LogChunk.run_id == found.id, LogChunk.attempt == found.attempt - 1)
    session.execute(chunks.values(attempt=found.attempt))
    attempt = session.scalar(_open_attempt(found.id))
    if attempt is None:  # a worker of an older version started it
        attempt = Attempt(run_id=found.id)
        session.add(attempt)
    lost = attempt.worker != NOBODY
    attempt.number, attempt.worker = found.attempt, worker
    if lost:
        session.execute(update(Run).where(Run.id == found.id).values(lost=Run.lost + 1))
    return lost


def started(
    session: Session, claim: Claim, handle: dict[str, Any], level: int | None = None, told: bool = False
) -> Answer:
    """Keep the handle, before anything is started under it, and tell that the step runs, unless that is told already.
    STOP: it ends unstarted."""
    held = row(session, statements.HOLD, {"submission": claim.submission_id})
    if held is None:
        return Answer.GHOST
    if held.stop_asked:
        return _stopped_unstarted(session, claim)
    if not _write(session, claim, _keeping(), found_by=handle):
        return Answer.GHOST
    if not told:
        _tell_begin(session, claim, level, held)
    return Answer.GO_ON


def follow(
    session: Session, claim: Claim, ended: Claim | None, handle: dict[str, Any], level: int | None = None
) -> bool:
    """Begin what was claimed in this very transaction, which may have `ended` another run before.

    What is begun is started soon, or asks by `started` once more: a stop may have come. False: one came before, or the
    run is of another submission, which somebody else holds just now: two that wait for each other would wait for ever.
    """
    held = None
    if ended is None or claim.submission_id != ended.submission_id:
        held = row(session, statements.HOLD_TOO, {"submission": claim.submission_id})
        if held is None:
            return False
    if not _write(session, claim, _keeping(), found_by=handle):
        return False
    _tell_begin(session, claim, level, held)
    return True


def go_on(session: Session, claim: Claim, level: int | None = None) -> None:
    """Begin what was expected, and claimed with its handle in the very transaction that has ended the run before it."""
    _tell_begin(session, claim, level)


def _stopped_unstarted(session: Session, claim: Claim) -> Answer:
    run = _lock(session, claim)
    if run is None:
        return Answer.GHOST
    run.handle = None
    run.move(State.STOPPED, f"Stopped step: {run.stage}")
    _end_attempt(session, claim.run_id, run.reason)
    advance(session, run.submission)
    return Answer.STOP


def _keeping() -> Update:
    return statements.keep_handle(settings().portal_lease_seconds)


def _write(session: Session, claim: Claim, statement: Update, **values: Any) -> Any:
    """Change the claimed run; None when it is this worker's no more."""
    return row(session, statement, {"run": claim.run_id, "as": claim.attempt, **values})


def _tell_begin(session: Session, claim: Claim, level: int | None, held: Any = None) -> None:
    """With the run its submission begins, if that was not `held` before, or is not said to have begun."""
    _say(session, claim, [f"Running step: {claim.place.stage}{_which(session, claim)}"])
    attempt = {"run_id": claim.run_id, "number": claim.attempt, "worker": claim.worker, "level": level}
    tell(session, statements.BEGIN_ATTEMPT, attempt)
    if held and held.started is None:
        tell(session, statements.START, {"submission": claim.submission_id})
        _forget(session, Submission, claim.submission_id)
        _summarise_batch(session, held.batch_id)


def _say(session: Session, claim: Claim, sentences: Sequence[str]) -> None:
    """Add lines about a run to the story of its submission."""
    about = {"submission_id": claim.submission_id, "run_id": claim.run_id, "kind": "note"}
    tell(session, statements.SAY, *(about | {"sentence": each[:LONGEST_SENTENCE]} for each in sentences))


def _which(session: Session, claim: Claim) -> str:
    """Which attempt it is, from the second on: clients look for the first one's plain words."""
    if claim.attempt == 1:
        return ""
    earlier = session.scalars(select(func.count()).where(Attempt.run_id == claim.run_id)).one()
    return f" (attempt {earlier + 1})" if earlier else ""


def beat(session: Session, claim: Claim, written: Sequence[Written] = ()) -> Answer:
    """Extend the lease, keep what the run wrote since the last beat, and learn whether a stop is asked."""
    if not _write(session, claim, statements.extend(settings().portal_lease_seconds)):
        return Answer.GHOST
    _keep_log(session, claim, written)
    return Answer.STOP if _is_stop_asked(session, claim) else Answer.GO_ON


def _is_stop_asked(session: Session, claim: Claim) -> bool:
    asked = row(session, STOP_ASKED, {"submission": claim.submission_id})
    return asked is not None and asked.stop_asked


def finish(
    session: Session,
    claim: Claim,
    outcome: Outcome,
    found: Found = NOTHING,
    foreseen: Claim | None = None,
) -> Done | None:
    """One transaction that ends a run: state, results, the rest of its log, messages, what follows. None: a ghost.

    If it completes, what was `foreseen` follows. Then nothing is asked here, as none of the rest of its log is kept
    already: whether all came as it was told is known when what is due is claimed, or before the commit, which raises
    NotAsForeseen.
    """
    tell(session, statements.HOLD, {"submission": claim.submission_id})
    stopped = outcome.reason == "stopped" and _is_stop_asked(session, claim)
    state, sentence, then = _ending(claim, outcome, found, stopped)
    its = {
        "run": claim.run_id, "as": claim.attempt, "end": state, "sentence": sentence,
        "status": outcome.exit_status, "used": outcome.usage,
    }  # fmt: skip
    if foreseen and then is Then.CONTINUE and not claim.work.secrets:
        return _tell_all(session, claim, found, foreseen, its)
    mine = row(session, statements.END, its)
    if mine is None:
        return None
    _forget_secrets(session, claim)
    _keep_log(session, claim, found.log)
    kept = _keep_results(session, claim, found)
    _tell_end(session, claim, found, its)
    if then is not Then.CONTINUE:
        _leave_out(session, claim.submission_id, LEFT_OUT[then])
    _advance(session, claim.submission_id, claim.place, claim.leads_on)
    if mine.started is None:
        _summarise(session, claim.submission_id)
    return Done(kept, then is Then.CONTINUE)


def _tell_all(session: Session, claim: Claim, found: Found, foreseen: Claim, its: Mapping[str, Any]) -> Done:
    """Of a run's end, and of what follows it, without an answer to anything."""
    tell(session, statements.END, its)
    _tell_log(session, claim, found.log, {})
    keep = statements.keep(session.get_bind().dialect.name)
    tell(session, keep, *(_result(claim, each) for each in found.kept))
    _tell_end(session, claim, found, its)
    _queue_one(session, foreseen.run_id, foreseen.queue)
    session.info[TOLD] = _told(claim, found.kept)
    return Done(found.kept)


def _tell_end(session: Session, claim: Claim, found: Found, its: Mapping[str, Any]) -> None:
    left = [f"Step {claim.place.stage} ({claim.task_name}): {each}" for each in found.left]
    _say(session, claim, [*left, its["sentence"]])
    used = {"status": its["status"], "used": its["used"]}
    tell(session, statements.END_ATTEMPT, {"run": claim.run_id, "told": its["sentence"], **used})


@event.listens_for(Session, "before_commit")
def be_sure(session: Session) -> None:
    """Raises NotAsForeseen."""
    if told := session.info.get(TOLD):
        _be_sure(session, row(session, statements.IS_AS_FORESEEN, told))


@event.listens_for(Session, "after_rollback")
def _forget_told(session: Session) -> None:
    session.info.pop(TOLD, None)


def _be_sure(session: Session, found: Any) -> None:
    if session.info.pop(TOLD, None) and not found.as_foreseen:
        raise NotAsForeseen


def _told(claim: Claim, kept: Sequence[Kept]) -> dict[str, int]:
    return {"of": claim.submission_id, "ended": claim.run_id, "as": claim.attempt, "kept": len(kept)}


def _ending(claim: Claim, outcome: Outcome, found: Found, stopped: bool) -> tuple[State, str, Then]:
    """How a run ends, the sentence that tells so, and what follows of it."""
    verdict, stage = judge(claim.work.rules, outcome, found.missing), claim.place.stage
    if stopped:
        return State.STOPPED, f"Stopped step: {stage}", Then.FAIL
    if verdict.then is Then.FAIL:
        return State.ERROR, f"Step {stage} ({claim.task_name}): {verdict.sentence}", verdict.then
    return State.COMPLETE, f"Completed step: {stage}{verdict.sentence and f' ({verdict.sentence})'}", verdict.then


def _forget_secrets(session: Session, claim: Claim) -> None:
    """A handle has them as long as its run may need them."""
    if claim.work.secrets:
        run = session.get_one(Run, claim.run_id, populate_existing=True)
        run.handle = without_secrets(run.handle)


def retry(session: Session, claim: Claim, outcome: Outcome, written: Sequence[Written] = ()) -> bool:
    """Whether the task's rules give a failed run another try; if so it is queued for then, and keeps no results."""
    run, rules = _lock(session, claim), claim.work.retries
    verdict = judge(claim.work.rules, outcome, ())
    if run is None or run.submission.stop_asked or verdict.then is not Then.FAIL:
        return False
    if not rules.wanted(outcome, run.retried):
        return False
    _keep_log(session, claim, written)
    wait = rules.wait(run.retried)
    run.retried += 1
    why = f"{verdict.sentence.rstrip('.')}; retry {run.retried} of {rules.most} in {durations.words(wait)}"
    run.exit_status, run.usage = outcome.exit_status, outcome.usage
    _end_attempt(session, run.id, verdict.sentence, outcome)
    _queue_again(session, run, f"Step {run.stage} ({run.task_name}): {why}", wait)
    return True


def ended(session: Session, claim: Claim) -> bool:
    """Whether this very attempt has ended the run: what a worker asks whose commit got no answer."""
    run = session.get(Run, claim.run_id)
    return run is not None and run.attempt == claim.attempt and run.state.final


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
    _end_attempt(session, run.id, why)
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
    _end_attempt(session, run.id, f"Lost: {why}")
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
    _summarise(session, run.submission_id)
    if not wait:
        queue.say(session, "wake", run.queue)


def _end_attempt(session: Session, run_id: int, sentence: str, outcome: Outcome | None = None) -> None:
    """Close the try that was under way, if one was started."""
    used = {"exit_status": outcome.exit_status, "usage": outcome.usage} if outcome else {}
    attempt = update(Attempt).where(Attempt.run_id == run_id, Attempt.ended.is_(None))
    session.execute(attempt.values(ended=now(), sentence=sentence, **used))


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


def first(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the rows of a new submission's runs those that have their turn before anything has ended."""
    places = [plan.Place(run["position"], run["stage"], State.WAITING, frozenset(run["needs"])) for run in runs]
    turn = set(plan.due(places))
    return [run for run in runs if run["position"] in turn]


def queue_new(runs: Iterable[dict[str, Any]]) -> None:
    """Let runs be queued by being made."""
    for run in runs:
        run.update(Run.moved(State.WAITING, State.QUEUED))


def begin(session: Session, submission_ids: Sequence[int]) -> None:
    """Let submissions go that nobody knows yet, so that no lock is needed: their first steps hang on conditions."""
    for submission_id in submission_ids:
        advance(session, session.get_one(Submission, submission_id))


def advance(session: Session, submission: Submission) -> None:
    """Queue what is due now, or end the submission. The caller holds the submission's lock."""
    session.flush()
    if _states(session, submission.id) & set(states.WORST_FIRST):
        _leave_out(session, submission.id, LEFT_OUT[Then.FAIL])
    _advance(session, submission.id)
    _summarise(session, submission.id)


def _advance(session: Session, submission_id: int, ended: plan.Place | None = None, leads_on: bool = True) -> None:
    """Go on after a run has `ended`, the only one since the last look, or after nobody knows what.

    `leads_on`: something may wait.
    """
    while leads_on and (turn := _turn(session, submission_id, ended)):
        if not _queue_or_skip(session, submission_id, turn):
            return
        session.flush()
        ended = None
    known = _known(session, submission_id)
    if not statements.those_in(known) & ACTIVE:
        _summarise(session, submission_id, known)


def _turn(session: Session, submission_id: int, ended: plan.Place | None) -> list[Any]:
    """The waiting runs whose turn it is."""
    waiting = rows(session, statements.NEXT_ONES, {"submission": submission_id})
    only_that = {ended.key} if ended else set()
    if all(run.needs is not None and set(run.needs) <= only_that for run in waiting):
        return waiting
    open_ones = rows(session, statements.OPEN, {"submission": submission_id})
    due = set(plan.due([_place(row) for row in open_ones]))
    return [run for run in waiting if run.position in due]


def _states(session: Session, submission_id: int) -> set[State]:
    return statements.those_in(_known(session, submission_id))


def _known(session: Session, submission_id: int) -> Any:
    return row(session, statements.SUMMARY, {"submission": submission_id})


def _queue_or_skip(session: Session, submission_id: int, turn: Sequence[Any]) -> bool:
    """Queue each, or skip it if its conditions do not hold. Whether any is skipped: others may have their turn then."""
    facts = _facts(session, submission_id, turn)
    whys = {run.id: why for run in turn if (why := _why_not(run, facts))}
    for run_id, why in whys.items():
        _skip(session.get_one(Run, run_id), why)
    _queue(session, [run for run in turn if run.id not in whys])
    return bool(whys)


def _skip(run: Run, why: str) -> None:
    run.move(State.SKIPPED)
    run.reason = f"Because {why}"
    run.submission.say(f"Step {run.stage} ({run.label}) is skipped: {why}", run=run)


def _queue(session: Session, turn: Sequence[Any]) -> None:
    """In one statement, however many they are."""
    for run in turn:
        check_move(run.state, State.QUEUED)
    if len(turn) == 1:
        _queue_one(session, turn[0].id, turn[0].queue)
        return
    for run in turn:
        queue.say(session, "wake", run.queue, run.id)
    if turn:
        session.connection().execute(statements.QUEUE_ALL, {"runs": [run.id for run in turn]})


def _queue_one(session: Session, run_id: int, its_queue: str) -> None:
    queue.say(session, "wake", its_queue, run_id)
    tell(session, statements.QUEUE_ONE, {"run": run_id})


def _why_not(run: Any, facts: Facts) -> str | None:
    return next(filter(None, (conditions.why_not(each, facts) for each in _conditions([run]))), None)


def _conditions(runs: Iterable[Any]) -> list[dict[str, Any]]:
    return [each for run in runs if run.condition for each in run.condition["all"]]


def _facts(session: Session, submission_id: int, turn: Sequence[Any]) -> Facts:
    """What the conditions of these runs ask for; nothing is read that none of them does."""
    asked = _conditions(turn)
    if not asked:
        return Facts((), {}, {})
    session.flush()
    statuses = [each["run"] for each in asked if "exit_status_of" in each]
    known = select(Run.position, Run.state, Run.exit_status).where(
        Run.submission_id == submission_id, or_(Run.state == State.SKIPPED, Run.position.in_(statuses))
    )
    found = session.execute(known).all()
    return Facts(
        skipped={run.position for run in found if run.state is State.SKIPPED},
        exit_statuses={run.position: run.exit_status for run in found},
        files=_files(session, submission_id) if any("file" in each for each in asked) else {},
    )


def _files(session: Session, submission_id: int) -> dict[int, list[str]]:
    """The names of all files by the place of the run that gave them."""
    uploads = rows(session, statements.UPLOADS, {"submission": submission_id})
    endings = [each.ending or first_input(each.inputs) for each in uploads]
    found = {conditions.UPLOADS: [conditions.upload_name(each) for each in endings]}
    given = select(Run.position, Result.name).join(Result.run).where(Result.submission_id == submission_id)
    for place, name in session.execute(given):
        found.setdefault(place, []).append(name)
    return found


def first_input(inputs: Sequence[str]) -> str:
    """The ending that the upload is known by: the first input of the first step, as the first system named it."""
    return inputs[0] if inputs else ".input"


def _leave_out(session: Session, submission_id: int, why: str) -> None:
    waiting = Run.submission_id == submission_id, Run.state == State.WAITING
    session.execute(update(Run).where(*waiting).values(**Run.moved(State.WAITING, State.SKIPPED, why)))


def _place(run: Any) -> plan.Place:
    needs = None if run.needs is None else frozenset(run.needs)
    return plan.Place(run.position, run.stage, run.state, needs)


def _summarise(session: Session, submission_id: int, known: Any = None) -> None:
    """Store the submission's state where it changes; at the end write its last message, once."""
    session.flush()
    known = known or _known(session, submission_id)
    if known.state.final:
        return
    state = states.summary(statements.those_in(known))
    state = State.RUNNING if known.started and state is State.QUEUED else state
    if state is known.state:
        return
    if state.final:
        _end(session, submission_id, state)
    else:
        tell(session, statements.SET_STATE, {"submission": submission_id, "to": state})
    _forget(session, Submission, submission_id)
    _summarise_batch(session, known.batch_id)


def _end(session: Session, submission_id: int, state: State) -> None:
    """Until when its results are kept is as its job says, else the settings; None: for ever."""
    last = row(session, statements.LAST, {"submission": submission_id, "to": state})
    days = last.keep_days or settings().portal_keep_days
    tell(session, statements.end_submission((days or 0) * DAY), {"submission": submission_id, "to": state})
    about = {"submission_id": submission_id, "run_id": None, "kind": "end"}
    tell(session, statements.SAY, about | {"sentence": _last_words(state, last)[:LONGEST_SENTENCE]})


def _last_words(state: State, last: Any) -> str:
    """The end's message; 'Completed job at step' are words that clients look for."""
    if state is State.COMPLETE:
        return f"Completed job at step #{last.stage or 0}"
    return "Stopped" if state is State.STOPPED else last.reason or ""


def _summarise_batch(session: Session, batch_id: int) -> None:
    """The batch's state, under its own lock, since its submissions may end side by side; at its end, a letter."""
    session.flush()
    tell(session, statements.HOLD_BATCH, {"batch": batch_id})
    known = row(session, statements.STATES_OF_BATCH, {"batch": batch_id})
    members = statements.those_in(known)
    state = states.batch_summary(members)
    if state is not known.its_own:
        tell(session, statements.SET_BATCH_STATE, {"batch": batch_id, "to": state})
        _forget(session, Batch, batch_id)
    if all(state.final for state in members) and mail.on():
        session.add(Letter(batch_id=batch_id))
        queue.say(session, "tell")


def _forget(session: Session, kind: type[Base], key: int) -> None:
    """What the session knows of a row that a statement has changed."""
    if known := session.identity_map.get(identity_key(kind, key)):
        session.expire(known)


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
    mine = select(Run).where(Run.submission_id == submission.id).options(defer(Run.work))
    fresh = mine.order_by(Run.stage, Run.position)
    return session.scalars(fresh.with_for_update().execution_options(populate_existing=True)).all()


def _keep_log(session: Session, claim: Claim, written: Sequence[Written]) -> None:
    """Only what is not kept yet: a beat whose commit was uncertain says the same bytes again."""
    _tell_log(session, claim, written, log_ends(session, claim) if written else {})


def _tell_log(session: Session, claim: Claim, written: Sequence[Written], ends: Mapping[str, int]) -> None:
    chunks = [_chunk(claim, each, ends.get(each.stream, 0)) for each in written]
    tell(session, statements.KEEP_LOG, *(chunk for chunk in chunks if chunk["data"]))


def _chunk(claim: Claim, written: Written, end: int) -> dict[str, Any]:
    known = max(end - written.start, 0)
    its = {"run_id": claim.run_id, "attempt": claim.attempt, "stream": written.stream}
    return its | {"start": written.start + known, "data": written.data[known:]}


def log_ends(session: Session, claim: Claim) -> dict[str, int]:
    """How many bytes of each stream of this attempt are kept."""
    found = rows(session, statements.LOG_ENDS, {"run": claim.run_id, "as": claim.attempt})
    return {row.stream: int(row.end) for row in found}


def _keep_results(session: Session, claim: Claim, found: Found) -> list[Kept]:
    """Each under a name that no other of the submission has."""
    keep = statements.keep(session.get_bind().dialect.name)
    left = [(each, _names(each.name, claim)) for each in found.kept]
    kept: list[Kept] = []
    while left:
        new = [replace(each, name=next(names)) for each, names in left]
        taken = {each.key for each in for_each(session, keep, [_result(claim, each) for each in new])}
        kept += [each for each in new if each.blob.key in taken]
        left = [(each, names) for each, names in left if each.blob.key not in taken]
    return kept


def _result(claim: Claim, kept: Kept) -> dict[str, Any]:
    its = {"submission_id": claim.submission_id, "run_id": claim.run_id, "attempt": claim.attempt}
    return its | {"name": kept.name, "key": kept.blob.key, "size": kept.blob.size, "sha256": kept.blob.sha256}


def _names(name: str, claim: Claim) -> Iterator[str]:
    """The public name, then others with the step's place in them, for where another file has the same name already."""
    place = f"{claim.place.stage}-{claim.place.key + 1}"
    marks = chain([place], (f"{place}-{number}" for number in count(2)))
    return chain([name], (marked(claim.work.identity, name, mark) for mark in marks))


def before(runs: Iterable[Any]) -> dict[int, frozenset[int]]:
    """All that each run of a submission comes after, by their positions."""
    return plan.before(_place(run) for run in runs)


def rescue(session: Session, submission_id: int) -> None:
    """Go on with a submission that nothing moves any more. For the sweep; it should find none."""
    submission = _lock_submission(session, submission_id)
    if submission is None or submission.state.final:
        return
    if not _states(session, submission.id) & {State.QUEUED, State.RUNNING}:
        log.warning("nothing moved the submission %s: it goes on now", submission.uuid)
        advance(session, submission)
