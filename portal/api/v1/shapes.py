"""Model -> JSON: every shape that /api/v1 gives."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from flask import url_for
from pydantic import BaseModel, Field

from portal import web
from portal.api.v1.drafts import JobBody, TaskBody
from portal.domain.parameters import Rule
from portal.domain.states import State
from portal.models import Job, Result, Run, Submission, Task, Token
from portal.services import jobs, queues, results, sharing, stories, tasks


class ResultShape(BaseModel):
    name: str
    step: str
    size: int
    sha256: str
    url: str

    @classmethod
    def of(cls, result: Result) -> ResultShape:
        where = {"uuid": result.run.submission.uuid, "name": result.name}
        url = url_for("v1.download_result", **where, _external=True)
        return cls(name=result.name, step=result.run.uuid, size=result.size, sha256=result.sha256, url=url)


class Results(BaseModel):
    results: list[ResultShape]

    @classmethod
    def of(cls, submission: Submission) -> Results:
        return cls(results=[ResultShape.of(each) for each in results.of_submission(submission)])


class StepShape(BaseModel):
    """One step of a submission."""

    uuid: str
    name: str
    stage: int
    task: str
    revision: int
    state: State
    attempts: int
    exit_status: int | None
    reason: str
    taken_from: str | None
    started: datetime | None
    ended: datetime | None

    @classmethod
    def of(cls, run: Run, wait: str = "") -> StepShape:
        """`wait` is why a run waits that nobody can take."""
        return cls(
            uuid=run.uuid, name=run.step or run.task_name, stage=run.stage, task=run.task_name,
            revision=run.task_revision, state=run.state, attempts=len(run.attempts), exit_status=run.exit_status,
            reason=wait or run.reason, taken_from=run.taken_from, started=run.started, ended=run.ended,
        )  # fmt: skip


class SubmissionRow(BaseModel):
    """A submission in a list."""

    uuid: str
    batch: str
    name: str
    job: str
    revision: int
    state: State
    stopping: bool
    deleting: bool
    resumed_from: str | None
    created: datetime
    started: datetime | None
    ended: datetime | None
    expires: datetime | None
    removed: datetime | None

    @classmethod
    def of(cls, submission: Submission, **more: Any) -> Any:
        return cls(
            uuid=submission.uuid, batch=submission.batch.uuid, name=submission.batch.name, job=submission.job_name,
            revision=submission.job_revision, state=submission.state,
            stopping=submission.stop_asked and not submission.state.final, deleting=submission.delete_asked,
            resumed_from=submission.resumed_from, created=submission.created, started=submission.started,
            ended=submission.ended, expires=submission.expires, removed=submission.removed, **more,
        )  # fmt: skip


class SubmissionShape(SubmissionRow):
    """A submission with its steps and what they gave."""

    steps: list[StepShape]
    results: list[ResultShape]

    @classmethod
    def of(cls, submission: Submission, **more: Any) -> Any:
        stories.load(web.session(), [submission])
        waits = queues.waits(web.session(), submission)
        steps = [StepShape.of(run, waits.get(run.uuid, "")) for run in submission.runs]
        return super().of(submission, steps=steps, results=Results.of(submission).results)


class Submissions(BaseModel):
    submissions: list[SubmissionRow]


class Deleting(BaseModel):
    uuid: str
    deleting: bool = True


class FieldShape(BaseModel):
    """A parameter of a job under its public name, as a submission gives it."""

    name: str
    label: str
    help: str
    task: str
    rule: Rule

    @classmethod
    def of(cls, field: jobs.Field) -> FieldShape:
        return cls(name=field.name, label=field.label, help=field.help, task=field.task, rule=field.rule)


class JobRow(BaseModel):
    """A job in a list."""

    name: str
    description: str
    public: bool
    enabled: bool
    revision: int

    @classmethod
    def of(cls, job: Job) -> JobRow:
        current = job.current
        return cls(
            name=job.name, description=current.description, public=job.public, enabled=job.enabled,
            revision=current.number,
        )  # fmt: skip


class Jobs(BaseModel):
    jobs: list[JobRow]


class JobShape(BaseModel):
    """A job: its present revision, the draft that says all of it, and what a submission may give."""

    name: str
    revision: int
    changed: datetime
    draft: JobBody = Field(description="What a PUT takes, changed or not.")  # type: ignore[valid-type]
    parameters: list[FieldShape]

    @classmethod
    def of(cls, job: Job, whole: bool) -> JobShape:
        """`whole`: with the groups that it is shared with, which are told to who may change it."""
        current = job.current
        groups = (whole and sharing.groups_of(web.session(), job)) or None
        return cls(
            name=job.name, revision=current.number, changed=current.created,
            draft=_body(JobBody, replace(jobs.draft_of(job), groups=groups)),
            parameters=[FieldShape.of(field) for field in jobs.fields(job)],
        )  # fmt: skip


class TaskRow(BaseModel):
    """A task in a list."""

    name: str
    description: str
    language: str
    backend: str
    revision: int

    @classmethod
    def of(cls, task: Task) -> TaskRow:
        current = task.current
        return cls(
            name=task.name, description=current.description, language=current.language, backend=current.backend.name,
            revision=current.number,
        )  # fmt: skip


class Tasks(BaseModel):
    tasks: list[TaskRow]


class TaskShape(BaseModel):
    """A task: its present revision, and the draft that says all of it."""

    name: str
    revision: int
    changed: datetime
    draft: TaskBody = Field(description="What a PUT takes, changed or not.")  # type: ignore[valid-type]

    @classmethod
    def of(cls, task: Task, whole: bool) -> TaskShape:
        """`whole`: with the groups that it is shared with, which are told to who may change it."""
        current = task.current
        groups = (whole and sharing.groups_of(web.session(), task)) or None
        draft = _body(TaskBody, replace(tasks.draft_of(current), groups=groups))
        return cls(name=task.name, revision=current.number, changed=current.created, draft=draft)


class Me(BaseModel):
    """Who asks; a token's scopes, or none where a password or a session says it."""

    name: str
    email: str
    role: str
    scopes: list[str] | None


class TokenShape(BaseModel):
    id: int
    name: str
    scopes: list[str]
    created: datetime
    expires: datetime | None
    last_used: datetime | None

    @classmethod
    def of(cls, token: Token, **more: Any) -> Any:
        return cls(
            id=token.id, name=token.name, scopes=token.scopes, created=token.created, expires=token.expires,
            last_used=token.last_used, **more,
        )  # fmt: skip


class NewToken(TokenShape):
    """A token that was just made. Its secret is not shown again."""

    secret: str


class Tokens(BaseModel):
    tokens: list[TokenShape]


def _body(body: type[BaseModel], draft: Any) -> BaseModel:
    """What was saved, as it is: it need not be what could be saved now."""
    return body.model_construct(**{name: getattr(draft, name) for name in body.model_fields})
