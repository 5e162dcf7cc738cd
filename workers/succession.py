"""What its worker does after a run: claimed with the end of that, and begun with it where nobody has to be waited for.

What surely follows is made ready while the run goes on, as far as it needs nothing of it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.orm import Session

from portal.database import reading, while_committing
from portal.patience import meanwhile
from portal.services import progress
from portal.services.progress import NOTHING_EXPECTED, Claim, Done, Expected, Found
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


Following = Callable[[Session, Expected], Claim | None]


def nothing(session: Session, expected: Expected) -> Claim | None:
    return None


@dataclass(frozen=True)
class Planned:
    """Where a run will happen, how it will be found there, and what it is to be brought."""

    claim: Claim
    workspace: Workspace
    where: Runner
    handle: Handle
    sources: Sources

    def is_it(self, claim: Claim | None) -> bool:
        return claim is not None and (claim.run_id, claim.attempt) == (self.claim.run_id, self.claim.attempt)


@dataclass(frozen=True)
class Begun(Planned):
    """A claim that was begun with the end of another run, `at` a time of the monotonic clock.

    Its handle is kept, but nothing was started under it yet; small inputs are brought already, and then all is ready
    for its start. The directory of the run `before` it goes when this one is started, as nobody waits for that then.
    """

    brought: bool
    before: Workspace
    at: float

    def is_little(self) -> bool:
        """What it is brought: then that is done at once."""
        return self.sources.size <= LITTLE and self.claim.attempt == 1

    def is_fresh(self) -> bool:
        """Whether that is not so long ago that a stop has to be asked for once more."""
        return time.monotonic() - self.at < PROMPT_SECONDS


Next = Claim | Begun


@dataclass(frozen=True)
class Foreseen(Planned):
    """What follows a run if that completes, and is claimed then, with what its worker can bring before. Nobody else
    knows of its directory."""

    @property
    def expected(self) -> Expected:
        return Expected(self.claim.run_id, self.handle)

    def with_results(self, new: Sequence[Source]) -> Foreseen:
        """To be brought what the run before it gave, too."""
        taken = [each for each in new if self.workspace.takes(each)]
        return replace(self, sources=replace(self.sources, offered=[*self.sources.offered, *taken]))


class After:
    """What its worker does after a run: claimed with the end of that, and begun at once, unless somebody else holds its
    submission. What surely follows is made ready before.
    """

    def __init__(self, claim: Claim, workspace: Workspace, following: Following) -> None:
        self.claimed, self.workspace, self.following = claim, workspace, following
        self.foreseen: Foreseen | None = None
        self.run: Next | None = None

    def __enter__(self) -> After:
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        if failed:
            self.take_back()
        self._drop_foreseen()

    def foresee(self) -> None:
        """The run that goes on has nothing to do with what hinders that, which comes to light when it is claimed."""
        try:
            self.foreseen = _foreseen(self.claimed, self.workspace)
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
            found = self.following(session, self.foreseen.expected if self.foreseen else NOTHING_EXPECTED)
        if likely and likely.is_it(found):
            errand.run()
            likely.workspace.learn(given)
            progress.go_on(session, likely.claim, probes.level())
            return
        self.run = found
        if found and (planned := self._planned(session, found)):
            self.run = begun = self._begun(planned)
            while_committing(session, partial(self._get_ready, begun))

    def take_back(self) -> None:
        """What was claimed with an end that was not written, or perhaps was: then others find its directory there. An
        end that was told is asked for from here on.
        """
        if isinstance(self.run, Begun):
            call_off(self.run.where, self.run.handle)
        if self.foreseen and self._is_begun(self.foreseen):
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

    def _begun(self, planned: Planned) -> Begun:
        return Begun(**vars(planned), brought=False, before=self.workspace, at=time.monotonic())

    def _planned(self, session: Session, claim: Claim) -> Planned | None:
        """Of one that begins in this transaction, without having been foreseen."""
        if claim.handle or claim.frozen.get("secrets"):
            return None
        try:
            workspace, where = place_of(claim)
            if claim.submission_id == self.claimed.submission_id:
                workspace.uploads = self.workspace.uploads
            planned = Planned(claim, workspace, where, where.handle(workspace.space), workspace.sources(session))
        except NO_ANSWER:
            raise
        except Exception:  # noqa: BLE001 - what it is comes to light when it is performed
            return None
        return planned if progress.follow(session, claim, self.claimed, planned.handle, probes.level()) else None

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

    def _is_begun(self, foreseen: Foreseen) -> bool:
        return isinstance(self.run, Begun) and self.run.workspace is foreseen.workspace


def _foreseen(claim: Claim, before: Workspace) -> Foreseen | None:
    with reading() as session:
        found = progress.foresee(session, claim)
        if found is None or found.frozen.get("secrets"):
            return None
        workspace, where = Workspace.foreseen(found), runner(found.work.placement.runner)
        workspace.follows(before)
        sources = workspace.sources(session)
    workspace.lay_out()
    return Foreseen(found, workspace, where, where.handle(workspace.space), sources)


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
