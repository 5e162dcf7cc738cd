"""Whoever may write into the broker can wake workers and no more; whoever may not, gets nowhere."""

from __future__ import annotations

import base64
import os
import pickle
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from celery import Celery
from pydantic import ValidationError
from redis import Redis
from redis.exceptions import ResponseError
from sqlalchemy import select

from portal.models import Submission
from portal.settings import Settings
from tests import servers
from tests.attacks.hostile import A, Site, form, portal_on
from tests.faults.faults import HOSTILE, _message
from tests.servers import eventually

WORKERS = "+@all -@admin -@dangerous +info"


@dataclass
class Rig:
    """A portal, a Redis where it has a user of few rights, and one real worker."""

    site: Site
    redis: Redis
    url: str
    worker: Popen[bytes]
    log: Path

    def alive(self) -> None:
        assert self.worker.poll() is None, self.log.read_text(errors="replace")[-3000:]
        self.site.alarm()

    def drained(self) -> None:
        """What was written is gone, and the worker does its work still."""
        eventually(lambda: not self.redis.llen("chores") or self.worker.poll() is not None)
        self.alive()

    def submit(self, job: str) -> str:
        answer = self.site.nobody.post(f"{A}/submission.json", data=form(job))
        assert answer.status_code == 201
        return str(answer.json["UUID"])

    def completes(self, batch: str) -> None:
        def state() -> Any:
            with self.site.session() as session:
                mine = select(Submission.state).where(Submission.batch.has(uuid=batch))
                return session.scalars(mine).one().final

        eventually(state)
        self.alive()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Rig]:
    data = tmp_path_factory.mktemp("broker")
    with servers.redis() as url, portal_on("sqlite", data, migrated) as site:
        redis = Redis.from_url(url)
        redis.execute_command("ACL", "SETUSER", "portal", "on", ">few-rights", "~*", "&*", *WORKERS.split())
        own = url.replace(f":{url.split(':')[2].partition('@')[0]}@", "portal:few-rights@")
        chosen = {"PORTAL_DATA": str(data), "BROKER_URL": own, "PORTAL_POLL_SECONDS": "1", "PORTAL_BEAT_SECONDS": "0.5"}
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "workers.celery_app",
            "worker",
            "-Q",
            "chores,every",
            "-c",
            "1",
        ]
        with servers.process(command, chosen, data / "log") as worker:
            made = Rig(site, redis, own, worker, data / "log")
            made.redis.lpush("chores", _message("sweep", []))
            made.drained()
            yield made


class Evil:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.canary}",)


def pickled(canary: Path) -> bytes:
    word = base64.b64encode(pickle.dumps(([Evil(canary)], {}, {}))).decode()
    return _message("wake", [], content_type="application/x-python-serialize", body=word)


def yamled(canary: Path) -> bytes:
    word = base64.b64encode(f"!!python/object/apply:os.system ['touch {canary}']".encode()).decode()
    return _message("wake", [], content_type="application/x-yaml", body=word)


KINDS = {
    "pickle": pickled,
    "yaml": yamled,
    "large": lambda _: b"x" * 50_000_000,
    "no base64": lambda _: _message("wake", [], body="%%%"),
    "unknown encoding": lambda _: _message("wake", [], encoding="none"),
    "unknown type": lambda _: _message("wake", [], "a/b"),
    **{f"broken {n}": (lambda _, word=word: word) for n, word in enumerate(HOSTILE)},
    "deep": lambda _: b"[" * 100_000,
}


@pytest.mark.attack("BR-02")
@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_drops_what_is_no_word(rig: Rig, kind: str) -> None:
    rig.redis.lpush("chores", KINDS[kind](rig.site.canary))

    rig.drained()


WORDS = [
    ("no.such.task", []),
    ("celery.backend_cleanup", []),
    ("wake", [1, "two", {"three": 3}]),
    ("os.system", ["id"]),
    ("sweep", ["x" * 500_000]),
    ("tell", [{"__class__": "x"}]),
    ("celery.chord", []),
    ("workers.execution.perform", [1]),
    ("", []),
]


@pytest.mark.attack("BR-03")
@pytest.mark.parametrize("number", range(len(WORDS)))
def test_a_worker_passes_over_words_that_are_not_ours(rig: Rig, number: int) -> None:
    word, arguments = WORDS[number]

    rig.redis.lpush("chores", _message(word, arguments))

    rig.drained()


@pytest.mark.attack("BR-03")
def test_very_many_words_keep_no_run_waiting(rig: Rig) -> None:
    job = rig.site.service()
    rig.redis.lpush("every", *[_message("wake", [])] * 5_000)

    rig.completes(rig.submit(job))


@pytest.mark.attack("BR-04")
@pytest.mark.parametrize(
    "order", ["shutdown", "pool_restart", "rate_limit", "pool_shrink", "add_consumer", "terminate"]
)
def test_nobody_commands_a_worker_from_afar(rig: Rig, order: str) -> None:
    control = Celery("stranger", broker=rig.url, set_as_current=False).control

    given = {"task_name": "wake", "rate_limit": "1/h"} if order == "rate_limit" else {}
    answers = control.broadcast(order, arguments=given, reply=True, timeout=0.5)

    assert not answers
    rig.alive()


@pytest.mark.attack("BR-05")
def test_an_emptied_broker_loses_no_run(rig: Rig) -> None:
    batch = rig.submit(rig.site.service())
    rig.redis.flushall()
    rig.redis.config_set("maxmemory-policy", "allkeys-lru")

    rig.completes(batch)


@pytest.mark.attack("BR-06")
def test_there_is_no_store_of_results_to_write_a_failure_into(rig: Rig) -> None:
    from workers.celery_app import app

    assert app.conf.result_backend is None
    rig.redis.set(
        "celery-task-meta-x",
        '{"status": "FAILURE", "result": {"exc_type": "system", "exc_module": "os", "exc_message": "id"}}',
    )
    rig.completes(rig.submit(rig.site.service()))
    assert rig.redis.keys("celery-task-meta-*") == [b"celery-task-meta-x"]


@pytest.mark.attack("BR-07")
@pytest.mark.parametrize(
    "path", ["/flower", "/dashboard", "/celery", "/rq", "/monitor", "/console", "/debug", "/workers"]
)
def test_it_has_no_board_for_strangers(rig: Rig, path: str) -> None:
    assert rig.site.ask("GET", path, rig.site.nobody).status_code in (302, 404)


@pytest.mark.attack("BR-08")
@pytest.mark.parametrize(
    "words", ["CONFIG GET *", "DEBUG SLEEP 1", "KEYS *", "FLUSHALL", "SHUTDOWN", "ACL LIST", "REPLICAOF a 1", "MONITOR"]
)
def test_a_user_of_few_rights_is_enough(rig: Rig, words: str) -> None:
    with pytest.raises(ResponseError):
        Redis.from_url(rig.url).execute_command(*words.split())
    rig.alive()


OPEN = [
    "redis://broker:6379/0",
    "redis://10.0.0.5/0",
    "rediss://broker/0",
    "redis://user@broker/0",
    "redis://0.0.0.0/0",
    "redis://[2001:db8::1]/0",
]


@pytest.mark.attack("BR-01")
@pytest.mark.parametrize("broker", OPEN)
@pytest.mark.parametrize(
    "reached",
    [{"host": "0.0.0.0"}, {"portal_url": "https://portal.example.org"}, {"host": "192.0.2.1"}],  # noqa: S104
)
def test_it_does_not_start_with_a_broker_that_anybody_may_use(broker: str, reached: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="BROKER_URL must hold a password"):
        Settings(broker_url=broker, **reached)  # type: ignore[arg-type]


@pytest.mark.attack("BR-01")
@pytest.mark.parametrize(
    "broker",
    ["redis://:secret@broker/0", "redis://127.0.0.1:6379/0", "redis://localhost/0", "redis+socket:///run/x", ""],
)
def test_it_starts_with_one_that_is_guarded_or_near(broker: str) -> None:
    assert Settings(broker_url=broker, host="0.0.0.0").broker_url == broker  # noqa: S104 - it is refused or not


@pytest.mark.attack("BR-01")
def test_the_embedded_broker_is_for_its_own_user(tmp_path: Path) -> None:
    with servers.portal_in_one(tmp_path / "data") as portal:
        socket = portal.data / "broker.sock"
        places = [socket, portal.data] if socket.exists() else [*Path("/tmp").glob("portal-*/broker.sock")]  # noqa: S108

        assert places
        assert any(not stat.S_IMODE(each.lstat().st_mode) & 0o077 for each in places)
