"""What tests stand on: a migrated database of their own, a signed-in client, and real servers where they are named."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session, sessionmaker
from xdist.scheduler import LoadScopeScheduling

from app import create_app
from portal import database, queue
from portal.database import transaction
from portal.domain.policy import Role
from portal.models import Account
from portal.services import accounts, configuration
from portal.settings import settings
from tests.making import work_through
from tests.once import leave_alone_what_stays, templates, work_out_once
from tests.postbox import box, postbox  # noqa: F401 - fixtures
from tests.servers import UNCONFINED, migrate

PASSWORD = "correct horse battery"
STARTING_PROGRAMS = ("workers", "examples")
WHOLE_PORTAL = re.compile(r"tests/real/.*\[(?P<kind>sqlite|postgresql)\b")


os.environ.update(UNCONFINED, PORTAL_WARM="false")
accounts.hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # passwords of tests are no secrets
work_out_once()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts the analysts' programs takes its time, as what starts servers does."""
    for item in items:
        if item.path.parent.name in STARTING_PROGRAMS:
            item.add_marker(pytest.mark.real)


class ByPortal(LoadScopeScheduling):
    """The tests of a file run in one process, and so do all tests of one whole portal, as it takes long to start."""

    def _split_scope(self, nodeid: str) -> str:
        started = WHOLE_PORTAL.match(nodeid)
        return started["kind"] if started else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByPortal | None:
    return ByPortal(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    leave_alone_what_stays()


def forget_settings() -> None:
    database.forget()
    settings.cache_clear()
    queue._line.cache_clear()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, made by the migrations once."""
    directory = tmp_path_factory.mktemp("migrated")
    migrate({"PORTAL_DATA": str(directory)})
    return directory / "portal.db"


@pytest.fixture(scope="session")
def stocked(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, configuration.Loaded]:
    """A database with the bundled examples, loaded once, and what they are."""
    directory = tmp_path_factory.mktemp("stocked")
    with portal_in(directory, migrated):
        with sessionmaker(database.engine())() as session, transaction(session):
            loaded = configuration.load_examples(session, None)
        database.engine().dispose()  # with its last connection SQLite puts all that was written into the one file
    return directory / "portal.db", loaded


@contextmanager
def portal_in(directory: Path, kept: Path) -> Iterator[None]:
    """The settings lead to a copy of a kept database; the broker is away, which only makes things slower."""
    shutil.copy(kept, directory / "portal.db")
    with pytest.MonkeyPatch.context() as changing:
        changing.setenv("PORTAL_DATA", str(directory))
        for name in ("DATABASE_URL", "BROKER_URL", "SECRET_KEY", "MAIL_SERVER"):
            changing.delenv(name, raising=False)
        forget_settings()
        yield
    forget_settings()


@pytest.fixture
def data(request: pytest.FixtureRequest, tmp_path: Path, migrated: Path) -> Iterator[Path]:
    """A data directory with an empty portal, or one with the examples where the test asks for them."""
    kept = request.getfixturevalue("stocked")[0] if "examples" in request.fixturenames else migrated
    with portal_in(tmp_path, kept):
        yield tmp_path


@pytest.fixture
def session(data: Path) -> Iterator[Session]:
    with sessionmaker(database.engine())() as opened:
        yield opened


@pytest.fixture
def admin(session: Session) -> Account:
    with transaction(session):
        return accounts.create(session, "admin", PASSWORD, Role.ADMINISTRATOR, "admin@example.org")


@pytest.fixture
def examples(data: Path, stocked: tuple[Path, configuration.Loaded]) -> configuration.Loaded:
    """The bundled example backends, tasks and jobs."""
    return stocked[1]


@pytest.fixture
def app(data: Path) -> Flask:
    made = create_app()
    made.config.update(TESTING=False, WTF_CSRF_ENABLED=False)
    made.jinja_env.bytecode_cache = templates
    return made


def lift_limits(app: Flask, *which: str) -> None:
    """One client may ask (rate), submit, sign in and miss, or do those of these that are named, as often as a test."""
    limits = {f"portal_{what}_limit": "100000 per minute" for what in which or ("sign_in", "rate", "submit", "miss")}
    app.config["PORTAL"] = app.config["PORTAL"].model_copy(update=limits)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def signed_in(client: FlaskClient, admin: Account) -> FlaskClient:
    answer = client.post("/sign-in", data={"name": "admin", "password": PASSWORD})
    assert answer.status_code in (302, 303)
    return client


@pytest.fixture
def work(session: Session) -> Callable[[], None]:
    """Does what is due, and lets the test's own session see it."""

    def until_nothing_is_due() -> None:
        session.rollback()
        work_through()

    return until_nothing_is_due
