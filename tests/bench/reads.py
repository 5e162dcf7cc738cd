"""Row (g): how often a second the portal tells of a run, beside a bare Flask route that reads the same rows."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.contenders import Failed
from tests.bench.portal import Portal
from tests.servers import Portal as Running
from tests.servers import eventually, free_port, process

SECONDS = 4
CONNECTIONS = 8
SUBMISSION = "SELECT submission.uuid FROM submission JOIN batch ON batch.id = submission.batch_id WHERE batch.uuid = %s"


def possible() -> bool:
    return shutil.which("wrk") is not None


@contextmanager
def bare_route(directory: Path, database: str) -> Iterator[str]:
    """The address of the bare route, on which a batch's UUID follows."""
    bind = f"127.0.0.1:{free_port()}"
    words = [sys.executable, "-m", "gunicorn", "tests.bench.bare_route:app", "-b", bind, "-w", "2", "--log-level",
             "warning"]  # fmt: skip
    with process(words, {"DATABASE_URL": database, "PYTHONPATH": "."}, directory / "bare-route.log"):
        eventually(Running(f"http://{bind}", directory, {}, directory / "bare-route.log").answers)
        yield f"http://{bind}"


def measured(portal: Portal, bare: str) -> Iterator[tuple[str, str, float]]:
    """Row, contender and requests per second, for the portal's last run."""
    [(uuid,)] = portal.rows(SUBMISSION, [portal.last])
    bare_rate = _rate(f"{bare}/{portal.last}")
    yield "g1", "bare", bare_rate
    yield "g1", portal.name, _rate(f"{portal.address}/runs/{uuid}/progress")
    yield "g2", "bare", bare_rate
    yield "g2", portal.name, _rate(f"{portal.address}/analytics_automated/submission/{portal.last}.json")


def _rate(address: str) -> float:
    words = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", address]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", told)
    if found is None or "Non-2xx" in told:
        raise Failed(f"{address} did not answer well:\n{told}")
    return float(found[1])
