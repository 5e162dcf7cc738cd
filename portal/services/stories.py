"""A submission's story as it is read: all rows of its runs in a few statements, however many there are.

What is frozen stays in the database but for the parts that are asked for, as code can be long.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import InstrumentedAttribute, Session, defer
from sqlalchemy.orm.attributes import set_committed_value

from portal.models import Attempt, Message, Result, Run, Submission

Row = TypeVar("Row", Attempt, Message, Result, Run)


def load(session: Session, submissions: Sequence[Submission]) -> None:
    """Put the runs, attempts, results and messages of these submissions at hand; nothing is asked for one by one."""
    mine = [each.id for each in submissions]
    found = session.scalars(
        select(Run)
        .where(Run.submission_id.in_(mine))
        .order_by(Run.stage, Run.position)
        .options(defer(Run.work), defer(Run.handle))
    )
    runs = list(found)
    attempts = select(Attempt).join(Run, Attempt.run_id == Run.id).where(Run.submission_id.in_(mine))
    _hang(runs, Run.attempts, session.scalars(attempts.order_by(Attempt.number)), "run_id")
    results = select(Result).where(Result.submission_id.in_(mine)).order_by(Result.id)
    _hang(runs, Run.results, session.scalars(results), "run_id")
    messages = select(Message).where(Message.submission_id.in_(mine)).order_by(Message.id)
    _hang(submissions, Submission.messages, session.scalars(messages), "submission_id")
    _hang(submissions, Submission.runs, runs, "submission_id")


def _hang(
    owners: Iterable[Submission] | Iterable[Run],
    relation: InstrumentedAttribute[list[Row]],
    rows: Iterable[Row],
    key: str,
) -> None:
    """Give each owner its rows, as if it had been asked for them."""
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[getattr(row, key)].append(row)
    for owner in owners:
        set_committed_value(owner, relation.key, found.get(owner.id, []))


def frozen(session: Session, which: ColumnElement[bool], *parts: ColumnElement[Any]) -> dict[int, Any]:
    """Some parts of the frozen work of these runs, by the ids of the runs."""
    wanted: Select[Any] = select(Run.id, *parts).where(which)
    return {row[0]: row[1:] for row in session.execute(wanted)}
