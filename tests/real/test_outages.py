"""A database, a broker or a disk that is away: who asks is told to come again; nothing accepted is lost or doubled."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from app import create_app
from portal import database, queue
from portal.domain.errors import Unavailable
from portal.models import Batch, Submission
from portal.services import submissions
from tests import making
from tests.conftest import forget_settings
from tests.examples.running import PENGUINS
from tests.proxy import CuttingProxy
from tests.real.rest import Client
from tests.servers import (
    ADMIN_PASSWORD,
    Broker,
    Cluster,
    Portal,
    eventually,
    migrate,
    new_database,
    own_broker,
    own_cluster,
    portal_apart,
)

pytestmark = pytest.mark.real

FIELDS = {"job": "word_count", "submission_name": "a run", "email": "ann@example.org"}
SUBMISSION = [
    "/analytics_automated/submission.json",
    *(part for name, value in FIELDS.items() for part in ("-F", f"{name}={value}")),
    "-F",
    f"input_data=@{PENGUINS}",
]
AWAY = {"error": "The portal's database does not answer: try again in a minute."}


# Commits whose answer is lost


@pytest.fixture
def proxy(cluster: str) -> Iterator[CuttingProxy]:
    with new_database(cluster) as url:
        made = CuttingProxy(url)
        yield made
        made.close()


@pytest.fixture
def session(proxy: CuttingProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A session on PostgreSQL through the proxy, and a job to submit to."""
    for name, value in {"DATABASE_URL": proxy.url, "PORTAL_DATA": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    migrate({"DATABASE_URL": proxy.url, "PORTAL_DATA": str(tmp_path)})
    forget_settings()
    with sessionmaker(database.engine())() as opened:
        making.make_task(opened, "t", "command", "true")
        making.make_job(opened, "job", [(1, "t")])
        yield opened
    database.engine().dispose()
    forget_settings()


def kept(session: Session, data: Path) -> tuple[int, int, int]:
    """How many batches, submissions and uploads there are."""
    session.rollback()
    uploads = [path for path in (data / "files" / "uploads").glob("*") if path.is_file()]
    batches, runs = (session.scalars(select(func.count(kind.id))).one() for kind in (Batch, Submission))
    return batches, runs, len(uploads)


@pytest.mark.parametrize("fault", ["lose_answers", "lose_commits"])
@pytest.mark.parametrize("times", [1, 3])
def test_an_order_whose_commit_breaks_is_accepted_once(
    session: Session, proxy: CuttingProxy, tmp_path: Path, fault: str, times: int
) -> None:
    getattr(proxy, fault)(times)

    batch = submissions.submit(session, making.order("job"))

    assert (batch.name, proxy.lost) == ("a test", 1 if fault == "lose_answers" else times)
    assert kept(session, tmp_path) == (1, 1, 1)


def test_an_order_that_may_have_been_accepted_keeps_its_file_until_it_is_asked_again(
    session: Session, proxy: CuttingProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submissions, "PATIENCE", 0.5)
    order = replace(making.order("job"), idempotency_key="once")
    proxy.lose_answers(1)
    proxy.refuse_after_loss()

    with pytest.raises(Unavailable):
        submissions.submit(session, order)
    proxy.allow()

    assert kept(session, tmp_path) == (1, 1, 1)
    assert submissions.submit(session, replace(making.order("job"), idempotency_key="once"))
    assert kept(session, tmp_path) == (1, 1, 1)


def test_an_order_that_never_reached_the_database_leaves_nothing(
    session: Session, proxy: CuttingProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submissions, "PATIENCE", 0.5)
    monkeypatch.setattr(submissions.checking, "check", lambda *_: proxy.refuse())

    with pytest.raises(Unavailable):
        submissions.submit(session, making.order("job"))
    proxy.allow()

    assert kept(session, tmp_path) == (0, 0, 0)


def test_an_answer_that_is_made_outlives_the_connection_that_it_was_read_by(
    session: Session, proxy: CuttingProxy
) -> None:
    app = create_app()

    @app.after_request
    def cut(response: Response) -> Response:
        proxy.cut()
        return response

    client = app.test_client()

    assert [client.get("/analytics_automated/endpoints.json").status_code for _ in range(3)] == [200] * 3


# Servers that are away


@pytest.fixture(scope="module")
def stoppable() -> Iterator[Cluster]:
    with own_cluster() as made:
        yield made


@pytest.fixture(scope="module")
def freezable() -> Iterator[Broker]:
    with own_broker() as made:
        yield made


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory, stoppable: Cluster, freezable: Broker) -> Iterator[Portal]:
    data = tmp_path_factory.mktemp("apart")
    with portal_apart(data, stoppable.url, freezable.url) as running:
        yield running


@pytest.fixture
def rest(portal: Portal) -> Client:
    return Client(portal.url)


def asked(portal: Portal, path: str, *words: str) -> tuple[int, str, str]:
    """The status, the Retry-After and the body of an answer, which comes within the time."""
    command = ["curl", "-sS", "-m", "30", "-D", "-", *words, f"{portal.url}{path}"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    head, _, body = said.replace("\r\n", "\n").partition("\n\n")
    retry = re.search(r"^Retry-After: (\d+)$", head, re.MULTILINE | re.IGNORECASE)
    return int(head.split()[1]), retry[1] if retry else "", body


def signed_in(portal: Portal, jar: Path) -> list[str]:
    """What makes curl send an administrator's session."""
    _, _, form = asked(portal, "/sign-in", "-c", str(jar))
    token = re.search(r'name="csrf_token" value="([^"]+)"', form)
    assert token
    words = [f"csrf_token={token[1]}", "name=admin", f"password={ADMIN_PASSWORD}"]
    data = [part for word in words for part in ("--data-urlencode", word)]
    assert asked(portal, "/sign-in", "-b", str(jar), "-c", str(jar), *data)[0] in (302, 303)
    return ["-b", str(jar)]


def assert_away(portal: Portal, session: list[str]) -> None:
    for path, *words in (
        ["/runs", *session],
        ["/nothing-here", *session],
        ["/jobs/word_count/run"],
        ["/analytics_automated/endpoints.json"],
        SUBMISSION,
    ):
        status, retry, body = asked(portal, path, *words)
        assert (status, retry.isdigit(), "Traceback" in body) == (503, True, False), path
        if path.endswith(".json"):
            assert json.loads(body) == AWAY
    assert asked(portal, "/static/portal.css")[0] == 200


def test_a_database_that_dies_is_missed_and_welcomed_back(
    portal: Portal, rest: Client, stoppable: Cluster, tmp_path: Path
) -> None:
    session = signed_in(portal, tmp_path / "jar")
    accepted = rest.post(PENGUINS, **FIELDS)
    stoppable.stop()
    try:
        assert_away(portal, session)
    finally:
        stoppable.start()

    assert eventually(lambda: asked(portal, "/runs", *session)[0] == 200, 10)
    assert rest.ended(accepted["UUID"])["state"] == "Complete"
    assert rest.ended(rest.post(PENGUINS, **FIELDS)["UUID"])["state"] == "Complete"


def test_connections_that_the_database_ends_are_not_noticed(
    portal: Portal, rest: Client, stoppable: Cluster, tmp_path: Path
) -> None:
    session = signed_in(portal, tmp_path / "jar")
    for _ in range(3):
        stoppable.terminate_backends()
        assert asked(portal, "/runs", *session)[0] == 200
    stoppable.restart()
    assert asked(portal, "/runs", *session)[0] == 200


def test_a_frozen_database_holds_nobody_for_ever(portal: Portal, stoppable: Cluster, tmp_path: Path) -> None:
    session = signed_in(portal, tmp_path / "jar")
    stoppable.freeze()
    try:
        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(lambda _: asked(portal, "/runs", *session), range(16)))
    finally:
        stoppable.thaw()

    assert {status for status, _, _ in answers} == {503}
    assert eventually(lambda: asked(portal, "/runs", *session)[0] == 200, 10)


@pytest.mark.parametrize("fault", ["freeze", "kill"])
def test_work_is_accepted_at_once_and_done_though_no_broker_answers(
    portal: Portal, rest: Client, freezable: Broker, fault: str
) -> None:
    getattr(freezable, fault)()
    try:
        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(lambda _: asked(portal, *SUBMISSION), range(32)))
        states = [rest.ended(json.loads(body)["UUID"])["state"] for _, _, body in answers]
    finally:
        freezable.thaw()
        if fault == "kill":
            freezable.start()

    assert states == ["Complete"] * 32
    assert rest.ended(rest.post(PENGUINS, **FIELDS)["UUID"])["state"] == "Complete"


def test_words_for_a_queue_that_nobody_serves_do_not_pile_up(freezable: Broker) -> None:
    line = queue.Line(freezable.url)

    for _ in range(queue.ENOUGH + 20):
        line.send("wake", "nobody")
        eventually(lambda: not line.unsent, pause=0.001)

    assert eventually(lambda: freezable.length("nobody") == queue.ENOUGH)
