"""What stands in for people and workers: uploads, and runs that are brought to an end as a worker would."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from portal import storage
from portal.database import transaction
from portal.domain.names import public_file
from portal.domain.verdict import Outcome
from portal.models import Job, Submission
from portal.services import progress

A = "/analytics_automated"
QUEUE = "contract"

MakeJob = Callable[..., Job]
Send = Callable[..., Any]


def upload(content: bytes, name: str = "in.txt") -> tuple[io.BytesIO, str]:
    return io.BytesIO(content), name


def finish_step(session: Session, content: bytes = b"1\n", exit_status: int = 0) -> None:
    """End the next run that is due, with one file of its stdout ending."""
    with transaction(session):
        claim = progress.claim(session, [QUEUE, f"low_{QUEUE}", f"high_{QUEUE}"], "test", "here")
    assert claim is not None
    with transaction(session):
        progress.started(session, claim, {"host": "here"})
    name = public_file(claim.work.identity, claim.work.file(claim.work.stdout))
    kept = progress.Kept(name, storage.put(f"results/{claim.uuid}/{claim.attempt}", io.BytesIO(content)))
    with transaction(session):
        progress.finish(session, claim, Outcome("exited", exit_status), progress.Found([kept]))


def submission_of(session: Session, batch_uuid: str) -> Submission:
    session.rollback()
    return session.query(Submission).filter(Submission.batch.has(uuid=batch_uuid)).one()
