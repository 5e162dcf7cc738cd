"""Whatever is written into the broker, a worker lives on and goes on with its work."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from redis import Redis

from tests.faults.faults import HOSTILE, _message
from tests.servers import eventually, migrate, process, redis

pytestmark = pytest.mark.real

WORDS = [
    *HOSTILE,
    _message("no.such.task", []),
    _message("wake", [1, "two", {"three": 3}]),
    _message("wake", [], content_type="application/x-python-serialize"),
    _message("wake", [], body="%%%"),
    _message("wake", [], encoding="none"),
    _message("wake", [], headers={"task": "wake", "id": 7, "eta": "never", "expires": -1}),
]


def test_a_worker_drops_every_word_that_it_cannot_read(tmp_path: Path) -> None:
    with redis() as url:
        chosen = {"PORTAL_DATA": str(tmp_path), "BROKER_URL": url, "PORTAL_POLL_SECONDS": "1"}
        migrate(chosen)
        broker = Redis.from_url(url)
        command = [sys.executable, "-m", "celery", "-A", "workers.celery_app", "worker", "-Q", "chores", "-c", "1"]
        with process(command, chosen, tmp_path / "log") as worker:
            for word in WORDS:
                broker.lpush("chores", word)
                eventually(lambda: not broker.llen("chores") or worker.poll() is not None)
                assert worker.poll() is None, (tmp_path / "log").read_text()[-3000:]
            broker.lpush("chores", _message("sweep", []))
            eventually(lambda: not broker.llen("chores"))
            assert worker.poll() is None
