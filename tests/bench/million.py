"""How the portal grows with its database: every page and route, and the workers' own questions, at two sizes.

`python -m tests.bench.million [SMALL LARGE]` seeds two databases, of 1,000 and of 1,000,000 submissions if no others
are named, and asks both in turns. SMALL_URL and LARGE_URL name databases that were seeded before.
"""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from sqlalchemy import event, select, text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session, sessionmaker

from tests import servers

ROUNDS = 7
PASSWORD = "correct horse battery"
WHO = {"admin": "bench", "much": "seeded-1", "little": "seeded-9", "guest": ""}


class Undone(Exception):
    """What was measured shall leave nothing."""


@dataclass
class Asked:
    """What is asked, and as whom; the seconds and the statements that it took, round by round."""

    name: str
    ask: Callable[[Names], object]
    seconds: list[float] = field(default_factory=list)
    statements: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Names:
    """Something of the database that nobody has asked for yet."""

    over: str
    waiting: str
    batch: str
    run: str
    task: str = "seeded"
    job: str = "seeded-3"


PAGES: dict[str, tuple[str, ...]] = {
    "guest": (
        "/", "/sign-in", "/runs/{over}", "/runs/{waiting}/progress", "/batches/{batch}", "/jobs/{job}/run",
        "/runs/{over}/steps/{run}/stdout",
        "/analytics_automated/submission/{batch}.json", "/analytics_automated/submission/single/{over}.json",
        "/analytics_automated/endpoints.json", "/analytics_automated/job.json", "/analytics_automated/job/{job}.json",
        "/analytics_automated/jobtimes.json", "/api/v1/jobs", "/api/v1/jobs/{job}", "/api/v1/submissions/{over}",
        "/api/v1/submissions/{over}/results", "/api/v1/submissions/{over}/steps/{run}/logs/stdout", "/healthz",
    ),
    "little": ("/", "/latest", "/runs", "/runs?state=ERROR", "/runs?job=seeded-5", "/runs?text=nothing",
               "/runs/{over}", "/api/v1/submissions", "/api/v1/submissions?job=seeded-5"),
    "much": ("/", "/latest", "/runs", "/runs?state=CRASH", "/runs?job=seeded-5", "/runs?text=run+9",
             "/runs?before=500", "/runs.json", "/api/v1/submissions", "/api/v1/submissions?state=STOPPED",
             "/runs/{waiting}/progress"),
    "admin": (
        "/", "/latest", "/runs", "/runs?state=RUNNING", "/runs?state=ERROR&job=seeded-5", "/runs?job=seeded-9",
        "/runs?text=nothing", "/runs.json", "/runs.csv", "/runs/{over}", "/runs/{over}/progress", "/jobs", "/jobs.json",
        "/jobs/{job}", "/jobs/new", "/tasks", "/tasks.json", "/tasks/{task}", "/tasks/{task}/revisions/1", "/tasks/new",
        "/backends", "/backends.json", "/backends/queues.csv", "/audit", "/audit?kind=run", "/audit?actor=nobody+such",
        "/audit?text=nothing", "/groups", "/groups.json", "/accounts", "/account", "/tokens", "/secrets", "/import",
        "/api/v1/me", "/api/v1/tasks", "/api/v1/tasks/{task}", "/api/v1/tokens", "/api/v1/openapi.json",
    ),
}  # fmt: skip


def main(small: int, large: int) -> None:
    with ExitStack() as opened:
        urls = [os.environ.get(name, "") for name in ("SMALL_URL", "LARGE_URL")]
        if not all(urls):
            cluster = opened.enter_context(servers.postgresql())
            urls = [_seeded(opened, cluster, count) for count in (small, large)]
        broker = opened.enter_context(servers.redis())
        children = [opened.enter_context(_child(url, broker)) for url in urls]
        rounds = [[_asked(child) for child in children] for _ in range(int(os.environ.get("ROUNDS", ROUNDS)) + 1)]
        _print(small, large, rounds[1:])


def _seeded(opened: ExitStack, cluster: str, count: int) -> str:
    url = opened.enter_context(servers.new_database(cluster))
    with tempfile.TemporaryDirectory() as data:
        chosen = {"DATABASE_URL": url, "PORTAL_DATA": data}
        servers.migrate(chosen)
        _say(servers.flask("seed", str(count), "--yes", extra=chosen).strip())
    return url


@contextmanager
def _child(url: str, broker: str) -> Iterator[subprocess.Popen[str]]:
    """A process of its own for each database, as a process has one engine."""
    with tempfile.TemporaryDirectory() as data:
        more = {"DATABASE_URL": url, "BROKER_URL": broker, "PORTAL_DATA": data}
        more |= {"PORTAL_QUEUE_HARD_LIMIT": "", "PORTAL_QUEUE_HOG_SIZE": ""}
        started = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.million", "child"], cwd=servers.ROOT, env=servers.environment(more),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            yield started
        finally:
            if started.stdin:
                started.stdin.close()
            started.wait(30)


def _asked(child: subprocess.Popen[str]) -> Any:
    assert child.stdin and child.stdout
    child.stdin.write("round\n")
    child.stdin.flush()
    return json.loads(child.stdout.readline())


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _print(small: int, large: int, rounds: list[list[dict[str, tuple[float, int]]]]) -> None:
    """Two medians a row, in milliseconds, how many times the one the other is, and the statements."""
    _say(f"| as | what | {small:,} | {large:,} | ratio | statements |\n|---|---|---|---|---|---|")
    for name in rounds[0][0]:
        few, many = ([found[size][name][0] * 1000 for found in rounds] for size in (0, 1))
        statements = max(found[1][name][1] for found in rounds)
        ratio = median(many) / median(few)
        who, _, what = name.partition(" ")
        _say(f"| {who} | {what} | {median(few):.1f} | {median(many):.1f} | {ratio:.2f} | {statements} |")


# In a child


def child() -> None:
    from app import create_app
    from portal.database import engine, transaction
    from portal.domain.policy import Role
    from portal.services import accounts
    from tests.conftest import lift_limits

    random.seed(1)
    with sessionmaker(engine())() as session, transaction(session):
        if not accounts.is_taken(session, "bench"):
            accounts.create(session, "bench", PASSWORD, Role.ADMINISTRATOR, "bench@example.org")
        for name in ("seeded-1", "seeded-9"):
            accounts.change_password(session, accounts.named(session, name), PASSWORD)
    app = create_app()
    app.config.update(WTF_CSRF_ENABLED=False)
    lift_limits(app)
    clients = {who: _client(app, name) for who, name in WHO.items()}
    asked = [*_pages(clients), *_posts(clients), *_questions()]
    counted: list[str] = []
    event.listen(Engine, "after_cursor_execute", lambda *given: counted.append(given[2]))
    for _ in sys.stdin:
        _say(json.dumps(_round(asked, counted)))


def _client(app: Any, name: str) -> Any:
    client = app.test_client()
    if name:
        answer = client.post("/sign-in", data={"name": name, "password": PASSWORD})
        assert answer.status_code in (302, 303), answer.status
    return client


def _pages(clients: Mapping[str, Any]) -> Iterator[Asked]:
    for who, paths in PAGES.items():
        for path in paths:
            yield Asked(f"{who} GET {path}", _get(clients[who], path))


def _get(client: Any, path: str) -> Callable[[Names], object]:
    def get(names: Names) -> None:
        answer = client.get(path.format(**vars(names)))
        assert answer.status_code in (200, 503), (path, answer.status, answer.text[:500])

    return get


def _posts(clients: Mapping[str, Any]) -> Iterator[Asked]:
    def post(names: Names) -> None:
        form = {"job": "seeded-3", "submission_name": "a run", "email": "ann@example.org"}
        sent = {**form, "input_data": (io.BytesIO(b"1\n"), "in.in")}
        answer = clients["guest"].post("/analytics_automated/submission.json", data=sent)
        assert answer.status_code == 201, answer.text

    yield Asked("guest POST /analytics_automated/submission.json", post)


def _questions() -> Iterator[Asked]:
    """What workers ask again and again; what would change something is taken back."""
    from portal.models import Account, Batch
    from portal.services import allowance, keeping, letters, progress, quotas
    from workers import cleaner, sweep

    def mine(session: Session) -> Account:
        return session.scalars(select(Account).where(Account.name == "seeded-1")).one()

    def refusal(session: Session) -> None:
        wanted = select(Batch).where(Batch.account_id == mine(session).id).order_by(Batch.id.desc()).limit(1)
        allowance.refusal(session, session.scalars(wanted).one())

    questions: dict[str, Callable[[Session], object]] = {
        "claim": lambda session: progress.claim(session, ["seeded", "high_seeded"], "bench", "bench"),
        "claim, from a queue with nothing": lambda session: progress.claim(session, ["none"], "bench", "bench"),
        "what is due to be removed": keeping.due,
        "quota of an account": lambda session: quotas.used(session, mine(session), ""),
        "quota of an address": lambda session: quotas.used(session, None, "192.0.2.7"),
        "may a letter go": refusal,
        "how old the database is": cleaner._age,
    }
    for name, question in questions.items():
        yield Asked(f"worker {name}", _taken_back(question))
    yield Asked("worker sweep", lambda _: sweep.sweep())
    yield Asked("worker letters that are due", lambda _: letters.send_due())


def _taken_back(question: Callable[[Session], object]) -> Callable[[Names], object]:
    from portal.database import transaction

    def ask(_: Names) -> None:
        try:
            with transaction() as session:
                question(session)
                raise Undone
        except Undone:
            pass

    return ask


def _round(asked: list[Asked], counted: list[str]) -> dict[str, tuple[float, int]]:
    from portal.database import reading

    found = {}
    for each in asked:
        with reading() as session:
            names = _names(session)
        counted.clear()
        began = time.perf_counter()
        each.ask(names)
        found[each.name] = (time.perf_counter() - began, len(counted))
    return found


def _names(session: Session) -> Names:
    """Of all that is there, something."""
    last = session.scalars(text("SELECT max(id) FROM submission")).one()
    some = random.randint(1, last * 98 // 100)
    over = session.execute(
        text(
            "SELECT s.uuid, b.uuid, r.uuid FROM submission s JOIN batch b ON b.id = s.batch_id "
            "JOIN run r ON r.submission_id = s.id WHERE s.ended IS NOT NULL AND s.id >= :some ORDER BY s.id LIMIT 1"
        ),
        {"some": some},
    ).one()
    waits = (
        "SELECT s.uuid FROM submission s JOIN batch b ON b.id = s.batch_id WHERE s.state = 'QUEUED' AND s.id >= :some"
    )
    waiting = session.scalars(text(f"{waits} ORDER BY s.id LIMIT 1"), {"some": some}).one()
    return Names(over=over[0], batch=over[1], run=over[2], waiting=waiting)


if __name__ == "__main__":
    os.environ.setdefault("PORTAL_LEVEL", "1")
    if sys.argv[1:] == ["child"]:
        child()
    else:
        numbers = [int(each) for each in sys.argv[1:3]] or [1_000, 1_000_000]
        main(*numbers)
