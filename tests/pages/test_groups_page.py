"""The pages of groups, and how tasks, jobs and runs are shared on theirs."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.policy import Role
from portal.models import Account
from portal.services import accounts, groups, jobs, sharing, submissions, tasks
from portal.services.groups import GroupDraft
from tests.conftest import PASSWORD
from tests.making import make_job, make_task, order
from tests.pages.sent_back import fields_of


@pytest.fixture
def people(session: Session, admin: Account) -> dict[str, Account]:
    roles = {"ann": Role.ANALYST, "sam": Role.SUBMITTER, "tim": Role.SUBMITTER}
    with transaction(session):
        found = {name: accounts.create(session, name, PASSWORD, role) for name, role in roles.items()}
        groups.save(session, GroupDraft("friends", ("sam",)), admin)
    return found


def browser(app: Flask, name: str) -> FlaskClient:
    client = app.test_client()
    assert client.post("/sign-in", data={"name": name, "password": PASSWORD}).status_code in (302, 303)
    return client


def test_it_makes_renames_and_deletes_a_group(signed_in: FlaskClient, session: Session, people: object) -> None:
    made = signed_in.post("/groups/new", data={"name": "plants", "members": "ann\nsam\n"})
    assert (made.status_code, made.location) == (303, "/groups")
    assert signed_in.get("/groups.json").json["groups"][1]["members"] == ["ann", "sam"]
    assert "plants,ann sam," in signed_in.get("/groups.csv").text

    [group] = [each for each in groups.every(session) if each.name == "plants"]
    sent = fields_of(signed_in.get(f"/groups/{group.id}").text, "group-form")
    assert sent["members"].split() == ["ann", "sam"]
    signed_in.post(f"/groups/{group.id}", data={**sent, "name": "herbs"})
    assert "herbs" in signed_in.get("/groups").text

    signed_in.post(f"/groups/{group.id}/delete")
    assert "herbs" not in signed_in.get("/groups.csv").text


def test_it_says_beside_the_field_what_is_wrong_with_a_group(signed_in: FlaskClient, people: object) -> None:
    answer = signed_in.post("/groups/new", data={"name": "friends", "members": "nobody"})

    assert answer.status_code == 422
    assert "A group of this name exists" in answer.text and "There is no account nobody" in answer.text


def test_it_shares_a_task_and_a_job_on_their_pages(app: Flask, session: Session, people: dict[str, Account]) -> None:
    make_task(session, "count", "command", "wc -l $I1", inputs=(".txt",))
    ann = browser(app, "ann")
    page = ann.get("/tasks/new").text
    assert "friends" in page
    task = {**fields_of(page, "task-form"), "name": "hers", "language": "command", "backend": "here", "code": "true"}
    task.pop("public")
    assert ann.post("/tasks/new", data={**task, "groups": ["friends"]}).status_code == 303
    job = {"name": "service", "steps-0-order": "1", "steps-0-task": "hers", "groups": ["friends"], "enabled": "y"}
    assert ann.post("/jobs/new", data=job).status_code == 303
    session.rollback()

    made = tasks.get(session, "hers")
    assert (made.public, sharing.groups_of(session, made)) == (False, ("friends",))
    assert "shared with friends" in ann.get("/jobs").text
    [row] = browser(app, "sam").get("/jobs.json").json["jobs"]
    assert (row["name"], row["owner"], row["shared"], row["may_edit"]) == ("service", "ann", ["friends"], False)
    assert browser(app, "tim").get("/jobs.json").json["jobs"] == []


def test_it_keeps_the_groups_when_a_form_is_sent_back(app: Flask, session: Session, people: dict[str, Account]) -> None:
    make_task(session, "count", "command", "wc -l")
    with transaction(session):
        draft = jobs.JobDraft("mine", steps=(jobs.StepDraft(1, "count"),), open_links=True, groups=("friends",))
        jobs.save(session, draft, people["ann"])
    ann = browser(app, "ann")

    ann.post("/jobs/mine", data=fields_of(ann.get("/jobs/mine").text, "job-form"))

    session.rollback()
    job = jobs.get(session, "mine")
    assert (job.current.number, job.open_links, sharing.groups_of(session, job)) == (2, True, ("friends",))


def test_it_lets_an_owner_share_a_run_and_take_it_back(
    app: Flask, session: Session, people: dict[str, Account]
) -> None:
    make_task(session, "count", "command", "wc -l")
    make_job(session, "lines", [(1, "count")], open_links=False)
    uuid = submissions.submit(session, order("lines", account=people["sam"])).submissions[0].uuid
    sam, tim = browser(app, "sam"), browser(app, "tim")
    assert tim.get(f"/runs/{uuid}").status_code == 404

    told = sam.post(f"/runs/{uuid}/share", data={"account": "tim"}, follow_redirects=True).text
    assert "tim may see this run now." in told
    seen = tim.get(f"/runs/{uuid}").text
    assert 'form="stop"' not in seen and 'id="share"' not in seen
    assert uuid in tim.get("/runs").text

    with transaction(session):
        [share] = sharing.of_run(session, submissions.get(session, uuid))
    sam.post(f"/runs/{uuid}/shares/{share.id}/delete")
    assert tim.get(f"/runs/{uuid}").status_code == 404


def test_it_says_what_to_do_where_a_run_cannot_be_shared_so(
    app: Flask, session: Session, people: dict[str, Account]
) -> None:
    make_task(session, "count", "command", "wc -l")
    make_job(session, "lines", [(1, "count")])
    uuid = submissions.submit(session, order("lines", account=people["tim"])).submissions[0].uuid
    tim = browser(app, "tim")

    assert "friends" not in tim.get(f"/runs/{uuid}").text
    for data in ({"account": "tom"}, {"group": "friends"}, {}):
        answer = tim.post(f"/runs/{uuid}/share", data=data, follow_redirects=True).text
        assert "give its exact name" in answer or "Give the name of an account" in answer


def test_it_shows_who_may_not_change_a_task_its_present_revision(
    app: Flask, session: Session, people: dict[str, Account]
) -> None:
    make_task(session, "count", "command", "wc -l")
    ann = browser(app, "ann")

    assert 'href="/tasks/count/revisions/1"' in ann.get("/tasks").text
    page = ann.get("/tasks/count/revisions/1").text
    assert "wc -l" in page and "Edit from here" not in page
    assert ann.get("/tasks/count").status_code == 403


def test_it_shows_of_a_batch_only_the_runs_that_somebody_may_see(
    app: Flask, session: Session, people: dict[str, Account]
) -> None:
    make_task(session, "count", "command", "wc -l")
    make_job(session, "open", [(1, "count")])
    make_job(session, "closed", [(1, "count")], open_links=False)
    batch = submissions.submit(session, order("open", "closed", account=people["sam"]))

    page = app.test_client().get(f"/batches/{batch.uuid}").text
    told = app.test_client().get(f"/analytics_automated/submission/{batch.uuid}.json").json

    assert batch.submissions[0].uuid in page and batch.submissions[1].uuid not in page
    assert [each["job_name"] for each in told["submissions"]] == ["open"]
    assert batch.submissions[1].uuid in browser(app, "sam").get(f"/batches/{batch.uuid}").text
