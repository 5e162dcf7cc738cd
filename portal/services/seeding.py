"""Filling an empty portal with a history, to measure by: one submission goes the usual way in, all others are copies.

PostgreSQL makes the copies itself, without indexes and foreign keys, which come back at the end: so a million
submissions take some minutes.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import ForeignKeyConstraint, Table, UniqueConstraint, select, text
from sqlalchemy.orm import Session
from sqlalchemy.schema import AddConstraint, CreateIndex, DropConstraint, DropIndex

from portal.database import Base, is_postgresql, transaction
from portal.domain.drafts import TaskDraft
from portal.domain.errors import Conflict
from portal.domain.policy import Role
from portal.models import Account, Job, Submission
from portal.services import accounts, backends, jobs, submissions, tasks

STEPS = 5
NAMES = 10  # of accounts and jobs, which take turns; the last account has sent few, the last job nothing
NOT_EMPTY = "This portal is not empty: what is made to measure by would be mixed with what is real."
ELSEWHERE = "Only PostgreSQL is filled so: set DATABASE_URL."

WAITS = "(n > :count - :count / 100)"  # the last hundredth; of the others one in fifty has failed
STATE = f"CASE WHEN {WAITS} THEN t.state WHEN n % 50 = 0 THEN 'ERROR' ELSE 'COMPLETE' END"
OWNER = "CASE WHEN n % 10000 = 7 THEN :account + 9 WHEN n % 4 > 0 THEN :account + n % 9 END"


def _ago(later: str) -> str:
    """Ten seconds lie between two submissions, and some between its beginning and what comes later."""
    return f"clock_timestamp() - make_interval(secs => (:count - n) * 10 + 20 - {later})"


def _over(value: str) -> str:
    return f"CASE WHEN NOT {WAITS} THEN {value} END"


# What differs from the row that is copied (t); n is the copy's number.
COPIES: dict[str, dict[str, str]] = {
    "batch": {
        "uuid": "gen_random_uuid()",
        "idempotency_key": "gen_random_uuid()",
        "address": "'192.0.2.' || n % 200",
        "account_id": OWNER,
        "name": "'run ' || n",
        "state": STATE,
        "created": _ago("0"),
    },
    "upload": {"batch_id": "t.batch_id + n - 1", "key": "'uploads/seeded-' || n"},
    "submission": {
        "uuid": "gen_random_uuid()",
        "batch_id": "t.batch_id + n - 1",
        "address": "'192.0.2.' || n % 200",
        "account_id": OWNER,
        "job_id": "t.job_id + n % 9",
        "job_name": "'seeded-' || n % 9",
        "state": STATE,
        "created": _ago("0"),
        "started": _over(_ago("1")),
        "ended": _over(_ago("8")),
        "expires": _over("now() + make_interval(days => 30, secs => n)"),
    },
    "run": {
        "uuid": "gen_random_uuid()",
        "submission_id": "t.submission_id + n - 1",
        "state": f"CASE WHEN {WAITS} THEN t.state WHEN n % 50 = 0 AND t.stage = 5 THEN 'ERROR' ELSE 'COMPLETE' END",
        "attempt": f"CASE WHEN {WAITS} THEN 0 ELSE 1 END",
        "started": _over(_ago("t.stage")),
        "ended": _over(_ago("t.stage - 1")),
        "exit_status": _over("CASE WHEN n % 50 = 0 AND t.stage = 5 THEN 1 ELSE 0 END"),
    },
    "message": {"submission_id": "t.submission_id + n - 1", "created": _ago("0")},
    "audit": {"object": "gen_random_uuid()", "at": _ago("0")},
}
# What a run that is over has beside it (r, of the submission s).
LEFT: dict[str, dict[str, str]] = {
    "attempt": {
        "id": "r.id", "run_id": "r.id", "number": "1", "worker": "'seeded'", "started": "r.started",
        "ended": "r.ended", "sentence": "''", "exit_status": "r.exit_status",
    },
    "result": {
        "id": "r.id", "submission_id": "s.id", "run_id": "r.id", "attempt": "1", "key": "'results/seeded-' || r.id",
        "name": "s.uuid || '-' || r.position || '.out'", "size": "7", "sha256": "repeat('0', 64)",
    },
    "log_chunk": {
        "id": "r.id", "run_id": "r.id", "attempt": "1", "stream": "'stdout'", "start": "0",
        "data": "convert_to('seeded', 'UTF8')",
    },
    "message": {
        "id": "(SELECT max(id) FROM message) + r.id", "submission_id": "s.id", "run_id": "r.id", "kind": "'note'",
        "sentence": "'Completed step: ' || r.stage", "created": "r.ended",
    },
    "letter": {
        "id": "s.id", "batch_id": "s.batch_id", "due": "s.ended", "tries": "1", "sent": "s.ended", "failure": "''",
    },
}  # fmt: skip


def seed(session: Session, count: int) -> None:
    """Make so many submissions of five steps each. Raises Conflict where there is anything already."""
    if not is_postgresql(session):
        raise Conflict(ELSEWHERE)
    if session.scalar(select(Submission.id).limit(1)) or session.scalar(select(Job.id).limit(1)):
        raise Conflict(NOT_EMPTY)
    account = _first(session)
    with transaction(session), _bare(session):
        for table in COPIES:
            session.execute(text(_copying(table)), {"count": count, "account": account})
        for table in LEFT:
            session.execute(text(_leaving(table)))
        for table in {*COPIES, *LEFT}:
            session.execute(text(f"SELECT setval('{table}_id_seq', (SELECT max(id) FROM {table}))"))  # noqa: S608
    _vacuum(session)


def _first(session: Session) -> int:
    """The submission that is copied, with what it needs; the id of the first of its accounts."""
    with transaction(session):
        made = [_account(session, f"seeded-{number}") for number in range(NAMES)]
        backends.save(session, backends.BackendDraft("seeded", "local", "seeded", ("command",)))
        tasks.save(
            session, TaskDraft("seeded", "command", "seeded", "cat $I1 > $O1", inputs=(".in",), outputs=(".out",)), None
        )
        steps = tuple(jobs.StepDraft(order, "seeded") for order in range(1, STEPS + 1))
        for number in range(NAMES):
            jobs.save(session, jobs.JobDraft(f"seeded-{number}", public=True, steps=steps), None)
        first = made[0].id
    incoming = submissions.Incoming("seeded.in", io.BytesIO(b"seeded\n"))
    submissions.submit(session, submissions.Order(("seeded-0",), "run 1", "seeded@example.org", (incoming,)))
    return first


def _account(session: Session, name: str) -> Account:
    return accounts.create(session, name, secrets.token_urlsafe(24), Role.SUBMITTER, f"{name}@example.org")


def _copying(table: str) -> str:
    columns = [column.name for column in Base.metadata.tables[table].columns]
    own = {"id": f"t.id + (n - 1) * (SELECT count(*) FROM {table})", **COPIES[table]}  # noqa: S608
    values = ", ".join(own.get(name, f't."{name}"') for name in columns)
    names = ", ".join(f'"{name}"' for name in columns)
    return f"INSERT INTO {table} ({names}) SELECT {values} FROM {table} t, generate_series(2, :count) n"  # noqa: S608


def _leaving(table: str) -> str:
    own = LEFT[table]
    source = "submission s" if table == "letter" else "run r JOIN submission s ON s.id = r.submission_id"
    over = "s.ended IS NOT NULL" if table == "letter" else "r.ended IS NOT NULL"
    names = ", ".join(f'"{name}"' for name in own)
    return f"INSERT INTO {table} ({names}) SELECT {', '.join(own.values())} FROM {source} WHERE {over}"  # noqa: S608


@contextmanager
def _bare(session: Session) -> Iterator[None]:
    """Without what makes each row dear; all of it stands again afterwards, and is checked then."""
    tables = [Base.metadata.tables[name] for name in dict.fromkeys((*COPIES, *LEFT))]
    constraints = [each for table in tables for each in _constraints(table)]
    indexes = [each for table in tables for each in table.indexes]
    for constraint in reversed(constraints):
        session.execute(DropConstraint(constraint))
    for index in indexes:
        session.execute(DropIndex(index))
    yield
    session.execute(text("SET LOCAL maintenance_work_mem = '512MB'"))
    for index in indexes:
        session.execute(CreateIndex(index))
    for constraint in constraints:
        session.execute(AddConstraint(constraint))


def _constraints(table: Table) -> list[UniqueConstraint | ForeignKeyConstraint]:
    return [
        each
        for kind in (UniqueConstraint, ForeignKeyConstraint)
        for each in table.constraints
        if isinstance(each, kind)
    ]


def _vacuum(session: Session) -> None:
    """Let the planner know what is there now."""
    engine = session.get_bind().engine
    with engine.connect().execution_options(alone=True) as connection:
        connection.execute(text("VACUUM ANALYZE"))
