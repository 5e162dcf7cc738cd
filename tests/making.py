"""Short ways for tests to make tasks, jobs and submissions."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from portal import queue, storage
from portal.database import transaction
from portal.domain.drafts import TaskDraft
from portal.domain.names import public_file
from portal.domain.verdict import Outcome
from portal.models import Account, Backend, Submission, TaskRevision
from portal.services import backends, jobs, progress, submissions, tasks

LANGUAGES = ("command", "python", "r")


def make_backend(session: Session, name: str = "here", languages: Sequence[str] = LANGUAGES, **more: Any) -> Backend:
    with transaction(session):
        known = backends.named(session, name)
        return known or backends.save(session, backends.BackendDraft(name, "local", name, tuple(languages), **more))


def make_task(session: Session, name: str, language: str, code: str, **more: Any) -> TaskRevision:
    backend = make_backend(session)
    with transaction(session):
        return tasks.save(session, TaskDraft(name, language, backend.name, code, **more), None)


def make_job(session: Session, name: str, steps: Sequence[tuple[int, str]], **more: Any) -> None:
    drafts = tuple(jobs.StepDraft(order, task) for order, task in steps)
    with transaction(session):
        jobs.save(session, jobs.JobDraft(name, steps=drafts, public=True, **more), None)


def order(
    *names: str,
    content: bytes = b"x\n",
    values: Mapping[str, str] | None = None,
    account: Account | None = None,
    files: Mapping[str, tuple[str, bytes]] | None = None,
) -> submissions.Order:
    """`files` are the parameters' by public name: each with its client's name and its content."""
    return submissions.Order(
        jobs=names,
        name="a test",
        email="ann@example.org",
        inputs=(submissions.Incoming("in.txt", io.BytesIO(content)),),
        values=values or {},
        account=account,
        address="127.0.0.1",
        files={field: submissions.Incoming(name, io.BytesIO(sent)) for field, (name, sent) in (files or {}).items()},
    )


def submitted(
    session: Session, job: str, content: bytes = b"x\n", values: Mapping[str, str] | None = None, **more: Any
) -> Submission:
    return submissions.submit(session, order(job, content=content, values=values, **more)).submissions[0]


def finish_step(session: Session, content: bytes = b"1\n", exit_status: int = 0, *, of: str) -> None:
    """End the next run that is due of a queue, with one file of its stdout ending."""
    with transaction(session):
        claim = progress.claim(session, [of, f"low_{of}", f"high_{of}"], "test", "here")
    assert claim is not None
    with transaction(session):
        progress.started(session, claim, {"host": "here"})
    name = public_file(claim.work.identity, claim.work.file(claim.work.stdout))
    kept = progress.Kept(name, storage.put(f"results/{claim.uuid}/{claim.attempt}", io.BytesIO(content)))
    with transaction(session):
        progress.finish(session, claim, Outcome("exited", exit_status), progress.Found([kept]))


def work_through() -> None:
    """Do all that is due, as a worker does, in this process: the launchers and the analysts' programs are real."""
    from workers.execution import perform  # it loads all that a worker has, which most tests do not need

    run = _due()
    while run:
        run = perform(run, following=_due_in) or _due()


def _due() -> progress.Claim | None:
    with transaction() as session:
        return progress.claim(session, [queue.EVERY], "test", "here")


def _due_in(session: Session, expected: progress.Expected | None) -> progress.Claim | None:
    return progress.claim_due(session, [queue.EVERY], "test", expected=expected)
