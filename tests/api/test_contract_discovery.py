"""Section 5 of the first system's contract: what jobs there are, what they take, rest on, and how long they run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.drafts import ParameterDraft
from portal.domain.states import State
from portal.models import Batch, Job, Submission
from portal.services import jobs
from tests.api.service import A, MakeJob

FIXED = "submission_name=[STRING]&email=[EMAIL_STRING]&input_data=[FILE]"


def read(client: FlaskClient, path: str) -> Any:
    answer = client.get(f"{A}/{path}")
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/json"
    return answer.get_json()


def test_row_endpoints_tells_every_job_in_the_order_of_their_making(
    client: FlaskClient, make_job: MakeJob, two_parameters: tuple[ParameterDraft, ...]
) -> None:
    make_job("zebra")
    make_job("ant", steps=((5, "task1"), (0, "task0")), parameters=two_parameters)
    fields = "".join(f"&{task}_all=[TRUE/FALSE]&{task}_number=[VALUE]" for task in ("task0", "task1"))
    assert read(client, "endpoints.json") == {
        "jobs": [f"/submission/&job=zebra&{FIXED}", f"/submission/&job=ant&{FIXED}{fields}"]
    }


@pytest.fixture
def eleven(make_job: MakeJob) -> list[dict[str, Any]]:
    made = [make_job(f"job{number}", enabled=number != 3) for number in range(10)] + [make_job("none", steps=())]
    return [{"pk": job.id, "name": job.name} for job in made]


@pytest.mark.parametrize(
    ("path", "following", "back"),
    [
        ("job/?format=json", "job/?format=json&page=2", None),
        ("job/?format=json&page=1", "job/?format=json&page=2", None),
        ("job/?format=json&page=2", None, "job/?format=json"),
        ("job/?page=last&format=json", None, "job/?format=json"),
        ("job.json", "job.json?page=2", None),
        ("job.json?page=2", None, "job.json"),
        ("job.json?b=2&b=1&a=%C3%B6+1&c=", "job.json?a=%C3%B6+1&b=2&b=1&c=&page=2", None),
    ],
)
def test_row_job_list_has_ten_to_a_page_and_absolute_links_that_keep_the_query(
    client: FlaskClient, eleven: list[dict[str, Any]], path: str, following: str | None, back: str | None
) -> None:
    told = read(client, path)
    links = [f"http://localhost{A}/{link}" if link else None for link in (following, back)]
    assert list(told) == ["count", "next", "previous", "results"]
    assert (told["count"], [told["next"], told["previous"]]) == (11, links)
    assert told["results"] == (eleven[:10] if following else eleven[10:])
    assert client.head(f"{A}/{path}").status_code == 200


def test_row_job_list_is_read_to_its_end_by_its_links(client: FlaskClient, eleven: list[dict[str, Any]]) -> None:
    found, address = [], f"http://localhost{A}/job/?format=json"
    while address:
        page = client.get(address).get_json()
        found, address = found + page["results"], page["next"]
    assert found == eleven


def test_row_job_list_has_no_other_pages(client: FlaskClient, eleven: list[dict[str, Any]]) -> None:
    for page in ("0", "3", "-1", "x", "", "1.0", "²", "9" * 5000):
        answer = client.get(f"{A}/job/", query_string={"format": "json", "page": page})
        assert (answer.status_code, answer.get_json()) == (404, {"detail": "Invalid page."}), page


@pytest.mark.parametrize("spelling", ["job/fit", "job/fit/", "job/fit.json", "job/fit?format=json"])
def test_row_job_tells_the_configuration_of_each_step(client: FlaskClient, make_job: MakeJob, spelling: str) -> None:
    make_job("fit", steps=((0, "count"), (2, "sum")))
    configuration = [{"type": "Software", "name": "wc", "parameters": "-l", "version": "9.1"}]
    answer = client.get(f"{A}/{spelling}", headers={"Accept": "application/json"})
    assert answer.get_json() == {
        "name": "fit",
        "steps": [{"task": {"configuration": configuration}, "ordering": order} for order in (0, 2)],
    }
    assert answer.text.startswith('{"name":"fit","steps":[{"task":{"configuration":[{"type":"Software","name":"wc"')


def test_row_job_knows_no_other(client: FlaskClient, make_job: MakeJob) -> None:
    make_job("private", public=False)
    for name in ("nothing", "private", "PRIVATE"):
        answer = client.get(f"{A}/job/{name}.json")
        assert (answer.status_code, answer.get_json()) == (404, {"detail": "Not found."})


def ran(session: Session, job: Job, *seconds: float, state: State = State.COMPLETE) -> None:
    """Submissions of a job that took so long."""
    with transaction(session):
        batch = Batch(uuid=f"{job.name}-{state}", name="probe", state=state)
        session.add(batch)
        for position, each in enumerate(seconds):
            submission = Submission(
                uuid=f"{job.name}-{state}-{position}", position=position, job=job, job_name=job.name, job_revision=1
            )
            submission.state = state
            batch.submissions.append(submission)
            session.flush()
            session.refresh(submission)
            submission.started = submission.created
            submission.ended = submission.created + timedelta(seconds=each)


@pytest.mark.parametrize(
    ("seconds", "typical"), [((142.9,), 142), ((1800, 300), 1049), ((60, 60.4, 60.9), None), ((0.2,), 0)]
)
def test_row_jobtimes_tells_the_typical_time_of_complete_submissions(
    client: FlaskClient, make_job: MakeJob, session: Session, seconds: tuple[float, ...], typical: int | None
) -> None:
    job = make_job("psipred")
    make_job("never_run")
    assert read(client, "jobtimes.json") == {}
    ran(session, job, 7, 9, state=State.ERROR)
    ran(session, job, *seconds)
    assert read(client, "jobtimes.json") == {"psipred": typical}


def test_row_jobtimes_leaves_out_deleted_jobs_and_no_others(
    client: FlaskClient, make_job: MakeJob, session: Session
) -> None:
    ran(session, make_job("stays", enabled=False), 5)
    gone = make_job("goes")
    ran(session, gone, 6)
    with transaction(session):
        jobs.delete(session, gone)
    assert read(client, "jobtimes.json") == {"stays": 5}
