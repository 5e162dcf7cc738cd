"""How far runs must be confined, and which workers take them."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from portal import queue
from portal.database import transaction
from portal.domain.errors import Invalid
from portal.models import Account, Run, Submission, Worker
from portal.services import backends, progress, queues
from portal.settings import settings
from tests.making import make_backend, make_job, make_task, submitted


@pytest.fixture(autouse=True)
def usual(data: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings as they are where nobody says anything."""
    for name in ("PORTAL_MIN_LEVEL", "PORTAL_MIN_LEVEL_ANONYMOUS"):
        monkeypatch.delenv(name)
    settings.cache_clear()


def sent(session: Session, account: Account | None = None) -> Submission:
    make_task(session, "t", "command", "true")
    make_job(session, "j", [(1, "t")])
    return submitted(session, "j", account=account)


def only(submission: Submission) -> Run:
    [run] = submission.runs
    return run


def claims(session: Session, level: int) -> bool:
    with transaction(session):
        return progress.claim(session, [queue.EVERY], "test", "here", level) is not None


def test_it_asks_for_more_confinement_of_those_without_an_account(session: Session, admin: Account) -> None:
    assert only(sent(session)).minimum_level == 3
    assert only(submitted(session, "j", account=admin)).minimum_level == 2


def test_it_asks_for_as_much_as_the_backend_does(session: Session, admin: Account) -> None:
    make_backend(session, minimum_level=4)

    assert only(sent(session, admin)).minimum_level == 4


def test_it_gives_a_worker_no_run_that_must_be_confined_further(session: Session) -> None:
    sent(session)

    assert not claims(session, 2)
    assert claims(session, 3)


def test_it_gives_a_worker_below_the_setting_nothing_whenever_it_was_submitted(session: Session) -> None:
    only(sent(session)).minimum_level = 0
    session.commit()

    assert not claims(session, 1)


def test_it_says_what_a_run_waits_for(session: Session) -> None:
    submission = sent(session)
    with transaction(session):
        told = Worker(name="w/x:1", queues=[queue.EVERY], obstacles={"here": {"command": None}}, level=2)
        backends.report(session, told)

    [sentence] = queues.waits(session, submission).values()

    assert sentence.startswith("Waits: a worker that confines runs at level 3 is needed; those here reach level 2.")


def test_it_says_nothing_where_a_worker_confines_enough(session: Session) -> None:
    submission = sent(session)
    with transaction(session):
        told = Worker(name="w/x:1", queues=[queue.EVERY], obstacles={"here": {"command": None}}, level=4)
        backends.report(session, told)

    assert queues.waits(session, submission) == {}


def test_it_keeps_at_which_level_an_attempt_ran(session: Session) -> None:
    submission = sent(session)
    with transaction(session):
        claim = progress.claim(session, [queue.EVERY], "test", "here")
        assert claim is not None
        progress.started(session, claim, {"host": "here"}, 3)

    assert [each.level for each in only(submission).attempts] == [3]


@pytest.mark.parametrize("level", [0, 5, -1])
def test_it_refuses_a_level_that_there_is_not(session: Session, level: int) -> None:
    with pytest.raises(Invalid, match="from 1 to 4"):
        make_backend(session, minimum_level=level)


@pytest.mark.parametrize("network", [True, False])
def test_it_freezes_whether_a_run_has_network(session: Session, network: bool) -> None:
    make_backend(session, network=network)

    assert only(sent(session)).work["placement"]["network"] is network
