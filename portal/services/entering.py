"""The rows of what was accepted, in the caller's transaction: a few statements, however many inputs there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

from sqlalchemy import Table, bindparam, case, insert, null, select
from sqlalchemy.orm import Session

from portal import queue
from portal.database import connection, now
from portal.domain.states import State
from portal.models import Batch, Message, Run, Submission, Upload
from portal.services import progress
from portal.services.freezing import Frozen, Row
from portal.services.statements import tell

CHUNK = 500
SUBMITTED = {"kind": "note", "sentence": "Submitted"}

Ordered = tuple[Frozen, int]  # with the number of its input
Member = tuple[Row, list[Row]]

_batch, _upload, _submission, _run, _message = (
    cast(Table, model.__table__) for model in (Batch, Upload, Submission, Run, Message)
)
_BATCH = insert(_batch).inline()
_of_batch = select(_batch.c.id).where(_batch.c.uuid == bindparam("batch")).scalar_subquery()
_UPLOADS = insert(_upload).values(batch_id=_of_batch).inline()
_SUBMISSIONS = insert(_submission).values(batch_id=_of_batch).inline()
_of_submission = select(_submission.c.id).where(_submission.c.uuid == bindparam("submission")).scalar_subquery()
_due = case((bindparam("begins"), now()), else_=null())
_RUNS = insert(_run).values(submission_id=_of_submission, due=_due).inline()
_MESSAGES = insert(_message).values(submission_id=_of_submission).inline()
_IDS = select(_submission.c.id).where(_submission.c.uuid.in_(bindparam("uuids", expanding=True)))


def enter(session: Session, batch: Row, uploads: Sequence[Row], members: Sequence[Ordered]) -> None:
    """A batch with these uploads, and a submission for each of what was ordered, in this order.

    Rows know each other by their UUIDs, so that all of them are told, and nothing is waited for.
    """
    tell(session, _BATCH, batch)
    for some in _chunks(uploads):
        tell(session, _UPLOADS, *(each | {"batch": batch["uuid"]} for each in some))
    whose = {"batch": batch["uuid"], "account_id": batch["account_id"], "address": batch["address"]}
    for at, chunk in enumerate(_chunks(members)):
        _enter(session, whose, [(each, each.member(at * CHUNK + n, number)) for n, (each, number) in enumerate(chunk)])
    for queued in {run["queue"] for each in {id(one): one for one, _ in members}.values() for run in each.queued}:
        queue.say(session, "wake", queued)


def _enter(session: Session, whose: Row, members: Sequence[tuple[Frozen, Member]]) -> None:
    uuids = [submission["uuid"] for _, (submission, _) in members]
    tell(session, _SUBMISSIONS, *(submission | whose for _, (submission, _) in members))
    tell(session, _RUNS, *(_begun(run) | {"submission": own["uuid"]} for _, (own, runs) in members for run in runs))
    tell(session, _MESSAGES, *(SUBMITTED | {"submission": uuid} for uuid in uuids))
    conditional = [uuid for uuid, (each, _) in zip(uuids, members, strict=True) if each.conditional]
    if conditional:
        progress.begin(session, sorted(connection(session).scalars(_IDS, {"uuids": conditional})))


def _begun(run: Row) -> Row:
    return {"state": State.WAITING, "reason": ""} | run | {"begins": run.get("state") is State.QUEUED}


def _chunks(rows: Iterable[Any]) -> Iterator[list[Any]]:
    left = iter(rows)
    while some := list(islice(left, CHUNK)):
        yield some
