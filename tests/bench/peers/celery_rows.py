"""Plain Celery with Redis, which keeps one row of each step in PostgreSQL: who did what, from when to when."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import psycopg2

from . import celery, works
from .celery import app

MAKE = "CREATE TABLE IF NOT EXISTS step (id serial PRIMARY KEY, place text, number int, begun timestamptz, " \
       "ended timestamptz DEFAULT clock_timestamp())"  # fmt: skip
KEEP = "INSERT INTO step (place, number, begun) VALUES (%s, %s, %s)"
FEWER = works.STARTS
_connection: Any = None


@app.task
def recorded(row: str, number: int, where: str, python: str, over: bool) -> None:
    begun = datetime.now(UTC)
    works.do(row, number, where, python)
    _execute(KEEP, (where, number, begun))
    if over:
        celery.said_over()


def _execute(statement: str, values: tuple[object, ...] = ()) -> None:
    global _connection
    if _connection is None:
        _connection = psycopg2.connect(os.environ["PEER_DATABASE"])
        _connection.autocommit = True
    with _connection.cursor() as cursor:
        cursor.execute(statement, values)


def ready(given: works.Place) -> None:
    os.environ["PEER_DATABASE"] = given.database
    _execute(MAKE)
    celery.start(given, "peers.celery_rows")
    run("d", 2 * given.workers)


def run(row: str, count: int) -> float:
    return celery.ordered(recorded, row, count)
