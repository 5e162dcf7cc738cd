"""The front page: what may be run, what runs now, what failed."""

from __future__ import annotations

from collections.abc import Callable

from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.models import Account, Worker
from portal.services import backends, jobs, submissions
from tests.making import make_job, make_task, order


def test_it_offers_public_jobs_to_somebody_without_an_account(client: FlaskClient, session: Session) -> None:
    make_task(session, "count", "command", "wc -l")
    make_job(session, "lines", [(1, "count")], description="Counts lines.")
    with transaction(session):
        steps = (jobs.StepDraft(1, "count"),)
        jobs.save(session, jobs.JobDraft("inside", public=False, steps=steps), None)

    page = client.get("/").text

    assert "Counts lines." in page and 'href="/jobs/lines/run"' in page and 'href="/sign-in"' in page
    assert "inside" not in page


def test_it_offers_every_runnable_job_to_an_account(signed_in: FlaskClient, session: Session) -> None:
    make_task(session, "count", "command", "wc -l")
    with transaction(session):
        jobs.save(session, jobs.JobDraft("inside", steps=(jobs.StepDraft(1, "count"),)), None)

    assert 'href="/jobs/inside/run"' in signed_in.get("/").text


def test_it_says_why_a_job_cannot_run_now(client: FlaskClient, session: Session) -> None:
    make_task(session, "fit", "r", "1")
    make_job(session, "fits", [(1, "fit")])
    with transaction(session):
        told = Worker(name="w", queues=["here"], obstacles={"here": {"r": "Rscript is not installed."}})
        backends.report(session, told)

    assert "Rscript is not installed." in client.get("/").text


def test_it_shows_the_latest_runs_and_what_failed(
    signed_in: FlaskClient, session: Session, admin: Account, work: Callable[[], None]
) -> None:
    make_task(session, "fail", "command", "exit 3")
    make_job(session, "failing", [(1, "fail")])
    submissions.submit(session, order("failing", account=admin))
    assert "Queued" in signed_in.get("/").text

    work()

    page = signed_in.get("/").text
    assert "What failed lately" in page and "Failed" in page


def test_it_answers_an_unchanged_fragment_with_304(signed_in: FlaskClient, session: Session, admin: Account) -> None:
    make_task(session, "count", "command", "wc -l")
    make_job(session, "lines", [(1, "count")])
    submissions.submit(session, order("lines", account=admin))
    first = signed_in.get("/latest")

    assert signed_in.get("/latest", headers={"If-None-Match": first.headers["ETag"]}).status_code == 304


def test_it_sends_a_fragment_without_an_account_to_sign_in(client: FlaskClient) -> None:
    answer = client.get("/latest", headers={"HX-Request": "true"})

    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"].endswith("/sign-in")
