"""One claimed run, from its claim to its end.

What a user's program does is an outcome, which its task's rules may answer with another try. What fails of the
machinery (a lost launcher, a full disk, a silent database) gives the run back. A worker that ends hands it over.

The transaction that ends a run claims the worker's next one.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from uuid import uuid4

from portal import storage
from portal.database import reading, transaction
from portal.domain.errors import Lost, NoKey, NoRoom, NotFound, PortalError, Unavailable
from portal.domain.plugins import plugins
from portal.domain.states import State
from portal.domain.verdict import Outcome
from portal.models import Run
from portal.patience import meanwhile
from portal.services import progress, secrets
from portal.services.progress import NOTHING, Answer, Claim, Found, NotAsForeseen, Written
from portal.settings import settings
from workers.collector import discard
from workers.confinement import probes
from workers.runners import Handle, Runner, call_off
from workers.runners.local import end_abandoned
from workers.succession import (
    NO_ANSWER,
    After,
    Begun,
    Following,
    Next,
    OutOfReach,
    nothing,
    place_of,
    trusted_until,
)
from workers.workspace import Sources, Workspace

RETRY_SECONDS = 0.5
LOG_SECONDS = 0.5
LOG_AT_END = 256_000
STEPS = 16
SEALED = "secrets"
ROOM_SECONDS = 10.0
MUCH = 4_000_000  # bytes, which the disk may take longer for than others should wait for a lock
STOP_SECONDS = 30.0

log = logging.getLogger(__name__)


class Ghost(Exception):
    """The run is another worker's by now: nothing more may be written about it."""


class Ending(Exception):
    """This worker is told to end while the run goes on."""


def never() -> bool:
    return False


@dataclass(frozen=True)
class End:
    """How a run ended, and the rest of its log."""

    outcome: Outcome
    written: Sequence[Written] = ()


def perform(run: Next, ending: Callable[[], bool] = never, following: Following = nothing) -> Next | None:
    """See one run through, or until this worker is `ending`; what it is to do next, claimed with the run's end.

    Never raises for what a run, or all below it, can do.
    """
    claim, begun = (run.claim, run) if isinstance(run, Begun) else (run, None)
    try:
        return _perform(claim, begun, ending, following)
    except Ghost:
        log.info("run %s attempt %s is another worker's now", claim.uuid, claim.attempt)
    except (NoRoom, NoKey) as refusal:
        log.warning("run %s attempt %s has to wait: %s", claim.uuid, claim.attempt, refusal)
        _release(claim, str(refusal), ROOM_SECONDS)
    except (PortalError, OSError) as failure:
        log.warning("run %s attempt %s is given back: %s", claim.uuid, claim.attempt, failure)
        _give_back(claim, _plain(failure))
    except NO_ANSWER:
        log.exception("run %s attempt %s: the database failed, its lease will run out", claim.uuid, claim.attempt)
    except OutOfReach:
        log.exception("run %s attempt %s: its lease will run out", claim.uuid, claim.attempt)
    except Exception:
        number = uuid4().hex[:8]
        log.exception("run %s attempt %s: error %s", claim.uuid, claim.attempt, number)
        _give_back(claim, f"the portal failed (error {number}; its log says more)")
    finally:
        if begun:
            call_off(begun.where, begun.handle)
            begun.tidy_before()
    return None


def _perform(claim: Claim, begun: Begun | None, ending: Callable[[], bool], following: Following) -> Next | None:
    workspace, where = (begun.workspace, begun.where) if begun else place_of(claim)
    if not _learn_secrets(claim, workspace):
        return None
    if claim.handle is None and not (begun and begun.brought):
        _bring(claim, workspace, begun)
    proven = begun.at if begun and begun.goes_on() else time.monotonic()
    handle = claim.handle or _begin(claim, workspace, where, begun)
    if handle is None:
        return None
    with After(claim, workspace, following, begun) as after, _ended_on_failure(claim, workspace, where, handle):
        watch = _Watch(claim, workspace, where, handle, proven)
        if not (begun and begun.started):
            watch.start()
        after.foresee()
        if begun:
            begun.tidy_before()
        try:
            end = watch.until_the_end(ending)
        except Ending:
            _leave(claim, workspace, where, handle)
            return None
        if not _retry(claim, end):
            _end(claim, workspace, end, after)
    if not isinstance(after.run, Begun):
        workspace.tidy()
    return after.run


def _learn_secrets(claim: Claim, workspace: Workspace) -> bool:
    """Open what the run is to be given; False if one is gone, which ends it. Raises NoKey, OutOfReach.

    The handle keeps them as they are sealed: whoever takes the run up masks in its log what it was given.
    """
    if claim.work.secrets:
        try:
            workspace.sealed = (claim.handle or {}).get(SEALED) or _sealed(claim)
            workspace.keep_secret(secrets.opened(workspace.sealed))
        except NotFound as gone:
            with After(claim, workspace, nothing) as after:
                _finish(claim, Outcome("cannot_start", detail=f"{gone}."), NOTHING, after, _Forced(NOTHING))
            return False
        except NoKey as failure:
            if claim.handle:
                raise OutOfReach from failure
            raise
    return True


def _sealed(claim: Claim) -> dict[str, str]:
    with reading() as session:
        return secrets.sealed_for(session, claim.work)


def _bring(claim: Claim, workspace: Workspace, begun: Begun | None) -> None:
    """Make the directory and bring the inputs, when nothing lives of earlier tries on this machine."""
    with _beating(claim), _room():
        for space in workspace.earlier():
            end_abandoned(space)
        workspace.check_room()
        workspace.prepare(begun.sources if begun else _sources(workspace))


def _sources(workspace: Workspace) -> Sources:
    with reading() as session:
        return workspace.sources(session)


def _begin(claim: Claim, workspace: Workspace, where: Runner, begun: Begun | None) -> Handle | None:
    """The handle is kept before anything is started under it, so that no process can be forgotten. None: stopped."""
    if begun and begun.goes_on():
        return begun.handle
    handle = where.handle(workspace.space) | ({SEALED: workspace.sealed} if workspace.sealed else {})
    with transaction() as session:
        answer = progress.started(session, claim, handle, probes.level(), told=begun is not None)
    if answer is Answer.GO_ON:
        return handle
    call_off(where, handle)
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


def _leave(claim: Claim, workspace: Workspace, where: Runner, handle: Handle) -> None:
    """Hand a run over to the next worker, or end it in order, as the setting says."""
    if settings().portal_at_shutdown == "end":
        if _stop(where, handle):
            _release(claim, "its worker ended")
            workspace.tidy()
        return
    with transaction() as session:
        handed_over = progress.hand_over(session, claim)
    if handed_over:  # only now, so that its launcher never waits longer than the database does
        with suppress(OSError):  # a full disk: its launcher keeps its usual patience
            workspace.hand_over(settings().portal_hand_over_seconds)


def _told(claim: Claim, outcome: Outcome) -> Outcome:
    """What a shell's exit status tells of the program it ran."""
    spoken = plugins("languages").get(claim.work.language)
    return outcome.of_shell(claim.work.rules.exit_statuses) if spoken and "SHELL" in spoken.constants else outcome


def _retry(claim: Claim, end: End) -> bool:
    if not claim.work.retries.most:
        return False
    with transaction() as session:
        return progress.retry(session, claim, end.outcome, end.written)


def _end(claim: Claim, workspace: Workspace, end: End, after: After) -> None:
    """What it gave is forced to the disk while the database is told of it, which commits nothing before."""
    with _beating(claim):
        found = replace(workspace.collect(), log=end.written)
        force = _Forced(found)
        if sum(each.blob.size for each in found.kept) > MUCH:
            force()
    try:
        _finish(claim, end.outcome, found, after, force)
    except (Ghost, OSError):
        discard(found)
        raise


class _Forced:
    """What a run gave, on the disk for good: once, as an end that is asked for again may be committed already."""

    def __init__(self, found: Found) -> None:
        self.left = [each.blob.key for each in found.kept]

    def __call__(self) -> None:
        storage.force(self.left)
        self.left = []


@contextmanager
def _beating(claim: Claim) -> Iterator[None]:
    """Beats the lease from another thread, while files are copied."""
    heart = _heart()
    heart.claims[claim.run_id] = claim
    heart.wanted.set()
    try:
        yield
    finally:
        del heart.claims[claim.run_id]


class _Heart:
    """A thread that beats for what its process copies files for. One for all, as a new one for each would cost more
    than most files. It sleeps for good when nothing was copied for as long as a beat."""

    def __init__(self) -> None:
        self.claims: dict[int, Claim] = {}
        self.wanted = threading.Event()
        threading.Thread(target=self._beat, daemon=True, name="heart").start()

    def _beat(self) -> None:
        while self.wanted.wait():
            self.wanted.clear()
            time.sleep(settings().portal_beat_seconds)
            for claim in list(self.claims.values()):
                self.wanted.set()
                self._beat_for(claim)

    def _beat_for(self, claim: Claim) -> None:
        try:
            with transaction() as session:
                progress.beat(session, claim)
        except Exception:
            log.exception("run %s attempt %s: a beat failed", claim.uuid, claim.attempt)


@cache
def _heart() -> _Heart:
    return _Heart()


os.register_at_fork(after_in_child=_heart.cache_clear)


@contextmanager
def _ended_on_failure(claim: Claim, workspace: Workspace, where: Runner, handle: Handle) -> Iterator[None]:
    """Nothing of a run that fails here may live beside its next try."""
    try:
        yield
    except (Ghost, OutOfReach, *NO_ANSWER):
        raise
    except Exception as failure:
        if not _is_taken_up(claim, handle):
            if not _stop(where, handle):
                raise OutOfReach from failure
            workspace.tidy()
        raise


def _stop(where: Runner, handle: Handle) -> bool:
    """End its processes; whether they are gone."""
    deadline = time.monotonic() + STOP_SECONDS
    with suppress(Lost):
        where.stop(handle)
        while where.wait(handle, settings().portal_beat_seconds) is None:
            if time.monotonic() > deadline:
                return False
    return True


def _is_taken_up(claim: Claim, handle: Handle) -> bool:
    """Whether another worker looks after the very same processes by now."""
    with reading() as session:
        run = session.get(Run, claim.run_id)
        return run is not None and run.attempt > claim.attempt and run.state is State.RUNNING and run.handle == handle


class _Watch:
    """Looks after a run: started first, it beats its lease, ships its log, passes a stop on, and fences itself.

    `proven` is when the lease was last surely ours, by the monotonic clock.
    """

    def __init__(self, claim: Claim, workspace: Workspace, where: Runner, handle: Handle, proven: float) -> None:
        self.claim, self.workspace, self.where, self.handle = claim, workspace, where, handle
        self.stop_asked = False
        self.proven = proven
        self.next_beat = proven + settings().portal_beat_seconds

    def until_the_end(self, ending: Callable[[], bool]) -> End:
        """The outcome, with what is not kept yet of its log. Raises Ending, Ghost, Lost, NoRoom, Unavailable."""
        while (outcome := self.where.wait(self.handle, min(LOG_SECONDS, settings().portal_beat_seconds))) is None:
            if ending():
                raise Ending
            if time.monotonic() >= self.next_beat or self.workspace.written():
                self._beat()
            self._check_room()
        rest = self._rest()
        self._check_room()
        return End(_told(self.claim, self._checked(outcome)), rest)

    def start(self) -> None:
        """Never later than the lease can be trusted; it is as good as a beat. What was started before goes on, with its
        log."""
        if not self.workspace.is_whole():  # ended in order, say, by a worker that could not write so
            raise Lost("its directory is gone from the worker's machine, or was never whole")
        if self.claim.handle is not None:
            self.workspace.beat()
            with reading() as session:
                self.workspace.resume_log(progress.log_ends(session, self.claim))
            self._beat()
        self.where.start(self.handle, trusted_until(self.proven), self.workspace.secrets)

    def _beat(self) -> None:
        """Extend the lease, with some of the log."""
        for step in count(1):
            written = self.workspace.written()
            if not self._say(written):
                return
            self.workspace.ship(written)
            if not written or step >= STEPS:
                return

    def _rest(self) -> list[Written]:
        """What is left of the log goes with the run's end; what is too much for that, by beats before it."""
        rest: list[Written] = []
        while written := self.workspace.written(last=True):
            self.workspace.ship(written)
            rest += written
            if sum(len(each.data) for each in rest) > LOG_AT_END:
                while not self._say(rest):
                    time.sleep(RETRY_SECONDS)
                rest = []
        return rest

    def _say(self, written: Sequence[Written]) -> bool:
        """Whether the database took the beat."""
        begun = time.monotonic()
        try:
            with transaction() as session:
                answer = progress.beat(session, self.claim, written)
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

    def _fence(self, failure: Exception) -> None:
        """A worker that cannot prove its lease ends its run before another can begin it."""
        self.workspace.is_sure = False
        log.warning("run %s: the database does not answer a beat: %s", self.claim.uuid, type(failure).__name__)
        if time.monotonic() > trusted_until(self.proven):
            self.where.stop(self.handle)
            raise failure

    def _check_room(self) -> None:
        """A run on a disk that is nearly full is tried again, whatever became of it. It counts if it is to blame."""
        try:
            self.workspace.check_room()
        except NoRoom as refusal:
            if self.workspace.size() > settings().portal_disk_floor_bytes:
                raise Unavailable(str(refusal)) from None
            raise

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


def _finish(claim: Claim, outcome: Outcome, found: Found, after: After, force: Callable[[], None]) -> None:
    """End the run and claim what follows; an answer that did not come is asked for again, for as long as the lease is
    surely ours, but then for the end alone. Nothing is committed before what it gave is forced to the disk.

    Raises Ghost, and OSError for what could not be forced.
    """
    deadline = trusted_until(time.monotonic())
    while True:
        try:
            with transaction() as session:
                with meanwhile(force) as forced:
                    done = progress.finish(session, claim, outcome, found, after.what_surely_follows(found))
                    if done:
                        after.claim(session, done)
                        forced.run()
                if done or progress.ended(session, claim):
                    return
                raise Ghost
        except NotAsForeseen:
            after.give_up()
        except NO_ANSWER:
            after.take_back()
            if time.monotonic() > deadline:
                raise
            log.warning("run %s: the database does not take its end yet", claim.uuid)
            time.sleep(RETRY_SECONDS)


def _plain(failure: PortalError | OSError) -> str:
    """A sentence without paths of this machine."""
    if isinstance(failure, PortalError):
        return str(failure)
    return f"the worker's machine failed ({failure.strerror or type(failure).__name__})"


def _release(claim: Claim, why: str, wait: float = 0) -> None:
    with transaction() as session:
        progress.release(session, claim, why, wait)


def _give_back(claim: Claim, why: str) -> None:
    with transaction() as session:
        progress.give_back(session, claim, why)
