"""What stands in for people and workers: uploads, and runs that are brought to an end as a worker would."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from portal.models import Job, Submission
from tests import making

A = "/analytics_automated"
QUEUE = "contract"

MakeJob = Callable[..., Job]
Send = Callable[..., Any]


def upload(content: bytes, name: str = "in.txt") -> tuple[io.BytesIO, str]:
    return io.BytesIO(content), name


finish_step = partial(making.finish_step, of=QUEUE)


def submission_of(session: Session, batch_uuid: str) -> Submission:
    session.rollback()
    return session.query(Submission).filter(Submission.batch.has(uuid=batch_uuid)).one()
