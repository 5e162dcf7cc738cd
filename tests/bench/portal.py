"""The portal as a contender: its own web server, workers and clock on PostgreSQL and Redis, asked by its REST only.

A time begins before the first request is sent and ends with the submission's `ended`, which is the database's clock
on this same machine: so posting counts, and looking for the end, twenty times a second, does not.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2

from tests.bench import jobs
from tests.bench.contenders import Done, Failed
from tests.bench.peers.works import SIZE
from tests.servers import ADMIN_PASSWORD, eventually, flask, free_port, process
from tests.servers import Portal as Running

CONNECTIONS = 4
PATIENCE = 600.0
LOOK_SECONDS = 0.05
QUEUES = "chores,high_localhost,localhost,low_localhost,high_R,R,low_R"
LIFTED = {f"PORTAL_{what}_LIMIT": "1000000 per second" for what in ("SIGN_IN", "RATE", "SUBMIT", "MISS")} | {
    "PORTAL_QUEUE_HOG_SIZE": "",
    "PORTAL_QUEUE_HARD_LIMIT": "",
    "PORTAL_QUOTA_BYTES": "",
}
BOUNDARY = "benchbenchbench"
WORKER = ("-m", "celery")
QUIET = ("--loglevel", "warning", "--without-gossip", "--without-mingle", "--without-heartbeat")
ENDED = """
SELECT count(*), count(*) FILTER (WHERE submission.state = 'COMPLETE'), extract(epoch from max(submission.ended))
FROM submission JOIN batch ON batch.id = submission.batch_id
WHERE batch.uuid = ANY(%s) AND submission.ended IS NOT NULL
"""
LEVELS = """
SELECT array_agg(DISTINCT attempt.level) FROM attempt JOIN run ON run.id = attempt.run_id
JOIN submission ON submission.id = run.submission_id JOIN batch ON batch.id = submission.batch_id
WHERE batch.uuid = ANY(%s)
"""


@dataclass
class Portal:
    """A portal at one level of confinement."""

    name: str
    level: int
    address: str
    database: str
    settings: Mapping[str, str]
    data: Path
    programs: Sequence[subprocess.Popen[bytes]]
    last: str = ""  # the batch that was asked for last
    _connection: Any = field(default=None, repr=False)

    def run(self, row: str, count: int) -> Done:
        """A job of so many steps; of row (d) so many jobs of one step, asked for side by side."""
        if row == "d":
            return self.many("bench_d", count)
        return self.one(f"bench_{row}", count)

    def one(self, job: str, steps: int) -> Done:
        begun = time.time()
        self.last = _post(_connected(self.address), job)
        return Done(self._ended([self.last]) - begun, steps)

    def many(self, job: str, count: int) -> Done:
        begun = time.time()
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            shares = [len(range(at, count, CONNECTIONS)) for at in range(CONNECTIONS)]
            asked = [each for share in threads.map(lambda number: self._posts(job, number), shares) for each in share]
        posted = time.time()
        return Done(self._ended(asked) - begun, count, posts=count / (posted - begun))

    def load(self, text: str, name: str) -> None:
        """Make what a document describes. Raises Failed when the portal refuses it."""
        file = self.data / f"{name}.yaml"
        file.write_text(text)
        try:
            flask("load", str(file), extra=self.settings)
        except AssertionError as refused:
            raise Failed(f"{self.name}: {name} was refused {refused}") from None

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = psycopg2.connect(self.database)
            self._connection.autocommit = True
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found

    def _posts(self, job: str, count: int) -> list[str]:
        connection = _connected(self.address)
        return [_post(connection, job) for _ in range(count)]

    def _ended(self, batches: list[str]) -> float:
        """When the last of them ended. Raises Failed when one is not complete, or ran at another level."""
        deadline = time.monotonic() + PATIENCE
        while True:
            [(ended, complete, at)] = self.rows(ENDED, [batches])
            if ended == len(batches):
                break
            if time.monotonic() > deadline or any(each.poll() is not None for each in self.programs):
                said = (self.data / "log").read_text(errors="replace")[-3000:]
                raise Failed(f"{self.name}: it does not end\n{said}")
            time.sleep(LOOK_SECONDS)
        [(levels,)] = self.rows(LEVELS, [batches])
        if complete != len(batches) or levels != [self.level]:
            raise Failed(f"{self.name}: {complete} of {len(batches)} complete, at the levels {levels}")
        return float(at)


def _connected(address: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)


def _post(connection: http.client.HTTPConnection, job: str) -> str:
    """Submit a small file to a job; the batch's UUID. Raises Failed."""
    fields = {"job": job, "submission_name": "bench", "email": "bench@example.org"}
    parts = [_part(f'name="{name}"', value.encode()) for name, value in fields.items()]
    parts.append(_part('name="input_data"; filename="in.txt"', b"x" * SIZE))
    body = b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    connection.request("POST", "/analytics_automated/submission.json", body, headers)
    response = connection.getresponse()
    told = response.read()
    if response.status != 201:
        raise Failed(f"the portal refused {job}: {response.status} {told.decode(errors='replace')[:500]}")
    return str(json.loads(told)["UUID"])


def _part(about: str, content: bytes) -> bytes:
    return f"--{BOUNDARY}\r\nContent-Disposition: form-data; {about}\r\n\r\n".encode() + content + b"\r\n"


@contextmanager
def portal(
    directory: Path, database: str, broker: str, level: int, workers: int, worker: Sequence[str] = WORKER
) -> Iterator[Portal]:
    """Everything that an administrator starts, with limits of how often lifted, and else the usual settings."""
    settings = {
        "PORT": str(free_port()),
        "PORTAL_DATA": str(directory),
        "PORTAL_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "DATABASE_URL": database,
        "BROKER_URL": broker,
        "PORTAL_LEVEL": str(level),
        "PORTAL_MIN_LEVEL": str(min(level, 2)),
        "PORTAL_MIN_LEVEL_ANONYMOUS": str(min(level, 2)),
        **LIFTED,
    }
    directory.mkdir(parents=True)
    flask("setup", extra=settings)
    bind = f"127.0.0.1:{settings['PORT']}"
    celery = [sys.executable, *worker, "-A", "workers.celery_app"]
    programs = (
        [sys.executable, "-m", "gunicorn", "-c", "python:portal.serving", "app:create_app()", "-b", bind, "-w", "2"],
        [*celery, "worker", "-Q", QUEUES, "-c", str(workers), *QUIET],
        [*celery, "beat", "--pidfile=", "--loglevel", "warning"],
    )
    with ExitStack() as stack:
        started = [stack.enter_context(process(command, settings, directory / "log")) for command in programs]
        eventually(Running(f"http://{bind}", directory, settings, directory / "log").answers)
        yield Portal(f"portal {level}", level, f"http://{bind}", database, settings, directory, started)


def ready(portal: Portal, counts: dict[str, int]) -> None:
    """Make the jobs of the rows, and let each process of the workers do something once."""
    portal.load(jobs.document(counts | {"d": 1}), "rows")
    portal.many("bench_d", 8)
