"""The audit trail: what was done leaves a line with its deed, which nothing takes back."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.errors import Invalid
from portal.models import Account, Audit
from portal.services import audit, jobs, keeping, tasks
from portal.services.audit import Wanted
from tests.making import make_job, make_task, submitted


def deeds(session: Session, **wanted: str) -> list[tuple[str, str, str]]:
    return [(line.action, line.kind, line.object) for line in audit.lines(session, Wanted(**wanted), 100)]


def test_it_tells_what_was_saved_run_and_deleted(session: Session) -> None:
    make_task(session, "count", "command", "wc $I1", inputs=(".in",))
    make_job(session, "counting", [(1, "count")])
    submission = submitted(session, "counting")
    with transaction(session):
        keeping.delete(session, submission)
        jobs.delete(session, jobs.get(session, "counting"))
        tasks.delete(session, tasks.get(session, "count"))

    told = deeds(session)

    assert told[:4] == [
        ("deleted", "task", "count"),
        ("deleted", "job", "counting"),
        ("deleted", "run", submission.uuid),
        ("stopped", "run", submission.uuid),
    ]
    assert told[4:9] == [
        ("submitted", "batch", submission.batch.uuid),
        ("shared", "job", "counting"),
        ("saved", "job", "counting"),
        ("shared", "task", "count"),
        ("saved", "task", "count"),
    ]


def test_it_tells_nothing_of_what_was_refused(session: Session) -> None:
    with pytest.raises(Invalid):
        make_task(session, "", "command", "true")

    assert deeds(session, kind="task") == []


def test_it_names_who_acts_and_from_where(session: Session, admin: Account) -> None:
    audit.come_from("192.0.2.7", "abc")
    audit.act_as(admin)
    make_task(session, "count", "command", "true", public=False)

    [line] = audit.lines(session, Wanted(kind="task"), 10)

    assert (line.actor, line.account_id, line.address, line.request) == ("admin", admin.id, "192.0.2.7", "abc")


@pytest.mark.parametrize("filters", [{"actor": "nobody"}, {"kind": "task"}, {"text": "cou"}, {"text": "SAVED"}])
def test_it_is_found_by(session: Session, filters: dict[str, str]) -> None:
    audit.come_from("", "")
    make_task(session, "count", "command", "true")

    assert ("saved", "task", "count") in deeds(session, **filters)
    assert deeds(session, **{name: f"{value}%" for name, value in filters.items()}) == []


@pytest.mark.parametrize(
    "change",
    [
        delete(Audit),
        update(Audit).values(actor="somebody else"),
        text("DELETE FROM audit"),
        text("INSERT OR REPLACE INTO audit SELECT * FROM audit"),
        text("UPDATE OR IGNORE audit SET actor = ''"),
    ],
)
def test_no_line_can_be_changed_or_removed(session: Session, change: object) -> None:
    make_task(session, "count", "command", "true", public=False)

    with pytest.raises(DBAPIError, match="only added to"):
        session.execute(change)  # type: ignore[call-overload]

    session.rollback()
    assert session.scalars(select(Audit.object).where(Audit.kind == "task")).all() == ["count"]
