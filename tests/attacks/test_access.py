"""Attacks on what belongs to others: guessed names, borrowed roles, fields that are nobody's to set, races."""

from __future__ import annotations

import itertools
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from app import create_app
from portal import database
from portal.database import transaction
from portal.domain.policy import Role
from portal.domain.states import State
from portal.models import Account, Batch, Job, Message, Submission
from portal.services import accounts, backends, jobs, keeping, letters, submissions, tasks
from portal.services.backends import BackendDraft
from portal.settings import Settings, settings
from tests.api.service import A, upload
from tests.api.signing import basic, token
from tests.attacks.world import QUEUE, finished, service
from tests.conftest import PASSWORD, forget_settings, lift_limits
from tests.making import order

V1 = "/api/v1"
OTHERS = [
    "/runs/{uuid}",
    "/runs/{uuid}/progress",
    "/runs/{uuid}/results/{file}",
    "/runs/{uuid}/results/{file}/preview",
    "/runs/{uuid}/steps/{step}/stdout",
    "/batches/{batch}",
    "/submissions/{file}",
    f"{A}/submissions/{{file}}",
    f"{A}/submission/{{batch}}.json",
    f"{A}/submission/single/{{uuid}}.json",
    f"{V1}/submissions/{{uuid}}",
    f"{V1}/submissions/{{uuid}}?wait=1",
    f"{V1}/submissions/{{uuid}}/results",
    f"{V1}/submissions/{{uuid}}/results.zip",
    f"{V1}/submissions/{{uuid}}/results/{{file}}",
    f"{V1}/submissions/{{uuid}}/steps/{{step}}/logs/stderr",
]
CHANGES = ["stop", "delete", "resume", "share"]


@dataclass(frozen=True)
class Scene:
    """ann, an analyst, has a private job that bob and eve may not even see; each has a run."""

    ann: Account
    bob: Account
    secret: Job
    hers: Submission
    his: Submission

    def parts(self, submission: Submission) -> dict[str, str]:
        [step], [result] = submission.runs, submission.results
        return {"uuid": submission.uuid, "batch": submission.batch.uuid, "step": step.uuid, "file": result.name}


@pytest.fixture(scope="module")
def scenery(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Path:
    """The data directory of the scene, made once."""
    directory = tmp_path_factory.mktemp("scenery")
    shutil.copy(migrated, directory / "portal.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PORTAL_DATA", str(directory))
        patch.delenv("DATABASE_URL", raising=False)
        forget_settings()
        with sessionmaker(database.engine())() as session:
            _set(session)
        database.engine().dispose()
    forget_settings()
    return directory


def _set(session: Session) -> None:
    with transaction(session):
        backends.save(session, BackendDraft(QUEUE, "local", QUEUE, ("command",)))
        roles = {"ann": Role.ANALYST, "bob": Role.SUBMITTER, "eve": Role.ANALYST}
        ann, bob, _ = (accounts.create(session, name, PASSWORD, role) for name, role in roles.items())
    finished(session, service(session, ann, "secret_recipe", False), ann)
    finished(session, service(session, ann, "for_everybody", True, open_links=False), bob)


@pytest.fixture
def scene(scenery: Path, data: Path, session: Session) -> Scene:
    shutil.copytree(scenery, data, dirs_exist_ok=True)
    hers, his = session.scalars(select(Submission).order_by(Submission.id)).all()
    return Scene(
        accounts.named(session, "ann"), accounts.named(session, "bob"), jobs.get(session, "secret_recipe"), hers, his
    )


@pytest.fixture
def unlimited(app: Flask) -> None:
    lift_limits(app)


def browser(app: Flask, name: str) -> FlaskClient:
    client = app.test_client()
    assert client.post("/sign-in", data={"name": name, "password": PASSWORD}).status_code in (302, 303)
    return client


# Guessing


@pytest.mark.attack("AZ-02")
def test_it_names_runs_so_that_no_neighbour_is_found(session: Session, scene: Scene) -> None:
    found = [finished(session, scene.secret, scene.ann) for _ in range(4)]
    names = [name for each in found for name in (each.uuid, each.batch.uuid, each.runs[0].uuid)]

    versions = {name[14] for name in names}
    shared = [_digits_in_common(one, other) for one, other in itertools.pairwise(names)]
    assert versions == {"4"}, "they are random, not made of a clock and a machine"
    assert max(shared) < 16


def _digits_in_common(one: str, other: str) -> int:
    digits = (name.replace("-", "") for name in (one, other))
    return sum(a == b for a, b in zip(*digits, strict=True))


@pytest.mark.attack("AZ-02")
@pytest.mark.parametrize(
    "address",
    [
        "/runs/{}",
        "/batches/{}",
        f"{A}/submission/{{}}.json",
        f"{A}/submission/single/{{}}.json",
        f"{V1}/submissions/{{}}",
        "/submissions/{}.txt",
    ],
)
def test_it_lets_an_address_guess_a_hundred_times_a_minute(app: Flask, client: FlaskClient, address: str) -> None:
    lift_limits(app, "rate")

    answers = [client.get(address.format(uuid4())).status_code for _ in range(103)]

    assert answers == [404] * 100 + [429] * 3


@pytest.mark.attack("AZ-02")
def test_it_counts_no_guess_where_a_known_run_has_no_file_yet(
    app: Flask, client: FlaskClient, session: Session
) -> None:
    lift_limits(app, "rate")
    with transaction(session):
        backends.save(session, BackendDraft(QUEUE, "local", QUEUE, ("command",)))
    submission = finished(session, service(session, None, "open", True), None)

    waited = [client.get(f"/submissions/{submission.uuid}.later.txt").status_code for _ in range(110)]

    assert waited == [404] * 110
    assert client.get(f"/runs/{submission.uuid}").status_code == 200


# What others have


@pytest.mark.attack("AZ-03", "AZ-05")
@pytest.mark.parametrize("address", OTHERS)
@pytest.mark.parametrize("who", ["nobody", "bob", "eve"])
def test_it_hides_what_others_have(
    app: Flask, unlimited: None, session: Session, scene: Scene, address: str, who: str
) -> None:
    client = app.test_client() if who == "nobody" else browser(app, who)

    answer = client.get(address.format(**scene.parts(scene.hers)))

    assert answer.status_code == 404
    assert b"a result of somebody" not in answer.data and b"secret_recipe" not in answer.data


@pytest.mark.attack("AZ-05")
@pytest.mark.parametrize(
    "address", [each for each in OTHERS if "{uuid}" in each and ("{file}" in each or "{step}" in each)]
)
def test_it_gives_nothing_of_others_under_ones_own_run(app: Flask, unlimited: None, scene: Scene, address: str) -> None:
    own, other = scene.parts(scene.his), scene.parts(scene.hers)

    mixed = {**other, "uuid": own["uuid"]}

    assert browser(app, "bob").get(address.format(**own)).status_code == 200
    assert browser(app, "bob").get(address.format(**mixed)).status_code == 404


@pytest.mark.attack("AZ-03")
def test_it_tells_a_runs_address_to_nobody_but_its_owner(app: Flask, session: Session, scene: Scene) -> None:
    page = browser(app, "bob").get(f"/runs/{scene.his.uuid}")

    assert page.headers["Referrer-Policy"] in ("no-referrer", "same-origin")
    assert not re.search(r'href="https?://(?!localhost)', page.text)
    assert scene.his.uuid not in browser(app, "eve").get("/runs").text


@pytest.mark.attack("AZ-03")
def test_no_log_opens_a_run(scene: Scene, capfd: pytest.CaptureFixture[str]) -> None:
    client = create_app(Settings(portal_log_level="info")).test_client()
    parts = scene.parts(scene.his)

    for address in OTHERS:
        client.get(address.format(**parts))
        client.get(address.format(**parts), headers=basic(password="wrong"))

    log = capfd.readouterr().err
    assert f"/runs/{parts['uuid'][:8]}-***" in log, "who has the machine finds a run by this"
    assert [each for each in (parts["uuid"], parts["batch"], parts["step"]) if each in log] == []


@pytest.mark.attack("AZ-03")
def test_it_writes_no_runs_address_into_the_subject_of_a_mail(session: Session, scene: Scene) -> None:
    subject = letters._subject(scene.his.batch)

    assert subject and not [name for name in (scene.his.uuid, scene.his.batch.uuid) if name in subject]


@pytest.mark.attack("AZ-04")
@pytest.mark.parametrize("who", ["bob", "eve"])
@pytest.mark.parametrize(
    "address",
    [
        "/", "/latest", "/runs", "/runs.json", "/runs.csv", "/runs?text=a", "/runs?job=secret_recipe&state=COMPLETE",
        "/runs?before=999999", "/jobs", "/jobs.json", "/jobs.csv", "/tasks", "/tasks.json", "/tasks.csv", "/tokens",
        f"{A}/job.json", f"{A}/endpoints.json", f"{A}/jobtimes.json", f"{V1}/jobs", f"{V1}/tasks", f"{V1}/submissions",
        f"{V1}/submissions?job=secret_recipe", f"{V1}/tokens",
    ],
)  # fmt: skip
def test_it_lists_and_counts_nothing_of_others(
    app: Flask, unlimited: None, scene: Scene, address: str, who: str
) -> None:
    answer = browser(app, who).get(address)

    assert answer.status_code in (200, 403)
    hers = (scene.hers.uuid, scene.hers.batch.uuid, ">secret_recipe<", '"secret_recipe"', "secret_recipe,")
    assert not [each for each in hers if each in answer.text.replace("<option selected>secret_recipe<", "")]


@pytest.mark.attack("AZ-04")
@pytest.mark.parametrize("address", ["/", "/latest", "/runs", "/runs.json", "/runs.csv", f"{V1}/submissions"])
def test_it_lists_no_run_that_only_its_link_opens(app: Flask, session: Session, scene: Scene, address: str) -> None:
    open_run = finished(session, service(session, scene.ann, "open", True), scene.ann)
    bob = browser(app, "bob")

    assert bob.get(f"/runs/{open_run.uuid}").status_code == 200
    assert open_run.uuid not in bob.get(address).text
    assert open_run.uuid in browser(app, "ann").get(address).text


@pytest.mark.attack("AZ-04")
def test_it_pages_through_nothing_of_others(app: Flask, session: Session, scene: Scene) -> None:
    for _ in range(3):
        finished(session, scene.secret, scene.ann)

    found = app.test_client().get(f"{V1}/submissions?limit=2", headers=basic("bob"))

    assert [each["uuid"] for each in found.get_json()["submissions"]] == [scene.his.uuid]
    assert "Link" not in found.headers


# Keys that are good for something else


@pytest.mark.attack("AZ-06")
def test_it_opens_nothing_by_the_address_of_a_run_that_is_deleted(
    app: Flask, unlimited: None, session: Session, scene: Scene
) -> None:
    open_run = finished(session, service(session, scene.ann, "open", True), None)
    parts = scene.parts(open_run)
    client = app.test_client()
    assert [client.get(each.format(**parts)).status_code for each in OTHERS] == [200] * len(OTHERS)
    with transaction(session):
        keeping.delete(session, open_run)
    keeping.remove(open_run.id)

    assert {client.get(each.format(**parts)).status_code for each in OTHERS} == {404}


@pytest.mark.attack("AZ-06")
@pytest.mark.parametrize("address", OTHERS)
def test_it_answers_head_as_it_answers_get(app: Flask, unlimited: None, scene: Scene, address: str) -> None:
    where = address.format(**scene.parts(scene.hers))

    assert app.test_client().head(where).status_code == 404
    assert browser(app, "ann").head(where).status_code == 200


@pytest.mark.attack("AZ-06")
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-9] + chr(ord("B") - (text[-9] == "B")) + text[-8:],
        lambda text: text[1:],
        lambda text: "",
        str.upper,
    ],
)
def test_it_imports_by_no_token_that_was_edited(signed_in: FlaskClient, session: Session, change: Any) -> None:
    page = signed_in.post("/import", data={"files": [upload(b"backends: []\n", "x.yaml")]}).text
    made = re.search(r'name="token" value="([^"]+)"', page)
    assert made

    answer = signed_in.post("/import/now", data={"token": change(made[1])})

    assert (answer.status_code, answer.location) == (303, "/import")


@pytest.mark.attack("AZ-06")
def test_a_token_for_one_job_opens_no_run_of_another(
    app: Flask, unlimited: None, session: Session, scene: Scene
) -> None:
    finished(session, service(session, scene.ann, "another_recipe", False), scene.ann)
    narrow = token(session, scene.ann, "job:another_recipe")

    addresses = [each.format(**scene.parts(scene.hers)) for each in OTHERS if each.startswith((V1, A))]

    answers = {where: app.test_client().get(where, headers=narrow).status_code for where in addresses}
    assert set(answers.values()) == {404}, answers
    for act in ("stop", "resume", "rerun"):
        where = f"{V1}/submissions/{scene.hers.uuid}/{act}"
        assert app.test_client().post(where, headers=narrow).status_code == 404


# Fields that nobody may set


FORBIDDEN = {
    "state": "COMPLETE", "owner_id": 1, "owner": "bob", "account_id": 1, "priority": 2, "queue": "high_x",
    "lease": "2099-01-01", "attempt": 9, "created": "1999-01-01", "id": 1, "author_id": 1, "number": 99,
}  # fmt: skip


@pytest.mark.attack("AZ-07")
@pytest.mark.parametrize("field", FORBIDDEN)
def test_it_takes_no_field_by_program_that_is_its_own(app: Flask, session: Session, scene: Scene, field: str) -> None:
    client, body = app.test_client(), {field: FORBIDDEN[field]}
    headers = {**basic("ann"), "If-Match": "*"}
    before = told(session)

    answers = [
        client.put(f"{V1}/jobs/secret_recipe", headers=headers, json={"name": "secret_recipe", **body}),
        client.post(f"{V1}/jobs", headers=headers, json={"name": "x", **body}),
        client.post(f"{V1}/submissions/{scene.hers.uuid}/resume", headers=headers, json=body),
        client.post(f"{V1}/tokens", headers=headers, json={"name": "x", "scopes": ["read"], **body}),
        client.patch(f"{V1}/submissions/{scene.hers.uuid}", headers=headers, json=body),
    ]

    assert [answer.status_code for answer in answers] == [422, 422, 422, 422, 405]
    assert told(session) == before


@pytest.mark.attack("AZ-07")
def test_it_takes_no_field_of_a_form_that_is_its_own(app: Flask, session: Session, scene: Scene) -> None:
    eve = browser(app, "eve")
    eve.post("/jobs/new", data={"name": "hers", **{name: str(value) for name, value in FORBIDDEN.items()}})
    session.rollback()
    made = jobs.get(session, "hers")

    assert (made.owner and made.owner.name, made.current.number, made.current.author.name) == ("eve", 1, "eve")  # type: ignore[union-attr]


@pytest.mark.attack("AZ-07")
def test_it_takes_no_field_of_a_submission_that_is_its_own(app: Flask, session: Session, scene: Scene) -> None:
    service(session, scene.ann, "open", True)
    fields = {name: str(value) for name, value in FORBIDDEN.items()}
    answer = app.test_client().post(
        f"{A}/submission.json",
        data={"job": "open", "submission_name": "x", "email": "x@example.org", "input_data": upload(b"x"), **fields},
    )

    assert answer.status_code == 201
    batch = session.scalars(select(Batch).where(Batch.uuid == answer.get_json()["UUID"])).one()
    [submission] = batch.submissions
    assert (batch.account_id, submission.state, submission.runs[0].attempt) == (None, State.QUEUED, 0)
    assert submission.runs[0].queue == QUEUE


def told(session: Session) -> list[tuple[Any, ...]]:
    session.rollback()
    every = session.execute(select(Job.name, Job.owner_id, Job.public)).all()
    runs = session.execute(select(Submission.uuid, Submission.state, Submission.batch_id)).all()
    return [*map(tuple, every), *map(tuple, runs)]


# Borrowed roles


@pytest.mark.attack("AZ-08", "CE-10")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "tasks", {"name": "x", "language": "command", "backend": QUEUE, "code": "id"}),
        ("PUT", "tasks/for_everybody", {"name": "x", "language": "command", "backend": QUEUE, "code": "id"}),
        ("DELETE", "tasks/for_everybody", None),
        ("GET", "tasks/for_everybody", None),
        ("GET", "tasks", None),
        ("POST", "jobs", {"name": "x"}),
        ("PUT", "jobs/for_everybody", {"name": "for_everybody"}),
        ("DELETE", "jobs/for_everybody", None),
    ],
)
def test_it_lets_no_submitter_write(
    app: Flask, session: Session, scene: Scene, method: str, path: str, body: dict[str, Any] | None
) -> None:
    headers = {**basic("bob"), "If-Match": "*"}
    for sent in (headers, {**token(session, scene.bob, "edit", "read", "run"), "If-Match": "*"}):
        assert app.test_client().open(f"{V1}/{path}", method=method, headers=sent, json=body).status_code == 403

    assert [each.current.number for each in (*tasks.every(session), *jobs.every(session))] == [1, 1, 1, 1]


@pytest.mark.attack("CE-10")
@pytest.mark.parametrize(("name", "status"), [("for_everybody", 403), ("secret_recipe", 404), ("never_was", 404)])
def test_it_lets_no_analyst_edit_what_others_wrote(
    app: Flask, session: Session, scene: Scene, name: str, status: int
) -> None:
    eve, headers = browser(app, "eve"), {**basic("eve"), "If-Match": "*"}
    task = {"name": name, "language": "command", "backend": QUEUE, "code": "id"}
    answers = [
        eve.post(f"/tasks/{name}", data=task),
        eve.post(f"/tasks/{name}/delete"),
        eve.post(f"/jobs/{name}", data={"name": name}),
        eve.post(f"/jobs/{name}/delete"),
        app.test_client().put(f"{V1}/tasks/{name}", headers=headers, json=task),
        app.test_client().delete(f"{V1}/tasks/{name}", headers=headers),
        app.test_client().put(f"{V1}/jobs/{name}", headers=headers, json={"name": name}),
        app.test_client().delete(f"{V1}/jobs/{name}", headers=headers),
    ]

    assert [answer.status_code for answer in answers] == [status] * len(answers)
    assert [each.current.number for each in (*tasks.every(session), *jobs.every(session))] == [1, 1, 1, 1]


@pytest.mark.attack("CE-10")
def test_it_puts_no_task_of_others_into_a_job_that_they_do_not_show(app: Flask, session: Session, scene: Scene) -> None:
    draft = {"name": "stolen", "steps": [{"order": 1, "task": "secret_recipe"}]}
    preview = {"name": "stolen", "steps-0-order": "1", "steps-0-task": "secret_recipe"}

    answer = app.test_client().post(f"{V1}/jobs", headers=basic("eve"), json=draft)

    assert answer.status_code == 422 and "there is no secret_recipe" in answer.text
    hidden = browser(app, "eve").post("/jobs/graph", data=preview).text
    missing = browser(app, "eve").post("/jobs/graph", data={**preview, "steps-0-task": "absent_recipe"}).text
    assert hidden == missing.replace("absent_recipe", "secret_recipe")


# What is done to runs


@pytest.mark.attack("AZ-09")
@pytest.mark.parametrize("act", CHANGES)
@pytest.mark.parametrize("who", ["nobody", "bob", "eve"])
def test_it_changes_no_run_of_others(
    app: Flask, unlimited: None, session: Session, scene: Scene, act: str, who: str
) -> None:
    client = app.test_client() if who == "nobody" else browser(app, who)
    before = told(session)

    answer = client.post(f"/runs/{scene.hers.uuid}/{act}", data={"account": "bob"})

    assert answer.status_code == 404
    assert told(session) == before
    assert not scene.hers.delete_asked and not scene.hers.stop_asked


@pytest.mark.attack("AZ-09")
@pytest.mark.parametrize("act", CHANGES)
def test_it_changes_no_run_that_somebody_only_sees(app: Flask, session: Session, scene: Scene, act: str) -> None:
    open_run = finished(session, service(session, scene.ann, "open", True), scene.ann)
    before = told(session)

    assert browser(app, "bob").post(f"/runs/{open_run.uuid}/{act}", data={"account": "bob"}).status_code == 403
    assert told(session) == before


@pytest.mark.attack("AZ-09")
def test_it_does_once_what_fifty_ask_for_at_once(app: Flask, unlimited: None, session: Session, scene: Scene) -> None:
    with transaction(session):
        session.refresh(scene.bob)
    submission = submissions.submit(session, order("for_everybody", account=scene.bob)).submissions[0]
    uuid, headers = submission.uuid, basic("bob")

    def ask(number: int) -> int:
        act = ("stop", "rerun")[number % 2]
        key = {"Idempotency-Key": "the same"}
        return app.test_client().post(f"{V1}/submissions/{uuid}/{act}", headers={**headers, **key}).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = set(pool.map(ask, range(50)))

    session.rollback()
    stops = session.scalars(select(Message).where(Message.submission_id == submission.id, Message.kind == "end")).all()
    assert statuses == {202}
    assert len(stops) == 1
    assert len(session.scalars(select(Submission).where(Submission.batch.has(account_id=scene.bob.id))).all()) == 3


@pytest.mark.attack("AZ-09")
def test_it_leaves_a_run_that_has_ended_as_it_ended(app: Flask, session: Session, scene: Scene) -> None:
    answers = [
        app.test_client().post(f"{V1}/submissions/{scene.his.uuid}/{act}", headers=basic("bob")).status_code
        for act in ("stop", "resume")
    ]

    session.refresh(scene.his)
    assert answers == [202, 409]
    assert scene.his.state is State.COMPLETE and not scene.his.stop_asked


# What changes between the form and its sending


@pytest.mark.attack("AZ-10")
@pytest.mark.parametrize("change", ["switched off", "deleted", "made private", "links closed", "no guests any more"])
def test_it_takes_nothing_for_a_job_that_is_gone_since_its_form_was_shown(
    app: Flask, session: Session, scene: Scene, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    job = service(session, scene.ann, "open", True)
    client = app.test_client()
    assert client.get("/jobs/open/run").status_code == 200
    before = len(session.scalars(select(Submission)).all())
    with transaction(session):
        _change(session, job, change, monkeypatch)

    form = {"job": "open", "email": "x@example.org"}
    old = {**form, "submission_name": "x"}
    page = client.post("/jobs/open/run", data={**old, "input_data": upload(b"x")})
    rest = client.post(f"{A}/submission.json", data={**old, "input_data": upload(b"x")})
    new = client.post(f"{V1}/submissions", data={**form, "name": "x", "input_data": upload(b"x")})

    assert page.status_code in (302, 303) and not (page.location or "").startswith("/runs/")
    assert (rest.status_code, new.status_code) == ((403, 403) if change == "switched off" else (400, 404))
    session.rollback()
    assert len(session.scalars(select(Submission)).all()) == before


def _change(session: Session, job: Job, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if change == "no guests any more":
        monkeypatch.setenv("PORTAL_ANONYMOUS_RUNS", "false")
        settings.cache_clear()
    elif change == "deleted":
        jobs.delete(session, job)
    else:
        changes = {"switched off": {"enabled": False}, "made private": {"public": False}}
        draft = replace(jobs.draft_of(job), **changes.get(change, {"open_links": False}))  # type: ignore[arg-type]
        jobs.save(session, draft, None, job)
