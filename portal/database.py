"""The database, plain SQLAlchemy, shared by web, workers and migrations. All times are the database's own, in UTC."""

from __future__ import annotations

import select as calls
import sqlite3
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, TypeVar, cast

from sqlalchemy import DateTime, Dialect, Engine, Float, MetaData, bindparam, create_engine, event, exc, select
from sqlalchemy.engine import Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session, SessionTransaction, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry, Pool
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import TypeDecorator

from portal import prepared
from portal.patience import CONNECT_SECONDS
from portal.settings import settings

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

READING = {"alone": True}  # what is written comes in `transaction`
CONNECTION = "connection"
FRESH_SECONDS = 0.5
LINE = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
AWAY_IN_SQLITE = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    )
)
DISK_FULL_IN_POSTGRESQL = "53100"
KNOWN = "known"
COMMITTED = "committed"
CHECKS_CLIENTS = 140_000  # the first version of PostgreSQL that notices a client that is gone


Answer = TypeVar("Answer")


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class Moment(TypeDecorator[datetime]):
    """A time in UTC: aware in Python, timestamptz in PostgreSQL, comparable text in SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


class now(FunctionElement[datetime]):  # noqa: N801 - reads as the SQL function that it is
    """The database's clock, plus some seconds: now(30)."""

    type = Moment()
    inherit_cache = True

    def __init__(self, seconds: float = 0) -> None:
        super().__init__(bindparam(None, float(seconds), type_=Float(), unique=True))


@compiles(now, "sqlite")
def _now_in_sqlite(element: now, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', {seconds} || ' seconds') || '000')"


@compiles(now, "postgresql")
def _now_in_postgresql(element: now, compiler: SQLCompiler, **options: Any) -> str:
    """Asked once for a statement, so that an index can be looked up by it."""
    return f"(SELECT clock_timestamp() + make_interval(secs => {compiler.process(element.clauses, **options)}))"


@event.listens_for(Engine, "connect")
def _prepare(connection: Any, record: object) -> None:
    if type(connection).__module__.startswith("sqlite3"):
        connection.isolation_level = None
        busy = min(20_000, round(300 * settings().portal_lease_seconds))
        kept = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
        guarded = "recursive_triggers=ON"  # without it, a row that replaces another passes the guard of the audit trail
        for pragma in (*kept, guarded, f"busy_timeout={busy}"):
            connection.execute(f"PRAGMA {pragma}")
    else:
        _bound_locks(connection)


@event.listens_for(Pool, "checkin")
def _note_use(connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["used"] = time.monotonic()


@event.listens_for(Pool, "checkout")
def _look_whether_it_lives(connection: Any, record: ConnectionPoolEntry, _: object) -> None:
    """A connection that lay idle may be dead; one that has just answered is not asked, but for what it says unasked."""
    used = record.info.get("used")
    if used is None or type(connection).__module__.startswith("sqlite3"):
        return
    if _says_something(connection):
        raise exc.InvalidatePoolError
    if time.monotonic() - used < FRESH_SECONDS:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        connection.rollback()
    except connection.Error as failure:
        raise exc.InvalidatePoolError from failure


def _says_something(connection: Any) -> bool:
    """A server that nobody has asked anything says only that it ends the connection."""
    poll = calls.poll()
    poll.register(connection.fileno(), calls.POLLIN)
    return bool(poll.poll(0))


def _bound_locks(connection: Any) -> None:
    """A process that is frozen with a lock in its hand must not take all others' connections away.

    What the portal asks is answered faster than its answer could be compiled.
    """
    bounds = {"lock_timeout": "8s", "idle_in_transaction_session_timeout": "300s", "jit": "off"}
    if connection.server_version >= CHECKS_CLIENTS:
        bounds["client_connection_check_interval"] = "5s"
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(" ".join(f"SET {name} = '{value}';" for name, value in bounds.items()))
    connection.autocommit = False


@event.listens_for(Engine, "begin")
def _begin(connection: Connection) -> None:
    """A writing transaction takes SQLite's one write lock at its start, so that it never fails for it half-way.

    Where the engine only reads `alone`, each statement is a transaction of PostgreSQL's own: it sees no less by that,
    and nothing has to be said before the first and after the last. What writes says that by itself.
    """
    options = connection.get_execution_options()
    writes = options.get("writes")
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
        return
    its: Any = connection.connection.dbapi_connection
    by_itself = bool(options.get("alone") or writes)
    if its.autocommit != by_itself:
        its.autocommit = by_itself
    if writes:
        prepared.begin(connection)


def engine_options(url: str, pool_size: int = 2) -> dict[str, Any]:
    """How an engine for this database is made: a server that died must be noticed soon, and one that is back, too."""
    if url.startswith("sqlite"):
        return {}
    # the one that was used last knows its plans, and its server's process has all at hand
    pool = {"pool_size": pool_size, "max_overflow": 8, "pool_timeout": 10, "pool_use_lifo": True}
    return {**pool, "connect_args": LINE}


def make_engine(url: str) -> Engine:
    return create_engine(url, **engine_options(url))


@cache
def engine() -> Engine:
    """The engine of this process; `forget` it after a fork."""
    return make_engine(settings().database)


@lru_cache(1)
def _that_reads(engine: Engine) -> Engine:
    return engine.execution_options(**READING)


_new_session = sessionmaker[Session]()


def forget() -> None:
    """Drop the engine that a parent process made, without touching the parent's connections."""
    if engine.cache_info().currsize:
        engine().dispose(close=False)
        engine.cache_clear()


@contextmanager
def transaction(session: Session | None = None) -> Iterator[Session]:
    """One writing transaction: commits at its end, rolls back on an error.

    With a session that has read already (the web's), its reading ends here and starts anew inside.
    """
    if session is None:
        with _new_session(bind=engine()) as own, transaction(own):
            yield own
        return
    if session.in_transaction():
        session.rollback()
    session.info[CONNECTION] = session.connection(execution_options={"writes": True})
    try:
        yield session
        del session.info[CONNECTION]
        session.commit()
    except BaseException:
        session.info.pop(CONNECTION, None)
        session.info.pop(COMMITTED, None)
        session.rollback()
        raise


def connection(session: Session) -> Connection:
    """What the session talks by; within a transaction it need not be looked up each time."""
    return session.info.get(CONNECTION) or session.connection()


def while_committing(session: Session, do: Callable[[], None]) -> None:
    """Done while PostgreSQL commits what is written here, or right before. It raises nothing: all may be committed."""
    prepared.while_committing(connection(session), do)


def once_committed(session: Session, do: Callable[[], None]) -> None:
    """Done as soon as what is written here is committed, before all else. It raises nothing."""
    session.info[COMMITTED] = do


@event.listens_for(Session, "after_commit")
def _do_what_waited(session: Session) -> None:
    if do := session.info.pop(COMMITTED, None):
        do()


@contextmanager
def reading() -> Iterator[Session]:
    """A session that only reads."""
    with _new_session(bind=_that_reads(engine())) as session:
        yield session


def once(session: Session, question: Hashable, ask: Callable[[], Answer]) -> Answer:
    """The answer to what is asked once in a reading, or in a transaction, however many ask."""
    known = session.info.setdefault(KNOWN, {})
    if question not in known:
        known[question] = ask()
    return cast(Answer, known[question])


@event.listens_for(Session, "after_transaction_end")
def _forget_answers(session: Session, ended: SessionTransaction) -> None:
    if ended.parent is None:
        session.info.pop(KNOWN, None)


def clock(session: Session) -> datetime:
    """What time the database has."""
    return session.scalars(select(now())).one()


def is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def away(error: BaseException | None) -> bool:
    """Whether the database did not answer. What was asked of it last may have been done all the same."""
    if isinstance(error, exc.TimeoutError):
        return True
    if not isinstance(error, exc.DBAPIError) or full(error):
        return False
    return error.connection_invalidated or _out_of_reach(error)


def full(error: BaseException | None) -> bool:
    """Whether the database has no room left; then it has done nothing."""
    if not isinstance(error, exc.DBAPIError):
        return False
    return getattr(error.orig, "pgcode", None) == DISK_FULL_IN_POSTGRESQL or _sqlite_code(error) == sqlite3.SQLITE_FULL


def _out_of_reach(error: exc.DBAPIError) -> bool:
    """SQLite has one class for a file that cannot be read and for a table that is not there."""
    code = _sqlite_code(error)
    return code in AWAY_IN_SQLITE if code else isinstance(error, exc.OperationalError | exc.InterfaceError)


def _sqlite_code(error: exc.DBAPIError) -> int:
    return int(getattr(error.orig, "sqlite_errorcode", 0)) & 0xFF
