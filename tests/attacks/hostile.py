"""A portal on each database for hostile words, and canaries in it: what would tell that something got in."""

from __future__ import annotations

import atexit
import io
import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, literal, select, text, union_all
from sqlalchemy.orm import Session, sessionmaker
from werkzeug.test import TestResponse

from app import create_app
from portal import database
from portal.database import Base, transaction
from portal.domain.drafts import TaskDraft
from portal.domain.policy import Role
from portal.models import Account
from portal.services import accounts, backends, jobs, submissions, tasks
from tests import servers
from tests.conftest import PASSWORD, forget_settings
from tests.making import order

A = "/analytics_automated"
V1 = "/api/v1"
SECRET = "canary-of-the-environment-7f3a"
TAG = "x-canary"
MARKUP = f"<{TAG} onload=alert(1)>\"'>"
PROCESSOR_SECONDS = 4
INTERNALS = ("Traceback (most recent", "sqlalchemy", "psycopg2", 'File "/', SECRET, "/portal/services/")


class Listener:
    """A port of this machine that nobody has a reason to call; `calls` counts who did."""

    def __init__(self) -> None:
        self.calls = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        with suppress(OSError):
            while True:
                self._socket.accept()[0].close()
                self.calls += 1

    def close(self) -> None:
        self._socket.close()


class TooLong(AssertionError):
    """The portal reckoned longer than anybody may make it."""


@contextmanager
def in_time(seconds: float = PROCESSOR_SECONDS) -> Iterator[None]:
    """At most so much of the processor's own time, whoever else uses the machine."""

    def refuse(*_: object) -> None:
        raise TooLong(f"more than {seconds} s")

    former = signal.signal(signal.SIGPROF, refuse)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, former)


class _Scanner(HTMLParser):
    """Notes what no page of the portal has by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [tag] if tag == TAG else []
        self.found += [name for name, _ in attributes if name.startswith("on")]
        self.found += [value for _, value in attributes if value and value.strip().lower().startswith("javascript:")]


def active(page: str) -> list[str]:
    """What of a page somebody else's words made."""
    scanner = _Scanner()
    scanner.feed(page)
    return scanner.found


@dataclass
class Site:
    """One portal. `admin` and `nobody` are browsers; `ask` looks at each answer for what it must never hold."""

    app: Flask
    data: Path
    listener: Listener
    admin: FlaskClient
    nobody: FlaskClient
    others: str = ""
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 10**9)))

    @property
    def canary(self) -> Path:
        """A file that no input may make."""
        return self.data / "canary"

    def name(self, beginning: str = "thing") -> str:
        return f"{beginning}{next(self.numbers)}"

    @contextmanager
    def session(self) -> Iterator[Session]:
        with sessionmaker(database.engine())() as opened:
            yield opened

    def counts(self) -> dict[str, int]:
        """How many rows each table has."""
        tables = Base.metadata.tables
        each = [select(literal(name), func.count()).select_from(table) for name, table in tables.items()]
        with self.session() as session:
            return {row[0]: row[1] for row in session.execute(union_all(*each))}

    def ask(self, method: str, path: str, client: FlaskClient | None = None, **options: Any) -> TestResponse:
        """Ask, and see that the answer is none of the portal's faults and tells nothing of its inside."""
        with in_time():
            answer: TestResponse = (client or self.admin).open(path, method=method, **options)
        self.check(answer)
        return answer

    def check(self, answer: TestResponse) -> None:
        assert answer.status_code < 500, answer.get_data(as_text=True)[:2000]
        words = answer.get_data(as_text=True) if answer.mimetype != "application/octet-stream" else ""
        assert not [each for each in INTERNALS if each in words]
        if answer.mimetype == "text/html":
            assert not active(words)
        self.alarm()

    def alarm(self) -> None:
        assert not self.canary.exists()
        assert not self.listener.calls
        with self.session() as session:
            assert session.scalar(text("SELECT state FROM submission WHERE uuid = :uuid"), {"uuid": self.others})

    def json(self, method: str, path: str, body: Any, **options: Any) -> TestResponse:
        """To the API; a body that is no text already is sent as JSON."""
        sent = body if isinstance(body, str | bytes) else json.dumps(body)
        return self.ask(method, V1 + path, data=sent, content_type="application/json", **options)

    def task(self, name: str, code: str = "cat $I1", language: str = "command", **more: Any) -> None:
        with self.session() as session, transaction(session):
            tasks.save(session, TaskDraft(name, language, "here", code, **{"inputs": (".txt",), **more}), None)

    def job(self, name: str, *steps: str, **more: Any) -> None:
        """A public job of these tasks, one after the other."""
        drafts = tuple(jobs.StepDraft(order, task) for order, task in enumerate(steps))
        with self.session() as session, transaction(session):
            jobs.save(session, jobs.JobDraft(name, public=True, steps=drafts, **more), None)

    def service(self, code: str = "cat $I1", language: str = "command", **more: Any) -> str:
        """The name of a new task, and of a new public job of it."""
        name = self.name("service")
        self.task(name, code, language, **{"stdout": ".out", **more})
        self.job(name, name)
        return name


def form(job: str, values: Mapping[str, Any] | None = None, content: bytes = b"x\n", **more: Any) -> dict[str, Any]:
    """The fields of a submission to the first system's contract."""
    own = {"job": job, "submission_name": "probe", "email": "ann@example.org", "input_data": upload(content)}
    return {**own, **(values or {}), **more}


def upload(content: bytes = b"x\n", name: str = "in.txt") -> tuple[io.BytesIO, str]:
    return io.BytesIO(content), name


def by_contract(site: Site, job: str, values: Mapping[str, Any], **more: Any) -> TestResponse:
    return site.ask("POST", f"{A}/submission.json", site.nobody, data=form(job, values, **more))


def by_api(site: Site, job: str, values: Mapping[str, Any], **more: Any) -> TestResponse:
    fields = {"job": job, "name": "probe", "email": "ann@example.org", "input_data": upload(), **values, **more}
    return site.ask("POST", f"{V1}/submissions", site.nobody, data=fields, content_type="multipart/form-data")


def by_page(site: Site, job: str, values: Mapping[str, Any], **more: Any) -> TestResponse:
    given = {f"p.{name}": value for name, value in values.items()}
    fields = {"submission_name": "probe", "email": "ann@example.org", "input_data": upload(), **given, **more}
    return site.ask("POST", f"/jobs/{job}/run", site.nobody, data=fields, content_type="multipart/form-data")


WAYS: tuple[Callable[..., TestResponse], ...] = (by_contract, by_api, by_page)


@cache
def cluster() -> str:
    """One PostgreSQL for all that this process tests, with an empty portal in it to be copied."""
    stack = ExitStack()
    atexit.register(stack.close)
    url = stack.enter_context(servers.postgresql())
    servers.execute(url, "CREATE DATABASE empty")
    servers.migrate({"DATABASE_URL": f"{url.rpartition('/')[0]}/empty"})
    return url


@contextmanager
def copied_database() -> Iterator[str]:
    """An empty portal's database in PostgreSQL."""
    with servers.new_database(cluster(), "empty") as made:
        yield made


@contextmanager
def portal_on(kind: str, data: Path, migrated: Path) -> Iterator[Site]:
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        for name in ("BROKER_URL", "SECRET_KEY", "MAIL_SERVER", "DATABASE_URL"):
            patch.delenv(name, raising=False)
        for name in ("PORTAL_QUEUE_HOG_SIZE", "PORTAL_QUEUE_HARD_LIMIT"):
            patch.setenv(name, "")
        for what in ("SIGN_IN", "RATE", "SUBMIT", "MISS"):
            patch.setenv(f"PORTAL_{what}_LIMIT", "100000 per minute")
        patch.setenv("PORTAL_DATA", str(data))
        patch.setenv("A_SECRET_OF_THE_SERVICE", SECRET)
        if kind == "postgresql":
            patch.setenv("DATABASE_URL", stack.enter_context(copied_database()))
        else:
            (data / "portal.db").write_bytes(migrated.read_bytes())
        forget_settings()
        listener = Listener()
        stack.callback(listener.close)
        try:
            yield _furnished(data, listener)
        finally:
            database.engine().dispose()
            forget_settings()


def _furnished(data: Path, listener: Listener) -> Site:
    app = create_app()
    app.config.update(TESTING=False, WTF_CSRF_ENABLED=False)
    site = Site(app, data, listener, app.test_client(), app.test_client())
    with site.session() as session, transaction(session):
        accounts.create(session, "admin", PASSWORD, Role.ADMINISTRATOR, "admin@example.org")
        accounts.create(session, "bob", PASSWORD, Role.SUBMITTER, "bob@example.org")
        backends.save(session, backends.BackendDraft("here", "local", "here", ("command", "python", "r")))
    site.admin.post("/sign-in", data={"name": "admin", "password": PASSWORD})
    site.others = _submission_of_somebody_else(site)
    return site


def _submission_of_somebody_else(site: Site) -> str:
    job = site.service()
    with site.session() as session:
        bob = session.scalars(select(Account).where(Account.name == "bob")).one()
        return submissions.submit(session, order(job, account=bob)).submissions[0].uuid


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Site]:
    with portal_on(request.param, tmp_path_factory.mktemp(request.param), migrated) as made:
        yield made
