"""The rows of what was accepted, in the caller's transaction: a few statements, however many inputs there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

from sqlalchemy import Table, bindparam, case, insert, null
from sqlalchemy.orm import Session, make_transient_to_detached

from portal import queue
from portal.database import now
from portal.domain.states import State
from portal.models import Batch, Message, Run, Submission, Upload
from portal.services import progress
from portal.services.freezing import Frozen, Row
from portal.services.statements import for_each, row, tell

CHUNK = 500
SUBMITTED = {"kind": "note", "sentence": "Submitted"}

Ordered = tuple[Frozen, int]  # with the number of its input
Member = tuple[Row, list[Row]]

_batch, _upload, _submission, _run, _message = (
    cast(Table, model.__table__) for model in (Batch, Upload, Submission, Run, Message)
)
_BATCH = insert(_batch).returning(_batch.c.id)
_UPLOADS = insert(_upload).inline()
_SUBMISSIONS = insert(_submission).returning(_submission.c.id, _submission.c.position)
_RUNS = insert(_run).values(due=case((bindparam("begins"), now()), else_=null())).inline()
_MESSAGES = insert(_message).inline()


def enter(session: Session, batch: Row, uploads: Sequence[Row], members: Sequence[Ordered]) -> int:
    """A batch with these uploads, and a submission for each of what was ordered, in this order; the batch's id."""
    batch_id = int(row(session, _BATCH, batch).id)
    for some in _chunks(uploads):
        tell(session, _UPLOADS, *(each | {"batch_id": batch_id} for each in some))
    whose = {"batch_id": batch_id, "account_id": batch["account_id"], "address": batch["address"]}
    for at, chunk in enumerate(_chunks(members)):
        _enter(session, whose, [(each, each.member(at * CHUNK + n, number)) for n, (each, number) in enumerate(chunk)])
    for queued in {run["queue"] for each in {id(one): one for one, _ in members}.values() for run in each.queued}:
        queue.say(session, "wake", queued)
    return batch_id


def _enter(session: Session, whose: Row, members: Sequence[tuple[Frozen, Member]]) -> None:
    new = [submission | whose for _, (submission, _) in members]
    ids = {made.position: made.id for made in for_each(session, _SUBMISSIONS, new)}
    numbered = [(each, ids[submission["position"]], runs) for each, (submission, runs) in members]
    runs = [_begun(run) | {"submission_id": number} for _, number, runs in numbered for run in runs]
    tell(session, _RUNS, *runs)
    tell(session, _MESSAGES, *(SUBMITTED | {"submission_id": number} for _, number, _ in numbered))
    progress.begin(session, [number for each, number, _ in numbered if each.conditional])


def _begun(run: Row) -> Row:
    return {"state": State.WAITING, "reason": ""} | run | {"begins": run.get("state") is State.QUEUED}


def _chunks(rows: Iterable[Any]) -> Iterator[list[Any]]:
    left = iter(rows)
    while some := list(islice(left, CHUNK)):
        yield some


def entered(session: Session, batch_id: int, its: Row) -> Batch:
    """The batch once it is committed, of which no more is read than is asked for."""
    batch = Batch(id=batch_id, **its)
    make_transient_to_detached(batch)
    session.add(batch)
    return batch
