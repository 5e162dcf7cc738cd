"""A service to ask for: small jobs, and a client that submits to them."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.drafts import ConfigurationDraft, ParameterDraft, TaskDraft
from portal.domain.parameters import Kind
from portal.models import Job
from portal.services import backends, jobs, tasks
from portal.services.backends import BackendDraft
from portal.services.jobs import JobDraft, StepDraft
from tests.api.service import QUEUE, A, MakeJob, Send, upload


@pytest.fixture
def make_job(session: Session) -> MakeJob:
    """Make a public job of one step for each task's name."""
    with transaction(session):
        backends.save(session, BackendDraft("contract", "local", QUEUE, ("command",)))

    def make(name: str, steps: tuple[tuple[int, str], ...] = ((0, "count"),), **changes: Any) -> Job:
        parameters = changes.pop("parameters", ())
        with transaction(session):
            for task in {task for _, task in steps}:
                _make_task(session, task, parameters)
            drafts = tuple(StepDraft(order, task) for order, task in steps)
            draft = JobDraft(**{"name": name, "public": True, "steps": drafts, **changes})
            return jobs.save(session, draft, None).job

    return make


def _make_task(session: Session, name: str, parameters: tuple[ParameterDraft, ...]) -> None:
    draft = TaskDraft(
        name=name,
        language="command",
        backend="contract",
        code="wc -l $I1",
        inputs=(".txt",),
        stdout=f".{name}",
        parameters=parameters,
        configurations=(ConfigurationDraft("Software", "wc", "-l", "9.1"),),
    )
    tasks.save(session, draft, None, tasks.named(session, name))


@pytest.fixture
def two_parameters() -> tuple[ParameterDraft, ...]:
    return (
        ParameterDraft("all", kind=Kind.BOOLEAN, required=True, flag="-a"),
        ParameterDraft("number", kind=Kind.INTEGER, required=True, flag="-n"),
    )


@pytest.fixture
def send(client: FlaskClient) -> Send:
    """POST a submission in JSON; a field given as None is left out."""

    def send(path: str = f"{A}/submission.json", headers: dict[str, str] | None = None, **fields: Any) -> Any:
        usual = {"job": "count_lines", "submission_name": "probe", "email": "a@b.com", "input_data": upload(b"one\n")}
        data = {name: value for name, value in {**usual, **fields}.items() if value is not None}
        return client.post(path, data=data, content_type="multipart/form-data", headers=headers)

    return send
