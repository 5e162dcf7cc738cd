"""More than anybody needs: of requests, submissions, guesses. Whoever sends it is slowed down, and nobody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from app import create_app
from portal import queue, rates
from portal.database import now, transaction
from portal.domain.errors import Invalid
from portal.domain.states import State
from portal.models import Account, Batch, Run, Submission
from portal.services import jobs, progress
from portal.settings import Settings, settings
from tests.api.signing import basic, bearer, token
from tests.attacks.raw import FIELDS, MULTIPART, SUBMIT, form, part
from tests.conftest import PASSWORD
from tests.making import make_job, make_task, submitted
from tests.servers import Broker, own_broker

ELSEWHERE = {"REMOTE_ADDR": "192.0.2.7"}
UNKNOWN = "f175c10a-0000-4000-8000-000000000000"
GUESSED = {
    "page": f"/runs/{UNKNOWN}",
    "batch": f"/batches/{UNKNOWN}",
    "contract": f"/analytics_automated/submission/{UNKNOWN}.json",
    "single": f"/analytics_automated/submission/single/{UNKNOWN}.json",
    "file": f"/submissions/{UNKNOWN}.txt",
    "v1": f"/api/v1/submissions/{UNKNOWN}",
    "v1 file": f"/api/v1/submissions/{UNKNOWN}/results/x",
    "v1 archive": f"/api/v1/submissions/{UNKNOWN}/results.zip",
}
MOUTHS = {
    "page": "/sign-in",
    "contract": "/analytics_automated/endpoints.json",
    "v1": "/api/v1/jobs",
    "fragment": "/runs",
    "file": "/submissions/x",
}


@pytest.fixture
def job(session: Session) -> None:
    make_task(session, "count", "command", "wc -w $I1", inputs=(".txt",), stdout=".count")
    make_job(session, "word_count", [(1, "count")])


def portal(**chosen: Any) -> FlaskClient:
    app = create_app(Settings(**chosen))
    app.config["WTF_CSRF_ENABLED"] = False
    return app.test_client()


def send(client: FlaskClient, **more: Any) -> Any:
    return client.post(SUBMIT, data=form(part("input_data", b"x\n", b"a.txt")), content_type=MULTIPART, **more)


def slowed(answer: Any) -> bool:
    return answer.status_code == 429 and int(answer.headers["Retry-After"]) > 0


# Submissions


@pytest.mark.attack("DO-01")
def test_one_client_s_submissions_end_at_a_limit_and_others_go_on(client: FlaskClient, job: object) -> None:
    mine = [send(client) for _ in range(40)]

    assert [answer.status_code for answer in mine] == [201] * 15 + [429] * 25
    assert all(slowed(answer) for answer in mine[15:])
    assert send(client, environ_overrides=ELSEWHERE).status_code == 201


@pytest.mark.attack("DO-01")
def test_what_others_send_runs_before_most_of_it(client: FlaskClient, session: Session, job: object) -> None:
    for _ in range(15):
        send(client)
    theirs = send(client, environ_overrides=ELSEWHERE).get_json()["UUID"]

    order = [claimed(session) for _ in range(16)]
    assert len(set(order)) == 16
    assert order.index(theirs) <= 10


def claimed(session: Session) -> str:
    """The batch of which a worker takes a run next."""
    with transaction(session):
        claim = progress.claim(session, [queue.EVERY], "test", "here")
    assert claim is not None
    found = select(Batch.uuid).join(Submission).join(Run).where(Run.uuid == claim.uuid)
    return session.scalars(found).one()


@pytest.mark.attack("DO-01")
@pytest.mark.parametrize(
    ("path", "names"),
    [(SUBMIT, FIELDS), ("/api/v1/submissions", {"job": "word_count", "name": "x"}), ("/jobs/word_count/run", {})],
)
def test_submissions_have_a_rate_of_their_own(data: Path, job: object, path: str, names: dict[str, str]) -> None:
    client = portal(portal_submit_limit="3 per hour")

    answers = [client.post(path, data=form(fields=names), content_type=MULTIPART) for _ in range(5)]

    assert [slowed(answer) for answer in answers] == [False] * 3 + [True] * 2
    assert "submissions" in answers[-1].text
    assert client.get("/sign-in").status_code == 200
    assert not slowed(client.post(path, data=form(fields=names), content_type=MULTIPART, environ_overrides=ELSEWHERE))


@pytest.mark.attack("DO-01")
def test_one_request_for_hundreds_of_jobs_is_refused(client: FlaskClient, session: Session, job: object) -> None:
    body = form(part("input_data", b"x\n", b"a.txt"), fields=FIELDS | {"job": ",".join(["word_count"] * 101)})

    assert client.post(SUBMIT, data=body, content_type=MULTIPART).status_code == 400
    assert session.scalars(select(Batch)).all() == []


# Requests


@pytest.mark.attack("DO-02")
@pytest.mark.parametrize("mouth", MOUTHS)
def test_one_client_that_asks_without_end_is_slowed_and_others_are_not(data: Path, mouth: str) -> None:
    client = portal(portal_rate_limit="20 per hour")

    answers = [client.get(MOUTHS[mouth]) for _ in range(60)]

    assert [slowed(answer) for answer in answers] == [False] * 20 + [True] * 40
    assert "ask again in" in answers[-1].text
    assert not slowed(client.get(MOUTHS[mouth], environ_overrides=ELSEWHERE))
    assert [client.get(path).status_code for path in ("/static/portal.css", "/healthz")] == [200, 200]


@pytest.mark.attack("DO-02")
def test_each_mouth_refuses_in_its_own_form(data: Path) -> None:
    client = portal(portal_rate_limit="1 per hour")
    client.get("/")

    contract, v1, page = (client.get(MOUTHS[mouth]) for mouth in ("contract", "v1", "page"))

    assert list(contract.get_json()) == ["error"]
    assert (v1.mimetype, v1.get_json()["status"]) == ("application/problem+json", 429)
    assert page.mimetype == "text/html" and "Too Many Requests" in page.text


@pytest.mark.attack("DO-02")
def test_an_account_is_one_wherever_it_asks_from(data: Path, admin: Account) -> None:
    client = portal(portal_rate_limit="20 per hour")
    client.post("/sign-in", data={"name": "admin", "password": PASSWORD})

    answers = [client.get("/runs", environ_overrides={"REMOTE_ADDR": f"192.0.2.{number}"}) for number in range(40)]

    assert [slowed(answer) for answer in answers] == [False] * 20 + [True] * 20


@pytest.mark.attack("DO-02")
@pytest.mark.parametrize("way", ["password", "token"])
def test_an_account_of_programs_is_one_wherever_they_ask_from(
    data: Path, session: Session, admin: Account, way: str
) -> None:
    client = portal(portal_rate_limit="20 per hour")
    header = basic() if way == "password" else token(session, admin, "read")

    answers = [
        client.get("/api/v1/me", headers=header, environ_overrides={"REMOTE_ADDR": f"192.0.2.{number}"})
        for number in range(40)
    ]

    assert [slowed(answer) for answer in answers] == [False] * 20 + [True] * 20


@pytest.mark.attack("DO-02")
def test_a_network_that_one_client_has_to_itself_is_one_client(data: Path) -> None:
    client = portal(portal_rate_limit="10 per hour")

    answers = [client.get("/", environ_overrides={"REMOTE_ADDR": f"2001:db8::{number}"}) for number in range(30)]

    assert sum(slowed(answer) for answer in answers) == 20
    assert not slowed(client.get("/", environ_overrides={"REMOTE_ADDR": "2001:db8:0:1::1"}))


@pytest.mark.attack("DO-02")
@pytest.mark.parametrize(
    "lie", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP", "X-Client-IP", "Cookie"]
)
def test_nobody_is_many_by_saying_so(data: Path, lie: str) -> None:
    client = portal(portal_rate_limit="10 per hour")

    answers = [client.get("/sign-in", headers={lie: f"192.0.2.{number}"}) for number in range(30)]

    assert sum(slowed(answer) for answer in answers) == 20


@pytest.mark.attack("DO-02")
def test_by_default_a_client_that_polls_is_not_slowed(client: FlaskClient, session: Session, job: object) -> None:
    uuid = submitted(session, "word_count").batch.uuid

    answers = [client.get(f"/analytics_automated/submission/{uuid}.json") for _ in range(60)]

    assert {answer.status_code for answer in answers} == {200}


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with own_broker() as running:
        yield running


@pytest.mark.attack("DO-02")
def test_two_processes_count_together(data: Path, broker: Broker) -> None:
    broker.empty()
    first, second = (portal(portal_rate_limit="20 per hour", broker_url=broker.url) for _ in range(2))

    answers = [client.get("/sign-in") for _ in range(20) for client in (first, second)]

    assert sum(slowed(answer) for answer in answers) == 20


def guess(client: FlaskClient, way: str, number: int) -> Any:
    if way == "page":
        return client.post("/sign-in", data={"name": f"ann{number}", "password": "guess"})
    return client.get("/api/v1/me", headers=basic(f"ann{number}") if way == "password" else bearer(f"aa_{number}"))


@pytest.mark.attack("AU-03")
@pytest.mark.parametrize("way", ["page", "password", "token"])
def test_two_processes_count_together_how_often_an_address_tries_to_get_in(
    data: Path, broker: Broker, way: str
) -> None:
    broker.empty()
    processes = [portal(portal_sign_in_limit="4 per hour", broker_url=broker.url) for _ in range(2)]

    answers = [guess(client, way, number) for number, client in enumerate(processes * 6)]

    assert [slowed(answer) for answer in answers] == [False] * 4 + [True] * 8
    assert "There were too many attempts from your address: try again in" in answers[-1].text


@pytest.mark.attack("AU-03")
def test_who_guesses_keeps_no_program_of_the_same_address_out(data: Path, session: Session, admin: Account) -> None:
    client, right = portal(portal_sign_in_limit="2 per hour"), token(session, admin, "read")

    answers = [guess(client, way, number) for way in ("token", "password") for number in range(4)]

    assert [answer.status_code for answer in answers] == [401, 401, 429, 429] * 2
    assert client.get("/api/v1/me", headers=right).status_code == 200


@pytest.mark.attack("DO-02")
@pytest.mark.parametrize("fault", ["freeze", "kill"])
def test_a_broker_that_is_away_fails_no_request_and_frees_nobody(data: Path, broker: Broker, fault: str) -> None:
    client = portal(portal_rate_limit="20 per hour", broker_url=broker.url)
    broker.empty()
    assert client.get("/sign-in").status_code == 200
    getattr(broker, fault)()
    try:
        answers = [client.get("/sign-in") for _ in range(40)]
    finally:
        broker.thaw()
        if fault == "kill":
            broker.start()

    assert [answer.status_code for answer in answers] == [200] * 20 + [429] * 20


@pytest.mark.attack("DO-02")
def test_it_asks_the_broker_again_after_a_while(data: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "SILENCE", 0.0)
    broker.empty()
    client = portal(portal_rate_limit="20 per hour", broker_url=broker.url)
    broker.kill()
    first = client.get("/sign-in")
    broker.start()

    answers = [client.get("/sign-in") for _ in range(30)]

    assert first.status_code == 200
    assert sum(slowed(answer) for answer in answers) == 10


# Guesses


@pytest.mark.attack("DO-05")
@pytest.mark.parametrize("kind", GUESSED)
def test_who_guesses_addresses_is_not_listened_to_for_long(data: Path, kind: str) -> None:
    client = portal(portal_miss_limit="10 per hour")

    answers = [client.get(GUESSED[kind].replace("0000-4000", f"{number:04}-4000")) for number in range(30)]

    assert {answer.status_code for answer in answers[:10]} <= {404, 401}
    if answers[0].status_code == 404:
        assert all(slowed(answer) for answer in answers[10:])
    assert client.get("/sign-in").status_code == 200
    assert not slowed(client.get(GUESSED[kind], environ_overrides=ELSEWHERE))


@pytest.mark.attack("DO-05")
def test_guesses_of_all_kinds_count_together(data: Path) -> None:
    client = portal(portal_miss_limit="8 per hour")

    answers = [client.get(path) for _ in range(4) for path in GUESSED.values()]

    assert sum(answer.status_code == 404 for answer in answers) == 8


@pytest.mark.attack("DO-05")
def test_by_default_a_hundred_guesses_a_minute_are_too_many(client: FlaskClient) -> None:
    assert settings().portal_miss_limit == "100 per minute"
    answers = [client.get(f"/runs/{number}") for number in range(130)]

    assert [answer.status_code for answer in answers[:100]] == [404] * 100
    assert slowed(answers[-1]) or slowed(answers[101])


# Rows without end


@pytest.mark.attack("DO-03")
def test_a_job_of_a_thousand_steps_is_refused_before_a_row_is_made(session: Session) -> None:
    make_task(session, "t", "command", "true")
    steps = tuple(jobs.StepDraft(number, "t") for number in range(1000))

    with pytest.raises(Invalid, match="at most 500 steps"), transaction(session):
        jobs.save(session, jobs.JobDraft("chain", steps=steps), None)
    session.rollback()

    assert jobs.named(session, "chain") is None


@pytest.mark.attack("DO-03")
def test_the_longest_chain_is_accepted_whole(client: FlaskClient, session: Session) -> None:
    make_task(session, "count", "command", "true")
    make_job(session, "word_count", [(number, "count") for number in range(200)])

    assert send(client).status_code == 201
    assert len(session.scalars(select(Run.id)).all()) == 200


@pytest.mark.attack("DO-03")
def test_ten_thousand_queued_rows_hide_nothing_from_a_claim_or_a_list(
    signed_in: FlaskClient, session: Session, job: object
) -> None:
    submission = submitted(session, "word_count")
    [run] = submission.runs
    pile_up(session, submission, run, 10_000)

    answer = signed_in.get("/runs")
    first = claimed(session)

    assert (answer.status_code, first) == (200, submission.batch.uuid)
    plan = session.connection().exec_driver_sql(
        "EXPLAIN QUERY PLAN SELECT id FROM run WHERE state = 'QUEUED' AND queue = 'here' ORDER BY due LIMIT 1"
    )
    assert "ix_run_due" in str(plan.all())


def pile_up(session: Session, submission: Submission, run: Run, count: int) -> None:
    """So many more submissions as this one, in few statements."""
    with transaction(session):
        batch = {column.name: getattr(submission.batch, column.name) for column in Batch.__table__.columns}
        one = {column.name: getattr(submission, column.name) for column in Submission.__table__.columns}
        many = {column.name: getattr(run, column.name) for column in Run.__table__.columns}
        numbers = range(1000, 1000 + count)
        session.execute(
            insert(Batch), [batch | {"id": at, "uuid": f"b{at}", "idempotency_key": None} for at in numbers]
        )
        session.execute(insert(Submission), [one | {"id": at, "uuid": f"s{at}", "batch_id": at} for at in numbers])
        session.execute(insert(Run), [many | {"id": at, "uuid": f"r{at}", "submission_id": at} for at in numbers])


@pytest.mark.attack("DO-04")
def test_runs_wait_for_room_and_go_on_by_themselves(
    client: FlaskClient, session: Session, job: object, work: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert send(client).status_code == 201
    monkeypatch.setenv("PORTAL_DISK_FLOOR_BYTES", str(10**18))
    settings.cache_clear()
    work()
    assert state(session) is State.QUEUED

    monkeypatch.setenv("PORTAL_DISK_FLOOR_BYTES", "0")
    settings.cache_clear()
    with transaction(session):
        session.execute(update(Run).values(due=now()))
    work()
    assert state(session) is State.COMPLETE


def state(session: Session) -> State:
    session.rollback()
    return session.scalars(select(Submission.state)).one()
