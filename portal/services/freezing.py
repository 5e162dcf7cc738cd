"""Freezing: a submission carries all that its runs need, so that no later edit of a task or a job touches it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from portal.domain import conditions, steps
from portal.domain.errors import Conflict
from portal.domain.limits import Limits
from portal.domain.names import Priority, queue_form
from portal.domain.parameters import Argument
from portal.domain.retries import Retries
from portal.domain.steps import Leaf
from portal.domain.verdict import Rules
from portal.domain.work import Placement, Work
from portal.models import Backend, Job, Run, Submission, TaskRevision
from portal.services import backends, nesting

LONGEST_STEP = 200


def freeze(
    job: Job, position: int, arguments: Mapping[str, Argument], priority: Priority, least_level: int
) -> Submission:
    """A submission of the job as it is now, with a run for each step; the steps of jobs in it are among them.

    None of them may be confined at less than the least level, which is the submitter's.
    """
    current = job.current
    submission = Submission(
        uuid=str(uuid4()),
        position=position,
        job=job,
        job_name=job.name,
        job_revision=current.number,
        open_link=job.open_links,
    )
    runs = [
        _run(leaf, place, submission.uuid, arguments, priority)
        for place, leaf in enumerate(steps.lay_out(nesting.parts(job)))
    ]
    for run in runs:
        run.minimum_level = max(run.minimum_level, least_level)
    submission.runs.extend(sorted(runs, key=lambda run: (run.stage, run.position)))
    submission.say("Submitted")
    return submission


def _run(leaf: Leaf, place: int, identity: str, arguments: Mapping[str, Argument], priority: Priority) -> Run:
    if leaf.task is None:
        raise Conflict("A task of this job was deleted just now: look at the job again.")
    run = run_of(leaf.task, identity, arguments, priority)
    run.stage, run.position, run.step = leaf.stage, place, leaf.name[:LONGEST_STEP]
    run.needs = sorted(leaf.needs)
    run.condition = _settled(leaf, arguments)
    return run


def _settled(leaf: Leaf, arguments: Mapping[str, Argument]) -> dict[str, Any] | None:
    """All that must hold for the run to begin. The values of the parameters are known by now."""
    try:
        found = [conditions.settled(each, arguments) for each in leaf.conditions]
    except KeyError:
        raise Conflict(f"A parameter that {leaf.name} depends on is gone: look at the job again.") from None
    return {"all": found} if found else None


def run_of(revision: TaskRevision, identity: str, arguments: Mapping[str, Argument], priority: Priority) -> Run:
    """A run of a task as this revision has it; the arguments are by public name."""
    return Run(
        uuid=str(uuid4()),
        task_id=revision.task_id,
        task_name=revision.task.name,
        task_revision=revision.number,
        work=_work(revision, identity, arguments).to_json(),
        queue=queue_form(revision.backend.queue, priority),
        priority=priority,
        minimum_level=backends.least_level(revision.backend),
    )


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
