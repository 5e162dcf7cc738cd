"""What is asked again and again, on PostgreSQL: each statement of a reading is a transaction of its own there."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import func, select, text

from app import create_app
from portal import web
from portal.database import reading, transaction
from portal.domain.policy import Role
from portal.models import Account, Submission
from portal.services import accounts, looks
from tests.conftest import PASSWORD
from tests.making import make_job, make_task, submitted
from tests.real.test_prepared import postgresql  # noqa: F401 - a fixture

pytestmark = pytest.mark.real

ROLES = {"ann": Role.ANALYST, "sam": Role.SUBMITTER, "chief": Role.ADMINISTRATOR}


@pytest.fixture
def people() -> dict[str, Account]:
    with transaction() as session:
        found = {name: accounts.create(session, name, PASSWORD, role) for name, role in ROLES.items()}
        session.flush()
        session.expunge_all()
    return found


@pytest.fixture
def app() -> Flask:
    return create_app()


def submitted_by(account: Account | None) -> Submission:
    """A submission of a job whose runs only their owners see."""
    with reading() as session:
        make_task(session, "t", "command", "true")
        make_job(session, "j", [(1, "t")], open_links=account is None)
        found = submitted(session, "j", account=account)
        session.refresh(found, ["uuid", "batch"])
        session.expunge_all()
    return found


@pytest.mark.usefixtures("app")
def test_each_kind_of_account_is_told_of_what_it_may_see(people: dict[str, Account]) -> None:
    uuid = submitted_by(people["ann"]).uuid

    with reading() as session:
        told = {name for name, each in people.items() if looks.at(session, uuid, each)}
        told_too = {name for name, each in people.items() if looks.over_one(session, uuid, each)}
        nobody = looks.at(session, uuid, None), looks.over_one(session, uuid, None)

    assert told == told_too == {"ann", "chief"}
    assert nobody == (None, [])


def test_a_reading_stands_in_nobodys_way(app: Flask) -> None:
    with app.test_request_context():
        assert web.session().scalar(select(func.count(Submission.id))) == 0
        with transaction() as changing:
            changing.execute(text("SET LOCAL lock_timeout = '2s'"))
            changing.execute(text("LOCK TABLE submission IN ACCESS EXCLUSIVE MODE"))


def test_what_a_request_writes_is_kept_whole_or_not_at_all(app: Flask) -> None:
    with app.test_request_context():
        session = web.session()
        assert session.scalar(select(func.count(Account.id))) == 0
        with pytest.raises(ZeroDivisionError), transaction(session):
            accounts.create(session, "ann", PASSWORD, Role.ANALYST)
            session.flush()
            raise ZeroDivisionError
        assert session.scalar(select(func.count(Account.id))) == 0
        with transaction(session):
            accounts.create(session, "eve", PASSWORD, Role.ANALYST)
    with reading() as later:
        assert later.scalars(select(Account.name)).all() == ["eve"]


def test_a_poll_is_asked_to_come_again_once_when_its_table_has_changed(app: Flask) -> None:
    run = submitted_by(None)
    client = app.test_client()
    paths = f"/runs/{run.uuid}/progress", f"/analytics_automated/submission/{run.batch.uuid}.json"
    assert [client.get(path).status_code for path in paths] == [200, 200]
    with transaction() as session:
        session.execute(text("ALTER TABLE submission ALTER COLUMN id TYPE bigint"))

    refused = client.get(paths[0])
    assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
    assert [client.get(path).status_code for path in paths] == [200, 200]
