"""Whoever did something cannot do away with its line, nor do it without one."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.models import Account
from portal.services import audit, tokens
from portal.services.audit import Wanted
from tests.making import make_job, make_task, submitted
from tests.servers import migrate, new_database

WAYS = ("DELETE FROM audit", "UPDATE audit SET actor = 'somebody else'", "TRUNCATE audit")
LINE = (
    "INSERT INTO audit (at, actor, action, kind, object, address, request, detail) "
    "VALUES (now(), 'a', 'b', 'c', 'd', '', '', '{}')"
)


@pytest.mark.attack("LG-04")
def test_postgresql_lets_nobody_change_a_line(cluster: str, tmp_path: Path) -> None:
    with new_database(cluster) as url:
        migrate({"DATABASE_URL": url, "PORTAL_DATA": str(tmp_path)})
        engine = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
        with engine.begin() as writing:
            writing.execute(text(LINE))
        for way in WAYS:
            with pytest.raises(DBAPIError, match="only added to"), engine.begin() as writing:
                writing.execute(text(way))
        with engine.connect() as reading:
            assert reading.execute(text("SELECT actor FROM audit")).scalars().all() == ["a"]
        engine.dispose()


@pytest.mark.attack("LG-04")
def test_no_deed_is_without_its_line(signed_in: FlaskClient, session: Session, admin: Account) -> None:
    make_task(session, "count", "command", "wc $I1", inputs=(".in",))
    make_job(session, "counting", [(1, "count")])
    sent = {"job": "counting", "submission_name": "s", "email": "a@example.org"}
    files = {"input_data": (io.BytesIO(b"x"), "x.in")}
    assert signed_in.post("/analytics_automated/submission.json", data=sent | files).status_code == 201
    ended = submitted(session, "counting", account=admin)
    signed_in.post(f"/runs/{ended.uuid}/stop")
    signed_in.post(f"/runs/{ended.uuid}/delete")
    signed_in.post("/jobs/counting/delete")
    signed_in.post("/tasks/count/delete")
    with transaction(session):
        secret = tokens.create(session, admin, tokens.TokenDraft("a program", ("read",))).secret
    for _ in range(3):
        signed_in.get("/api/v1/me", headers={"Authorization": f"Bearer {secret}"})

    session.rollback()
    told = {(line.action, line.kind) for line in audit.lines(session, Wanted(), 100)}

    assert {
        ("saved", "task"), ("saved", "job"), ("submitted", "batch"), ("stopped", "run"), ("deleted", "run"),
        ("deleted", "job"), ("deleted", "task"), ("made", "token"), ("used", "token"),
    } <= told  # fmt: skip
