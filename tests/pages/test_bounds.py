"""Bounds of a parameter that are no numbers: refused where they are typed, harmless where they stand."""

from __future__ import annotations

import math

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.drafts import ParameterDraft
from portal.domain.parameters import Kind
from portal.models import Parameter
from portal.services import tasks
from tests.making import make_backend, make_job, make_task

A = "/analytics_automated"
TYPED = {
    "name": "fit",
    "language": "command",
    "backend": "here",
    "code": "true",
    "on_exit_status": "continue",
    "on_missing_output": "fail",
    "parameters-0-alias": "n",
    "parameters-0-spacing": "y",
}


@pytest.mark.parametrize("bound", ["inf", "-inf", "1e400", "nan", "1_0"])
@pytest.mark.parametrize("kind", list(Kind))
def test_it_shows_and_refuses_a_bound_that_is_no_number(
    signed_in: FlaskClient, session: Session, bound: str, kind: Kind
) -> None:
    make_backend(session)
    typed = {**TYPED, "parameters-0-kind": kind.value, "parameters-0-maximum": bound}

    shown, saved = (signed_in.post(address, data=typed) for address in ("/tasks/preview", "/tasks/new"))

    assert (shown.status_code, saved.status_code) == (200, 422)
    assert f"“{bound}” is not a number" in saved.text
    assert tasks.named(session, "fit") is None


@pytest.mark.parametrize("bound", [math.inf, -math.inf])
@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.INTEGER])
def test_it_bears_a_bound_that_is_no_number(signed_in: FlaskClient, session: Session, bound: float, kind: Kind) -> None:
    make_task(session, "fit", "command", "true", parameters=(ParameterDraft("n", kind=kind, required=True),))
    make_job(session, "job", [(1, "fit")])
    with transaction(session):
        session.execute(update(Parameter).values(minimum=bound, maximum=bound))

    assert signed_in.get("/jobs/job/run").status_code == 200
    assert signed_in.get(f"{A}/endpoints.json").status_code == 200
    assert signed_in.post("/jobs/job/run", data={"p.fit_n": "1"}).status_code == 422
    assert signed_in.get("/tasks/fit").status_code == 200
