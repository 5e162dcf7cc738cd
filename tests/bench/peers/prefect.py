"""Prefect 3 with its server on PostgreSQL: a flow of tasks, one after another; in row (d) a flow run for each job."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import works

FEWER = {"d": 20, **works.STARTS}
SETTINGS = {
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_LOGGING_SERVER_LEVEL": "ERROR",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "NO_PROXY": "127.0.0.1",
}

place: works.Place
flows: dict[str, Any] = {}


def ready(given: works.Place) -> None:
    global place
    place = given
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    url = f"http://127.0.0.1:{port}/api"
    database = given.database.replace("postgresql://", "postgresql+asyncpg://")
    os.environ.update(SETTINGS)
    os.environ["PREFECT_HOME"] = str(given.directory)
    server = {"PREFECT_API_DATABASE_CONNECTION_URL": database}
    words = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    subprocess.Popen([sys.executable, *words], stdin=subprocess.DEVNULL, env={**os.environ, **server})
    _await(f"{url}/health")
    os.environ["PREFECT_API_URL"] = url
    _make()
    run("a", 2)


def _await(url: str) -> None:
    deadline = time.monotonic() + 180
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


def _make() -> None:
    """Only now, since Prefect reads its settings when it is loaded."""
    from prefect import flow, task

    step = task(works.do)

    @flow(name="in-order")
    def in_order(row: str, count: int, where: str) -> None:
        for number in range(count):
            step(row, number, where, place.python)

    @flow(name="single")
    def single(row: str, number: int, where: str) -> None:
        step(row, number, where, place.python)

    flows.update({"in order": in_order, "single": single})


def run(row: str, count: int) -> float:
    where = str(works.prepare(place.directory, row, count))
    begun = time.perf_counter()
    if row == "d":
        with ThreadPoolExecutor(place.workers) as threads:
            list(threads.map(lambda number: flows["single"](row, number, where), range(count)))
    else:
        flows["in order"](row, count, where)
    return time.perf_counter() - begun
