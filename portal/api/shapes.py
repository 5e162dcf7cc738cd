"""Model -> JSON: the first system's contract, its keys in its order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portal import web
from portal.domain.names import fits
from portal.domain.parameters import Kind
from portal.domain.states import State, batch_summary
from portal.models import Configuration, Job, Result, Run, Step, Submission, TaskRevision
from portal.services import nesting, results, stories
from portal.services.jobs import Field

Shape = dict[str, Any]


@dataclass(frozen=True)
class Frozen:
    """Some parts of a run's frozen work."""

    inputs: Sequence[str] | None
    outputs: Sequence[str] | None
    language: str | None
    rules: Mapping[str, Any] | None


STATES = {
    State.WAITING: "Submitted",
    State.QUEUED: "Submitted",
    State.RUNNING: "Running",
    State.COMPLETE: "Complete",
    State.ERROR: "Error",
    State.CRASH: "Crash",
    State.STOPPED: "Error",
    State.SKIPPED: "Complete",
}


def accepted(uuid: str, name: str) -> Shape:
    return {"UUID": uuid, "submission_name": name}


def whole(uuid: str, submissions: Sequence[Submission], email: str) -> Shape:
    """Its state is that of the submissions beside it, which may have ended since the batch was read."""
    frozen = _frozen(submissions)
    return {
        "UUID": uuid,
        "state": STATES[batch_summary(submission.state for submission in submissions)],
        "submissions": [_single(submission, email, frozen) for submission in submissions],
    }


def single(submission: Submission, email: str) -> Shape:
    stories.load(web.session(), [submission])
    return _single(submission, email, _frozen([submission]))


def _frozen(submissions: Sequence[Submission]) -> Mapping[int, Frozen]:
    """What the shapes ask of the frozen work of all their runs, by the runs' ids."""
    mine = Run.submission_id.in_([each.id for each in submissions])
    parts = (Run.work[name] for name in ("inputs", "outputs", "language", "rules"))
    return {number: Frozen(*row) for number, row in stories.frozen(web.session(), mine, *parts).items()}


def _single(submission: Submission, email: str, frozen: Mapping[int, Frozen]) -> Shape:
    """No key may be added: a published client takes a `modified` for the age of its results."""
    first = frozen[submission.runs[0].id].inputs if submission.runs else None
    return {
        "submission_name": submission.batch.name,
        "job_name": submission.job_name,
        "UUID": submission.uuid,
        "state": STATES[submission.state],
        "last_message": _last_message(submission),
        "email": email,
        "input_file": f"/submissions/{results.named_input(submission, first)}",
        "results": [_result(each) for each in results.of_submission(submission) if _counts(each, frozen[each.run_id])],
    }


def _last_message(submission: Submission) -> str:
    """Of one that has ended its last words, whatever was said of it since."""
    said = [each for each in submission.messages if each.kind == "end"] or submission.messages
    return said[-1].sentence if said else "Submitted"


def _counts(result: Result, frozen: Frozen) -> bool:
    """Whether the first system would list it, whose clients find results by their positions too."""
    return _ended_well(result.run, frozen) and not _only_printed(result.name, frozen)


def _ended_well(run: Run, frozen: Frozen) -> bool:
    """Of a step that failed the first system's clients see files only where nothing but an output was missing."""
    return run.state is State.COMPLETE or run.exit_status in (0, *(frozen.rules or {}).get("exit_statuses", ()))


def _only_printed(name: str, work: Frozen) -> bool:
    """Of a command that has outputs the first system kept what was printed only where one of them was its ending."""
    return (
        work.language == "command" and bool(work.outputs) and not any(fits(name, each) for each in work.outputs or ())
    )


def _result(result: Result) -> Shape:
    return {
        "task": result.run.task_id,
        "name": result.run.task_name,
        "message": "Result",
        "step": result.run.stage,
        "data_path": f"/submissions/{result.name}",
    }


def endpoint(job: Job, fields: Iterable[Field]) -> str:
    """The first system's way to say what a POST must hold."""
    fixed = f"/submission/&job={job.name}&submission_name=[STRING]&email=[EMAIL_STRING]&input_data=[FILE]"
    return fixed + "".join(f"&{field.name}={_value_of(field)}" for field in fields)


def _value_of(field: Field) -> str:
    return {Kind.BOOLEAN: "[TRUE/FALSE]", Kind.FILE: "[FILE]"}.get(field.rule.kind, "[VALUE]")


def listed(job: Job) -> Shape:
    return {"pk": job.id, "name": job.name}


def described(job: Job) -> Shape:
    return {"name": job.name, "steps": [_step(task, step.order) for step in job.current.steps for task in _tasks(step)]}


def _tasks(step: Step) -> list[TaskRevision | None]:
    """A step that is a job is shown by its tasks."""
    return list(nesting.revisions(step.subjob)) if step.subjob else [step.task.current if step.task else None]


def _step(revision: TaskRevision | None, order: int) -> Shape:
    configurations = revision.configurations if revision else []
    return {"task": {"configuration": [_configuration(one) for one in configurations]}, "ordering": order}


def _configuration(one: Configuration) -> Shape:
    return {"type": one.kind, "name": one.name, "parameters": one.parameters, "version": one.version}
