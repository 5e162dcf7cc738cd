"""Freezing: a submission carries all that its runs need, so that no later edit of a task or a job touches it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

from portal.domain import conditions
from portal.domain.errors import Conflict
from portal.domain.limits import Limits
from portal.domain.names import Priority, queue_form
from portal.domain.parameters import Argument
from portal.domain.retries import Retries
from portal.domain.states import State
from portal.domain.steps import Leaf
from portal.domain.verdict import Rules
from portal.domain.work import Placement, Work
from portal.models import Backend, Run, TaskRevision
from portal.services import backends, progress
from portal.services.offers import Offer
from portal.settings import settings

LONGEST_STEP = 200

Row = dict[str, Any]


@dataclass(frozen=True)
class Frozen:
    """What all submissions of one order to one job have: the row of each but for what is its own, and those of its
    runs. `conditional`: whether what comes first hangs on conditions."""

    submission: Row
    runs: Sequence[Row]
    conditional: bool

    @property
    def queued(self) -> list[Row]:
        return [run for run in self.runs if run.get("state") is State.QUEUED]

    def member(self, position: int, number: int) -> tuple[Row, list[Row]]:
        """The rows of the one that has this place in its batch, and the input of this number."""
        identity = str(uuid4())
        own = {"uuid": identity, "position": position, "input": number}
        return self.submission | own, [_identified(run, identity) for run in self.runs]


def freeze(offer: Offer, arguments: Mapping[str, Argument], priority: Priority, least_level: int) -> Frozen:
    """Submissions of the job as it is now, with a run for each step; the steps of jobs in it are among them.

    None of them may be confined at less than the least level, which is the submitter's. The runs that come first are
    queued at once, unless conditions have to be asked.
    """
    if arguments:
        return _frozen(offer, arguments, priority, least_level)
    kind = (priority, max(least_level, settings().portal_min_level))
    if kind not in offer.orders:
        offer.orders[kind] = _frozen(offer, arguments, priority, least_level)
    return cast(Frozen, offer.orders[kind])


def _frozen(offer: Offer, arguments: Mapping[str, Argument], priority: Priority, least_level: int) -> Frozen:
    job = offer.job
    submission = {
        "job_id": job.id,
        "job_name": job.name,
        "job_revision": job.current.number,
        "open_link": job.open_links,
    }
    runs = [_row(leaf, place, arguments, priority, least_level) for place, leaf in enumerate(offer.leaves)]
    runs.sort(key=lambda run: (run["stage"], run["position"]))
    first = progress.first(runs)
    conditional = any(run["condition"] for run in first)
    if not conditional:
        progress.queue_new(first)
    return Frozen(submission, runs, conditional)


def _identified(run: Row, identity: str) -> Row:
    return run | {"uuid": str(uuid4()), "work": run["work"] | {"identity": identity}}


def _row(leaf: Leaf, place: int, arguments: Mapping[str, Argument], priority: Priority, least_level: int) -> Row:
    if leaf.task is None:
        raise Conflict("A task of this job was deleted just now: look at the job again.")
    row = row_of(leaf.task, "", arguments, priority)
    return row | {
        "stage": leaf.stage,
        "position": place,
        "step": leaf.name[:LONGEST_STEP],
        "needs": sorted(leaf.needs),
        "condition": _settled(leaf, arguments),
        "minimum_level": max(row["minimum_level"], least_level),
    }


def _settled(leaf: Leaf, arguments: Mapping[str, Argument]) -> dict[str, Any] | None:
    """All that must hold for the run to begin. The values of the parameters are known by now."""
    try:
        found = [conditions.settled(each, arguments) for each in leaf.conditions]
    except KeyError:
        raise Conflict(f"A parameter that {leaf.name} depends on is gone: look at the job again.") from None
    return {"all": found} if found else None


def row_of(revision: TaskRevision, identity: str, arguments: Mapping[str, Argument], priority: Priority) -> Row:
    """The row of a run of a task as this revision has it, but for its UUID; the arguments are by public name."""
    return {
        "task_id": revision.task_id,
        "task_name": revision.task.name,
        "task_revision": revision.number,
        "work": _work(revision, identity, arguments).to_json(),
        "queue": queue_form(revision.backend.queue, priority),
        "priority": priority,
        "minimum_level": backends.least_level(revision.backend),
    }


def same_again(run: Run, identity: str, queue: str, priority: Priority) -> Run:
    """A run of what another one did, as it was frozen then, in the submission `identity`."""
    return Run(
        uuid=str(uuid4()),
        task_id=run.task_id,
        task_name=run.task_name,
        task_revision=run.task_revision,
        work={**run.work, "identity": identity},
        queue=queue_form(queue, priority),
        priority=priority,
        minimum_level=run.minimum_level,
    )


def _work(revision: TaskRevision, identity: str, arguments: Mapping[str, Argument]) -> Work:
    backend = revision.backend
    return Work(
        identity=identity,
        task=revision.task.name,
        language=revision.language,
        code=revision.code,
        placement=_placement(backend),
        inputs=tuple(revision.inputs),
        outputs=tuple(revision.outputs),
        stdout=revision.stdout,
        arguments=_arguments(revision, arguments),
        variables={each.name: each.value for each in revision.variables if not each.secret},
        secrets={each.name: each.secret for each in revision.variables if each.secret},
        saved=revision.created.isoformat(),
        rules=Rules(tuple(revision.exit_statuses), revision.on_exit_status, revision.on_missing_output),
        limits=backends.bounds(backend, Limits.of(revision.limits)),
        retries=Retries.of(revision.retries),
    )


def _placement(backend: Backend) -> Placement:
    return Placement(backend.name, backend.runner, backend.root_directory, dict(backend.options), backend.network)


def _arguments(revision: TaskRevision, arguments: Mapping[str, Argument]) -> tuple[Argument, ...]:
    """The task's own arguments. One is missing if the task was given a parameter after the order was read."""
    try:
        return tuple(arguments[each.public_name(revision.task.name)] for each in revision.parameters)
    except KeyError:
        raise Conflict(f"The task {revision.task.name} was changed just now: look at the job again.") from None
