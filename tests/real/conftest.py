"""Whole portals, once as `make run` starts them, once apart on PostgreSQL and an external Redis; and a mail server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from playwright.sync_api import Browser, sync_playwright

from tests.real.rest import Client
from tests.servers import Portal, free_port, new_database, portal_apart, portal_in_one, postgresql, redis


class Inbox:
    """A real SMTP server that keeps what it receives."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.arrived = threading.Condition()
        self.controller = Controller(self, hostname="127.0.0.1", port=free_port())

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:  # noqa: N802
        await asyncio.sleep(0)
        with self.arrived:
            self.letters.append(message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[attr-defined]
            self.arrived.notify_all()
        return "250 taken"

    def letter_to(self, address: str, seconds: float = 60) -> EmailMessage:
        with self.arrived:
            assert self.arrived.wait_for(lambda: self._to(address), seconds), f"no letter to {address}"
            return self._to(address)[0]

    def _to(self, address: str) -> list[EmailMessage]:
        return [letter for letter in self.letters if letter["To"] == address]


@pytest.fixture(scope="session")
def inbox() -> Iterator[Inbox]:
    made = Inbox()
    made.controller.start()
    yield made
    made.controller.stop()


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"],
        )
        yield started
        started.close()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def portal(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, inbox: Inbox) -> Iterator[Portal]:
    """A running portal with the bundled examples."""
    data = tmp_path_factory.mktemp(request.param)
    mail = {"MAIL_SERVER": "127.0.0.1", "MAIL_PORT": str(inbox.controller.port), "MAIL_FROM": "portal@example.org"}
    if request.param == "sqlite":
        with portal_in_one(data, mail) as running:
            yield running
    else:
        cluster = request.getfixturevalue("cluster")
        with (
            new_database(cluster) as database,
            redis() as broker,
            portal_apart(data, database, broker, mail) as running,
        ):
            yield running


@pytest.fixture
def rest(portal: Portal) -> Client:
    """The portal as curl sees it."""
    return Client(portal.url)


@pytest.fixture(autouse=True)
def said_on_failure(request: pytest.FixtureRequest) -> Iterator[None]:
    """What the portal's processes said, beside a failed test."""
    yield
    if "portal" in request.fixturenames and getattr(request.node, "failed", False):
        log: Path = request.getfixturevalue("portal").log
        request.node.add_report_section("teardown", "portal", log.read_text(errors="replace")[-5000:])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    if report.when == "call":
        item.failed = report.failed
