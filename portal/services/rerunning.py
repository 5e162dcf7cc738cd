"""Running again: the same order once more, with the same input and values, by the job as it is now."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from sqlalchemy.orm import Session

from portal import storage
from portal.domain.errors import Conflict, NotFound
from portal.domain.names import public_name
from portal.models import Account, Batch, Submission, Upload
from portal.services import submissions
from portal.services.submissions import Incoming, Order

NOT_KEPT = "The input of this run is not kept any more: submit it anew."


def order_of(submission: Submission, account: Account, address: str, idempotency_key: str | None) -> Order:
    """What was ordered then, in the name of who orders it now; its files come when it is placed."""
    return Order(
        jobs=(submission.job_name,),
        name=submission.batch.name,
        email=submission.batch.email or account.email,
        inputs=(),
        values=values_of(submission),
        account=account,
        address=address,
        idempotency_key=idempotency_key,
    )


def values_of(submission: Submission) -> dict[str, str]:
    """The texts of all parameters that it ran with, by public name."""
    return {
        public_name(run.task_name, each["name"]): each["text"]
        for run in submission.runs
        for each in run.work["arguments"]
    }


def place(session: Session, submission: Submission, order: Order) -> Batch:
    """Submit the order with the files that the submission had. Raises Conflict where they are gone."""
    with ExitStack() as opened:
        files = {upload.field: _opened(upload, opened) for upload in submission.uploads}
        if "" not in files:
            raise Conflict(NOT_KEPT)
        inputs = (files.pop(""),)
        values = {name: text for name, text in order.values.items() if name not in files}
        return submissions.submit(session, replace(order, inputs=inputs, values=values, files=files))


def _opened(upload: Upload, opened: ExitStack) -> Incoming:
    try:
        return Incoming(upload.name, opened.enter_context(storage.open_blob(upload.key)))
    except NotFound:
        raise Conflict(NOT_KEPT) from None
