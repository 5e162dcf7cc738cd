"""Plain Celery with Redis, without records: a chain of signatures, or many of them at once.

It has no result backend: the last step of all says in Redis that it was done, which is the fastest way to learn it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import redis
from celery import Celery, chain, group

from . import works

DONE = "bench-done"
FEWER = works.STARTS

place: works.Place
app = Celery("peers.celery", broker=os.environ.get("PEER_BROKER"))
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True)


@app.task
def step(row: str, number: int, where: str, python: str, over: bool) -> None:
    works.do(row, number, where, python)
    if over:
        said_over()


def said_over() -> None:
    _store().lpush(DONE, 1)


def _store() -> redis.Redis:
    global _connection
    if _connection is None:
        _connection = redis.Redis.from_url(os.environ["PEER_BROKER"], socket_timeout=None)
    return _connection


_connection: redis.Redis | None = None


def ready(given: works.Place) -> None:
    start(given, "peers.celery")
    run("d", 2 * given.workers)


def start(given: works.Place, module: str) -> None:
    """The worker, with as many processes as it may have."""
    global place
    place = given
    os.environ["PEER_BROKER"] = given.broker
    os.environ["PEER_DATABASE"] = given.database
    app.conf.broker_url = given.broker
    quiet = ["--loglevel", "warning", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    words = ["-m", "celery", "-A", module, "worker", "-c", str(given.workers), *quiet]
    subprocess.Popen([sys.executable, *words], stdin=subprocess.DEVNULL)


def run(row: str, count: int) -> float:
    return ordered(step, row, count)


def ordered(task: object, row: str, count: int) -> float:
    where = str(works.prepare(place.directory, row, count))
    at_once = row == "d"
    steps = [
        task.si(row, number, where, place.python, at_once or number == count - 1)  # type: ignore[attr-defined]
        for number in range(count)
    ]
    begun = time.perf_counter()
    if at_once:
        group(steps).apply_async()
    else:
        chain(steps).apply_async()
    for _ in range(count if at_once else 1):
        if _store().blpop([DONE], 120) is None:
            raise TimeoutError("Celery did not end")
    return time.perf_counter() - begun
