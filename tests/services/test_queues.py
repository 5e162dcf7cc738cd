"""Queues: each form of one is served by the workers that were started for it, and by nobody else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from portal import queue
from portal.database import clock, transaction
from portal.domain.names import Priority
from portal.domain.policy import Role
from portal.domain.states import State
from portal.models import Account, Submission, Worker
from portal.services import accounts, backends, progress, queues, submissions
from portal.settings import settings
from tests.making import make_backend, make_job, make_task, order, submitted

FORMS = ["high_here", "here", "low_here"]


@pytest.fixture
def ann(session: Session) -> Account:
    with transaction(session):
        return accounts.create(session, "ann", "correct horse battery", Role.SUBMITTER)


@pytest.fixture
def one_in_each(session: Session, ann: Account, monkeypatch: pytest.MonkeyPatch) -> list[Submission]:
    """A submission that waits in each form of a queue: high, plain and low."""
    make_task(session, "t", "command", "true")
    make_job(session, "j", [(1, "t")])
    high = submissions.submit(session, order("j", account=ann)).submissions[0]
    plain = submitted(session, "j")
    monkeypatch.setenv("PORTAL_DEFAULT_JOB_PRIORITY", str(int(Priority.LOW)))
    settings.cache_clear()
    return [high, plain, submitted(session, "j")]


def told(session: Session, name: str, *names: str) -> None:
    with transaction(session):
        backends.report(session, Worker(name=name, queues=list(names), obstacles={}))


def silence(session: Session, name: str) -> None:
    with transaction(session):
        late = clock(session) - timedelta(minutes=3)
        session.execute(update(Worker).where(Worker.name == name).values(seen=late))


def served(session: Session) -> dict[str, list[tuple[str, int]]]:
    return {each.name: [(host.name, host.processes) for host in each.hosts] for each in queues.every(session)}


def test_it_counts_what_waits_in_each_form_of_a_queue(session: Session, one_in_each: list[Submission]) -> None:
    submitted(session, "j")

    assert {each.name: each.waiting for each in queues.every(session)} == {"high_here": 1, "here": 1, "low_here": 2}
    assert {each.queue for each in queues.every(session)} == {"here"}


def test_it_shows_a_queue_of_two_backends_once_and_one_that_no_backend_has_any_more(
    session: Session, one_in_each: list[Submission]
) -> None:
    with transaction(session):
        backends.save(session, backends.BackendDraft("twin", "local", "here", ("command",)))
    assert list(served(session)) == FORMS

    with transaction(session):
        for name in ("here", "twin"):
            backend = backends.named(session, name)
            backends.save(session, backends.BackendDraft(name, "local", "there", ("command",)), backend)

    assert list(served(session)) == ["high_there", "there", "low_there", *sorted(FORMS)]


def test_it_names_the_machines_that_serve_a_form(session: Session) -> None:
    make_backend(session)
    told(session, "alpha/5d1f:11", "here", "high_here")
    told(session, "alpha/5d1f:12", "here", "high_here")
    told(session, "beta:7", queue.EVERY)
    told(session, "gamma:1", "elsewhere")

    assert served(session) == {
        "high_here": [("alpha", 2), ("beta", 1)],
        "here": [("alpha", 2), ("beta", 1)],
        "low_here": [("beta", 1)],
    }


def test_it_forgets_a_worker_that_fell_silent(session: Session) -> None:
    make_backend(session)
    told(session, "alpha:11", "here")
    silence(session, "alpha:11")

    assert served(session)["here"] == []
    assert queues.every(session)[1].seen is None


def test_it_says_which_queue_a_run_waits_for(session: Session, one_in_each: list[Submission]) -> None:
    told(session, "alpha:11", "high_here")
    told(session, "beta:1", "here")
    silence(session, "beta:1")

    high, plain, low = ([*queues.waits(session, each).values()] for each in one_in_each)

    assert high == []
    assert plain == ["Waits for a worker of the queue here: none has reported for 2 minutes."]
    assert low == ["Waits for a worker of the queue low_here: none has reported for 2 minutes."]


def test_it_says_what_keeps_every_worker_from_a_run(session: Session, one_in_each: list[Submission]) -> None:
    short = {"here": {"command": "the worker's machine alpha has less than 200 MB of free disk."}}
    with transaction(session):
        backends.report(session, Worker(name="alpha:11", queues=["here"], obstacles=short))

    [said] = queues.waits(session, one_in_each[1]).values()
    assert said == "Waits: the worker's machine alpha has less than 200 MB of free disk."

    with transaction(session):
        backends.report(session, Worker(name="beta:1", queues=["here"], obstacles={"here": {"command": None}}))
    assert queues.waits(session, one_in_each[1]) == {}


def test_it_says_nothing_of_a_run_that_does_not_wait(session: Session, one_in_each: list[Submission]) -> None:
    with transaction(session):
        progress.claim(session, ["here"], "test", "here")

    session.expire_all()
    assert one_in_each[1].runs[0].state is State.RUNNING
    assert queues.waits(session, one_in_each[1]) == {}


@pytest.mark.parametrize("number", range(3))
def test_a_worker_takes_from_the_forms_it_was_started_for_only(
    session: Session, one_in_each: list[Submission], number: int
) -> None:
    with transaction(session):
        assert progress.claim(session, [FORMS[number]], "test", "here")
    with transaction(session):
        assert progress.claim(session, [FORMS[number], "elsewhere"], "test", "here") is None

    session.expire_all()
    states = [each.runs[0].state for each in one_in_each]
    assert [at for at, state in enumerate(states) if state is State.RUNNING] == [number]


def test_a_worker_of_every_queue_takes_the_high_ones_first(session: Session, one_in_each: list[Submission]) -> None:
    taken = []
    for _ in range(3):
        with transaction(session):
            claim = progress.claim(session, [queue.EVERY], "test", "here")
        assert claim is not None
        taken.append(claim.uuid)

    assert taken == [each.runs[0].uuid for each in one_in_each]


def test_a_worker_of_one_form_says_what_its_backend_can_run(session: Session) -> None:
    backend = make_backend(session)
    with transaction(session):
        told_of_r = {"here": {"r": "no R here"}}
        backends.report(session, Worker(name="alpha:11", queues=["low_here"], obstacles=told_of_r))

    assert [each.reason for each in backends.abilities(session, backend) if each.language == "r"] == ["no R here"]
