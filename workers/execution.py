"""One claimed run, from its claim to its end.

What a user's program does is an outcome, which its task's rules may answer with another try. What fails of the
machinery (a lost launcher, a full disk, a silent database) gives the run back. A worker that ends hands it over.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from uuid import uuid4

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from portal.database import reading, transaction
from portal.domain.errors import Lost, NoRoom, PortalError, Unavailable
from portal.domain.states import State
from portal.domain.verdict import Outcome
from portal.models import Run
from portal.services import progress
from portal.services.progress import Answer, Claim, Found
from portal.settings import settings
from workers.collector import discard
from workers.runners import Handle, Runner, runner
from workers.workspace import Workspace

FENCE = 0.6
RETRY_SECONDS = 0.5
LOG_SECONDS = 0.5
STEPS = 16
ROOM_SECONDS = 10.0
NO_ANSWER = (OperationalError, InterfaceError)

log = logging.getLogger(__name__)


class Ghost(Exception):
    """The run is another worker's by now: nothing more may be written about it."""


class Ending(Exception):
    """This worker is told to end while the run goes on."""


def never() -> bool:
    return False


def perform(claim: Claim, ending: Callable[[], bool] = never) -> None:
    """See one run through, or until this worker is `ending`. Never raises for what a run, or all below it, can do."""
    try:
        _perform(claim, ending)
    except Ghost:
        log.info("run %s attempt %s is another worker's now", claim.uuid, claim.attempt)
    except NoRoom as refusal:
        log.warning("run %s attempt %s has to wait: %s", claim.uuid, claim.attempt, refusal)
        _release(claim, str(refusal), ROOM_SECONDS)
    except (PortalError, OSError) as failure:
        log.warning("run %s attempt %s is given back: %s", claim.uuid, claim.attempt, failure)
        _give_back(claim, _plain(failure))
    except NO_ANSWER:
        log.exception("run %s attempt %s: the database failed, its lease will run out", claim.uuid, claim.attempt)
    except Exception:  # noqa: BLE001 - the one place: whatever it is, the run must end
        _crash(claim)


def _perform(claim: Claim, ending: Callable[[], bool]) -> None:
    workspace = Workspace.of(claim)
    where = runner(claim.work.placement.runner)
    handle = _taken_up(claim, workspace) if claim.handle else _prepare(claim, workspace, where)
    if handle is None:
        return
    workspace.beat()
    where.start(handle)
    with _ended_on_failure(claim, workspace, where, handle):
        try:
            outcome = _Watch(claim, workspace, where, handle, ending).until_the_end()
        except Ending:
            _leave(claim, workspace, where, handle)
            return
        if not _retry(claim, outcome):
            _end(claim, workspace, outcome)
    workspace.tidy()


def _prepare(claim: Claim, workspace: Workspace, where: Runner) -> Handle | None:
    """The handle is kept before anything is started under it, so that no process can be forgotten. None: stopped."""
    with _beating(claim), reading() as session, _room():
        workspace.check_room()
        workspace.prepare(session)
    handle = where.handle(workspace.space)
    with transaction() as session:
        answer = progress.started(session, claim, handle)
    if answer is Answer.GO_ON:
        return handle
    workspace.tidy()
    if answer is Answer.GHOST:
        raise Ghost
    return None


@contextmanager
def _room() -> Iterator[None]:
    """A full disk is no failure of the run that meets it before it is started."""
    try:
        yield
    except OSError as failure:
        if failure.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoRoom("The disk of the worker's machine is full.") from None
        raise


def _taken_up(claim: Claim, workspace: Workspace) -> Handle | None:
    """What another worker of this host started: its log goes on where that one left it."""
    with reading() as session:
        workspace.resume_log(progress.log_ends(session, claim))
    return claim.handle


def _leave(claim: Claim, workspace: Workspace, where: Runner, handle: Handle) -> None:
    """Hand a run over to the next worker, or end it in order, as the setting says."""
    if settings().portal_at_shutdown == "end":
        _stop(where, handle)
        workspace.tidy()
        _release(claim, "its worker ended")
        return
    with transaction() as session:
        handed_over = progress.hand_over(session, claim)
    if handed_over:  # only now, so that its launcher never waits longer than the database does
        with suppress(OSError):  # a full disk: its launcher keeps its usual patience
            workspace.hand_over(settings().portal_hand_over_seconds)


def _retry(claim: Claim, outcome: Outcome) -> bool:
    if not claim.work.retries.most:
        return False
    with transaction() as session:
        return progress.retry(session, claim, outcome)


def _end(claim: Claim, workspace: Workspace, outcome: Outcome) -> None:
    with _beating(claim):
        found = workspace.collect()
    if not _finish(claim, outcome, found):
        discard(found)
        raise Ghost


@contextmanager
def _beating(claim: Claim) -> Iterator[None]:
    """Beats the lease from a thread of its own, while files are copied."""
    over = threading.Event()
    beats = threading.Thread(target=_beat_until, args=(claim, over), daemon=True)
    beats.start()
    try:
        yield
    finally:
        over.set()
        beats.join()


def _beat_until(claim: Claim, over: threading.Event) -> None:
    while not over.wait(settings().portal_beat_seconds):
        with suppress(*NO_ANSWER), transaction() as session:
            progress.beat(session, claim)


@contextmanager
def _ended_on_failure(claim: Claim, workspace: Workspace, where: Runner, handle: Handle) -> Iterator[None]:
    """Nothing of a run that fails here may live beside its next try."""
    try:
        yield
    except (Ghost, *NO_ANSWER):
        raise
    except Exception:
        if not _is_taken_up(claim, handle):
            _stop(where, handle)
            workspace.tidy()
        raise


def _stop(where: Runner, handle: Handle) -> None:
    """End its processes, and return when they are gone."""
    with suppress(Lost):
        where.stop(handle)
        while where.wait(handle, settings().portal_beat_seconds) is None:
            continue


def _is_taken_up(claim: Claim, handle: Handle) -> bool:
    """Whether another worker looks after the very same processes by now."""
    with reading() as session:
        run = session.get(Run, claim.run_id)
        return run is not None and run.attempt > claim.attempt and run.state is State.RUNNING and run.handle == handle


class _Watch:
    """Looks after a started run: beats its lease, ships its log, passes a stop on, and fences itself."""

    def __init__(
        self, claim: Claim, workspace: Workspace, where: Runner, handle: Handle, ending: Callable[[], bool]
    ) -> None:
        self.claim, self.workspace, self.where, self.handle = claim, workspace, where, handle
        self.ending = ending
        self.stop_asked = False
        self.proven = time.monotonic()
        self.next_beat = self.proven

    def until_the_end(self) -> Outcome:
        """The outcome, once all of its log is kept. Raises Ending, Ghost, Lost, NoRoom."""
        while True:
            outcome = self.where.wait(self.handle, min(LOG_SECONDS, settings().portal_beat_seconds))
            if outcome is None and self.ending():
                raise Ending
            kept = not self._is_due(outcome) or self._beat(last=outcome is not None)
            self._check_room()
            if outcome is not None and kept:
                return self._checked(outcome)
            if outcome is not None:
                time.sleep(RETRY_SECONDS)

    def _is_due(self, outcome: Outcome | None) -> bool:
        """A beat is due at its time, and at once when there is something to tell."""
        return outcome is not None or time.monotonic() >= self.next_beat or bool(self.workspace.written())

    def _beat(self, last: bool) -> bool:
        """Whether the database took the beat."""
        begun = time.monotonic()
        try:
            answer = self._say(last)
        except NO_ANSWER as failure:
            self._fence(failure)
            return False
        self.proven, self.next_beat = begun, begun + settings().portal_beat_seconds
        if answer is Answer.GHOST:
            self._vanish()
        self.workspace.beat()
        if answer is Answer.STOP and not self.stop_asked:
            self.stop_asked = True
            self.where.stop(self.handle)
        return True

    def _say(self, last: bool) -> Answer:
        """Beat, with some of the log; at the end with all the rest of it."""
        for step in count(1):
            written = self.workspace.written()
            with transaction() as session:
                answer = progress.beat(session, self.claim, written)
            self.workspace.ship(written)
            if answer is Answer.GHOST or not written or (step >= STEPS and not last):
                break
        return answer

    def _fence(self, failure: DBAPIError) -> None:
        """A worker that cannot prove its lease ends its run before another can begin it."""
        log.warning("run %s: the database does not answer a beat: %s", self.claim.uuid, type(failure).__name__)
        if time.monotonic() - self.proven > FENCE * settings().portal_lease_seconds:
            self.where.stop(self.handle)
            raise failure

    def _check_room(self) -> None:
        """A run on a disk that is nearly full is tried again, whatever became of it. It counts: it may be to blame."""
        try:
            self.workspace.check_room()
        except NoRoom as refusal:
            raise Unavailable(str(refusal)) from None

    def _vanish(self) -> None:
        """End what was started, unless another worker has taken up the very same processes."""
        if not _is_taken_up(self.claim, self.handle):
            self.where.stop(self.handle)
        raise Ghost

    def _checked(self, outcome: Outcome) -> Outcome:
        """A run that was ended without anybody asking for it was lost by the machinery."""
        if outcome.reason == "abandoned" or (outcome.reason == "stopped" and not self.stop_asked):
            raise Lost("it was ended while no worker could look after it")
        return outcome


def _finish(claim: Claim, outcome: Outcome, found: Found) -> bool:
    """End the run; an answer that did not come is asked for again, for as long as the lease is surely ours."""
    deadline = time.monotonic() + FENCE * settings().portal_lease_seconds
    while True:
        try:
            with transaction() as session:
                return progress.finish(session, claim, outcome, found) or progress.ended(session, claim)
        except NO_ANSWER:
            if time.monotonic() > deadline:
                raise
            log.warning("run %s: the database does not take its end yet", claim.uuid)
            time.sleep(RETRY_SECONDS)


def _plain(failure: PortalError | OSError) -> str:
    """A sentence without paths of this machine."""
    return str(failure) if isinstance(failure, PortalError) else f"{failure.strerror or type(failure).__name__}"


def _release(claim: Claim, why: str, wait: float = 0) -> None:
    with transaction() as session:
        progress.release(session, claim, why, wait)


def _give_back(claim: Claim, why: str) -> None:
    with transaction() as session:
        progress.give_back(session, claim, why)


def _crash(claim: Claim) -> None:
    number = uuid4().hex[:8]
    log.exception("run %s attempt %s crashed, error %s", claim.uuid, claim.attempt, number)
    with transaction() as session:
        progress.crash(session, claim, f"the portal failed (error {number}; its log says more)")
