"""What its worker does after a run: claimed with the end of that, and begun with it where nobody has to be waited for.

What surely follows is made ready while the run goes on, as far as it needs nothing of it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.orm import Session

from portal.database import once_committed, reading, while_committing
from portal.patience import meanwhile
from portal.services import progress
from portal.services.progress import Claim, Done, Expected, Found
from portal.settings import settings
from workers.confinement import probes
from workers.runners import Handle, Runner, call_off, make_ready, runner
from workers.workspace import Source, Sources, Workspace

FENCE = 0.6
PROMPT_SECONDS = 1.0
LITTLE = 100_000  # bytes, which are copied in less time than the disk takes for anything
NO_ANSWER = (DBAPIError, NoConnection)

log = logging.getLogger(__name__)


class OutOfReach(Exception):
    """Processes of the run may live that this worker cannot end: its lease is left to run out, and they with it."""


Following = Callable[[Session, Expected | None], Claim | None]


def nothing(session: Session, expected: Expected | None) -> Claim | None:
    return None


@dataclass(frozen=True)
class Planned:
    """Where a run will happen, how it will be found there, and what it is to be brought; what surely comes after it, as
    far as that is known."""

    claim: Claim
    workspace: Workspace
    where: Runner
    handle: Handle
    sources: Sources
    ahead: Sequence[Claim]

    @property
    def expected(self) -> Expected:
        return Expected(self.claim, self.handle)

    def is_it(self, claim: Claim | None) -> bool:
        return claim is not None and (claim.run_id, claim.attempt) == (self.claim.run_id, self.claim.attempt)


@dataclass(frozen=True)
class Begun(Planned):
    """A claim that was begun at once, perhaps with the end of another run, `at` a time of the monotonic clock.

    Its handle is kept; small inputs are brought already, and then it was `started` as soon as that was committed. The
    directory of the run `before` it goes after that, as nobody waits for it then.
    """

    brought: bool
    started: bool
    before: Workspace | None
    at: float

    def is_little(self) -> bool:
        """What it is brought: then that is done at once."""
        return self.sources.size <= LITTLE and self.claim.attempt == 1

    def tidy_before(self) -> None:
        if self.before:
            self.before.tidy()

    def is_fresh(self) -> bool:
        """Whether that is not so long ago that a stop has to be asked for once more."""
        return time.monotonic() - self.at < PROMPT_SECONDS

    def goes_on(self) -> bool:
        """Whether nothing is asked before it is looked after; of what is started already a beat asks."""
        return self.started or self.is_fresh()


Next = Claim | Begun


@dataclass(frozen=True)
class Foreseen(Planned):
    """What follows a run if that completes, and is claimed then, with what its worker can bring before. Nobody else
    knows of its directory."""

    def with_results(self, new: Sequence[Source]) -> Foreseen:
        """To be brought what the run before it gave, too."""
        taken = [each for each in new if self.workspace.takes(each)]
        return replace(self, sources=replace(self.sources, offered=[*self.sources.offered, *taken]))


class Beginning:
    """What its worker claims, begun in the same transaction, unless somebody else holds its submission; after a
    run that has `ended`, perhaps, in the directory `before`.
    """

    def __init__(self, ended: Claim | None = None, before: Workspace | None = None) -> None:
        self.ended, self.before = ended, before
        self.run: Next | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        if failed:
            self.take_back()

    def begin(self, session: Session, claim: Claim) -> None:
        self.run = claim
        if planned := self._planned(session, claim):
            self.run = begun = self._begun(planned)
            while_committing(session, partial(self._get_ready, begun))
            once_committed(session, self._let_begin)

    def take_back(self) -> None:
        """What was claimed in a transaction that was not written, or perhaps was: then others find its directory."""
        if isinstance(self.run, Begun):
            call_off(self.run.where, self.run.handle)
        self.run = None

    def _begun(self, planned: Planned) -> Begun:
        return Begun(**vars(planned), brought=False, started=False, before=self.before, at=time.monotonic())

    def _planned(self, session: Session, claim: Claim) -> Planned | None:
        """Of one that begins in this transaction, without having been foreseen."""
        if claim.handle or claim.frozen.get("secrets"):
            return None
        try:
            workspace, where = Workspace.apart(claim), runner(claim.work.placement.runner)
            workspace.check_room()
            if self.ended and self.before and claim.submission_id == self.ended.submission_id:
                workspace.uploads = self.before.uploads
            planned = Planned(claim, workspace, where, where.handle(workspace.space), workspace.sources(session), ())
        except NO_ANSWER:
            raise
        except Exception:  # noqa: BLE001 - what it is comes to light when it is performed
            return None
        return planned if progress.follow(session, claim, self.ended, planned.handle, probes.level()) else None

    def _get_ready(self, run: Begun | None) -> None:
        """Nothing of it begins before it is committed that it does. What hinders it comes to light later."""
        if run is None or not run.is_little():
            return
        try:
            run.workspace.check_room()
            run.workspace.prepare(run.sources)
            make_ready(run.where, run.handle, trusted_until(run.at))
            self.run = replace(run, brought=True)
        except Exception:
            log.info("run %s: it is made ready once more", run.claim.uuid, exc_info=True)

    def _let_begin(self) -> None:
        """If anything hinders that, whoever performs it starts it, and hears why."""
        run = self.run
        if isinstance(run, Begun) and run.brought and run.is_fresh():
            with suppress(Exception):
                run.where.start(run.handle, trusted_until(run.at))
                self.run = replace(run, started=True)


class After(Beginning):
    """What its worker does after a run: claimed with the end of that. What surely follows is made ready before."""

    def __init__(self, claim: Claim, workspace: Workspace, following: Following, begun: Begun | None = None) -> None:
        super().__init__(claim, workspace)
        self.claimed, self.workspace, self.following = claim, workspace, following
        self.ahead, self.over = (begun.ahead, begun.before) if begun else ((), None)
        self.foreseen: Foreseen | None = None

    def __exit__(self, failed: object, *_: object) -> None:
        super().__exit__(failed)
        self._drop_foreseen()

    def foresee(self) -> None:
        """The run that goes on has nothing to do with what hinders that, which comes to light when it is claimed."""
        try:
            self.foreseen = _foreseen(self.claimed, self.workspace, self.ahead, self.over)
        except Exception:
            log.info("run %s: what follows is not made ready", self.claimed.uuid, exc_info=True)

    def what_surely_follows(self, found: Found) -> Claim | None:
        """Nothing, if some of its log may be kept already, or a file has the name of one that the run was brought, by
        which it cannot be kept."""
        new = self.workspace.brought.isdisjoint(each.name for each in found.kept)
        return self.foreseen.claim if self.foreseen and new and self.workspace.is_sure else None

    def claim(self, session: Session, done: Done) -> None:
        """What was foreseen gets ready while the database looks for what is due. Raises NotAsForeseen, when nothing of
        what was written may stand.
        """
        given = [Source(each.name, each.blob.key, each.blob.sha256, each.blob.size) for each in done.kept]
        likely = self._begun(self.foreseen.with_results(given)) if self.foreseen and done.goes_on else None
        self.run = likely
        with meanwhile(partial(self._get_ready, likely)) as errand:
            found = self.following(session, likely.expected if likely else None)
        if likely and likely.is_it(found):
            errand.run()
            likely.workspace.learn(given)
            progress.go_on(session, likely.claim, probes.level())
            once_committed(session, self._let_begin)
            return
        self.run = None
        if found:
            self.begin(session, found)

    def take_back(self) -> None:
        """An end that was told is asked for from here on."""
        is_there = self.foreseen and self._is_begun(self.foreseen)
        super().take_back()
        if is_there:
            self.foreseen = None
        self.following = nothing
        self.give_up()

    def give_up(self) -> None:
        """What came otherwise than it was foreseen is asked for."""
        self.run = None
        self._drop_foreseen()
        self.foreseen = None

    def _drop_foreseen(self) -> None:
        """Unless it begins."""
        if self.foreseen and not self._is_begun(self.foreseen):
            call_off(self.foreseen.where, self.foreseen.handle)
            self.foreseen.workspace.tidy()

    def _is_begun(self, foreseen: Foreseen) -> bool:
        return isinstance(self.run, Begun) and self.run.workspace is foreseen.workspace


def _foreseen(claim: Claim, before: Workspace, known: Sequence[Claim], over: Workspace | None) -> Foreseen | None:
    with reading() as session:
        ahead = known or progress.foresee(session, claim)
        if not ahead or ahead[0].frozen.get("secrets"):
            return None
        found = ahead[0]
        workspace, where = Workspace.apart(found), runner(found.work.placement.runner)
        workspace.follows(before)
        sources = workspace.sources(session)
    workspace.lay_out(over)
    return Foreseen(found, workspace, where, where.handle(workspace.space), sources, ahead[1:])


def place_of(claim: Claim) -> tuple[Workspace, Runner]:
    """Where the run is to happen, or happens. Raises OutOfReach when it happens where this worker knows no way to."""
    try:
        return Workspace.of(claim), runner(claim.work.placement.runner)
    except Exception as failure:
        if claim.handle:
            raise OutOfReach from failure
        raise


def trusted_until(proven: float) -> float:
    """How long a lease can be trusted that was surely ours at that time."""
    return proven + FENCE * settings().portal_lease_seconds
