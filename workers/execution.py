"""One claimed run, from its claim to its end.

What a user's program does is an outcome. What fails of the machinery (a lost launcher, a full disk, a database that
does not answer) gives the run back, to be tried again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from portal.database import reading, transaction
from portal.domain.errors import Lost, PortalError
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
NO_ANSWER = (OperationalError, InterfaceError)

log = logging.getLogger(__name__)


class Ghost(Exception):
    """The run is another worker's by now: nothing more may be written about it."""


def perform(claim: Claim) -> None:
    """See one run through. Never raises for what a run, or the machinery below it, can do."""
    try:
        _perform(claim)
    except Ghost:
        log.info("run %s attempt %s is another worker's now", claim.uuid, claim.attempt)
    except (PortalError, OSError) as failure:
        log.warning("run %s attempt %s is given back: %s", claim.uuid, claim.attempt, failure)
        _give_back(claim, _plain(failure))
    except NO_ANSWER:
        log.exception("run %s attempt %s: the database failed, its lease will run out", claim.uuid, claim.attempt)
    except Exception:  # noqa: BLE001 - the one place: whatever it is, the run must end
        _crash(claim)


def _perform(claim: Claim) -> None:
    workspace = Workspace.of(claim)
    where = runner(claim.work.placement.runner)
    handle = claim.handle or _prepare(claim, workspace, where)
    workspace.beat()
    where.start(handle)
    with _ended_on_failure(claim, workspace, where, handle):
        outcome = _Watch(claim, workspace, where, handle).until_the_end()
        with _beating(claim):
            found = workspace.collect()
    if not _finish(claim, outcome, found):
        discard(found)
        raise Ghost
    workspace.tidy()


def _prepare(claim: Claim, workspace: Workspace, where: Runner) -> Handle:
    """The handle is kept before anything is started under it, so that no process can be forgotten."""
    with _beating(claim), reading() as session:
        workspace.prepare(session)
    handle = where.handle(workspace.space)
    with transaction() as session:
        if not progress.started(session, claim, handle):
            workspace.tidy()
            raise Ghost
    return handle


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
            _end(where, handle)
            workspace.tidy()
        raise


def _end(where: Runner, handle: Handle) -> None:
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

    def __init__(self, claim: Claim, workspace: Workspace, where: Runner, handle: Handle) -> None:
        self.claim, self.workspace, self.where, self.handle = claim, workspace, where, handle
        self.stop_asked = False
        self.proven = time.monotonic()

    def until_the_end(self) -> Outcome:
        """The outcome, once all of its log is kept."""
        while True:
            outcome = self.where.wait(self.handle, settings().portal_beat_seconds)
            kept = self._beat(last=outcome is not None)
            if outcome is not None and kept:
                return self._checked(outcome)
            if outcome is not None:
                time.sleep(RETRY_SECONDS)

    def _beat(self, last: bool) -> bool:
        """Whether the database took the beat."""
        begun = time.monotonic()
        try:
            answer = self._say(last)
        except NO_ANSWER as failure:
            self._fence(failure)
            return False
        self.proven = begun
        if answer is Answer.GHOST:
            self._vanish()
        self.workspace.beat()
        if answer is Answer.STOP and not self.stop_asked:
            self.stop_asked = True
            self.where.stop(self.handle)
        return True

    def _say(self, last: bool) -> Answer:
        """Beat, with the log; at the end with all the rest of it."""
        while True:
            written = self.workspace.written()
            with transaction() as session:
                answer = progress.beat(session, self.claim, written)
            self.workspace.ship(written)
            if not (last and written) or answer is Answer.GHOST:
                return answer

    def _fence(self, failure: DBAPIError) -> None:
        """A worker that cannot prove its lease ends its run before another can begin it."""
        log.warning("run %s: the database does not answer a beat: %s", self.claim.uuid, type(failure).__name__)
        if time.monotonic() - self.proven > FENCE * settings().portal_lease_seconds:
            self.where.stop(self.handle)
            raise failure

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


def _give_back(claim: Claim, why: str) -> None:
    with transaction() as session:
        progress.give_back(session, claim, why)


def _crash(claim: Claim) -> None:
    number = uuid4().hex[:8]
    log.exception("run %s attempt %s crashed, error %s", claim.uuid, claim.attempt, number)
    with transaction() as session:
        progress.crash(session, claim, f"the portal failed (error {number}; its log says more)")
