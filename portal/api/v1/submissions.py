"""Submissions: ordering them, following them, and what may be done to them."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request, url_for
from pydantic import BaseModel, Field

from portal import web
from portal.api import sender
from portal.api.v1 import multipart
from portal.api.v1.drafts import Resume
from portal.api.v1.edge import (
    LARGEST_ID,
    SOON,
    IdempotencyKey,
    account,
    api,
    check_may_run,
    page,
    unchanging,
)
from portal.api.v1.reading import checked
from portal.api.v1.shapes import Deleting, SubmissionRow, Submissions, SubmissionShape
from portal.api.v1.specification import ACCOUNT, ANYBODY, answers
from portal.database import transaction
from portal.domain.errors import Invalid, NotAllowed, NotFound
from portal.domain.policy import Action
from portal.domain.states import State
from portal.models import Submission
from portal.services import access, keeping, looks, progress, rerunning, resuming, submissions, waiting

PLACED = ("Location", "Retry-After")
NOTHING = (b"", b"{}")


class Uuid(BaseModel):
    """A submission by its UUID."""

    uuid: str


class Wanted(BaseModel):
    """Which submissions, and which page of them."""

    job: str | None = None
    state: State | None = None
    after: int | None = Field(None, ge=1, le=LARGEST_ID, description="Where the page before ended, as its Link says.")
    limit: int = Field(50, ge=1, le=200)


class Patience(BaseModel):
    """How long the answer may take, if it would say that the submission has not ended."""

    wait: int = Field(0, ge=0, le=waiting.LONGEST, description="Seconds to wait for the submission's end.")


@api.post(
    "/submissions",
    responses=answers(202, SubmissionShape, 404, 409, 413, 415, 422, headers=PLACED),
    security=ANYBODY,
    openapi_extensions={"requestBody": multipart.DESCRIBED},
)
@checked
def submit(header: IdempotencyKey) -> tuple[Response, int]:
    """Submit an input to a job; under the same Idempotency-Key once only."""
    order = multipart.order(header.checked())
    for job in order.jobs:
        check_may_run(job)
    return _placed(multipart.placed(web.session(), order).submissions[0])


@api.get("/submissions", responses=answers(200, Submissions, 422, headers=("Link",)), security=ACCOUNT)
@checked
def list_submissions(query: Wanted) -> Response:
    """The account's own submissions, newest first."""
    _check_may_list(query.job)
    wanted = submissions.Wanted(query.job, query.state, before=query.after, own=True, limit=query.limit + 1)
    found = submissions.listing(web.session(), account(), wanted)
    shown = found[: query.limit]
    rows = Submissions(submissions=[SubmissionRow.of(each) for each in shown])
    return page(rows, found, query.limit, str(shown[-1].id) if shown else "")


@api.get(
    "/submissions/<uuid>",
    responses=answers(200, SubmissionShape, 304, 404, 422, headers=("ETag", "Retry-After")),
    security=ANYBODY,
)
@checked
def show(path: Uuid, query: Patience) -> Response:
    """A submission, at once, or with `wait` when it has ended or the time is over."""
    asking = sender.account_for(path.uuid)
    look = looks.at(web.session(), path.uuid, asking)
    if look and not look.state.final and query.wait:
        waiting.for_end(web.session(), path.uuid, query.wait)
        look = looks.at(web.session(), path.uuid, asking)
    if look is None:
        raise NotFound(submissions.NO_RUN)
    response = unchanging((look.facts, look.expires), lambda: SubmissionShape.of(sender.seen(path.uuid)))
    response.headers.update({} if look.state.final else SOON)
    return response


@api.delete("/submissions/<uuid>", responses=answers(202, Deleting, 404), security=ACCOUNT)
@checked
def delete(path: Uuid) -> tuple[Response, int]:
    """Stop a submission, and remove it as soon as nothing of it runs."""
    own(path.uuid)
    with transaction(web.session()) as session:
        keeping.delete(session, submissions.get(session, path.uuid))
    return jsonify(Deleting(uuid=path.uuid).model_dump()), 202


@api.post("/submissions/<uuid>/stop", responses=answers(202, SubmissionShape, 404), security=ACCOUNT)
@checked
def stop(path: Uuid) -> tuple[Response, int]:
    """Stop a submission; one that has ended stays as it is."""
    own(path.uuid)
    with transaction(web.session()) as session:
        progress.stop(session, submissions.get(session, path.uuid))
    return _told(submissions.get(web.session(), path.uuid)), 202


@api.post(
    "/submissions/<uuid>/resume",
    responses=answers(202, SubmissionShape, 404, 409, 413, 415, 422, headers=PLACED),
    security=ACCOUNT,
)
@checked
def resume(path: Uuid, header: IdempotencyKey, body: Resume) -> tuple[Response, int]:
    """Go on with a failed or stopped submission, in a new one that takes over what is complete."""
    own(path.uuid)
    order = resuming.Resumption(path.uuid, account(), body.wanted, body.current, _address(), header.checked())
    return _placed(resuming.resume(web.session(), order))


@api.post(
    "/submissions/<uuid>/rerun",
    responses=answers(202, SubmissionShape, 404, 409, 422, headers=PLACED),
    security=ACCOUNT,
)
@checked
def rerun(path: Uuid, header: IdempotencyKey) -> tuple[Response, int]:
    """Submit the same input and values again, to the job as it is now."""
    source = own(path.uuid)
    if request.get_data() not in NOTHING:
        raise Invalid(body="Leave the body out: the same input and values are submitted again.")
    order = rerunning.order_of(source, account(), _address(), header.checked())
    return _placed(rerunning.place(web.session(), source, order).submissions[0])


def own(uuid: str) -> Submission:
    """The submission, if whoever asks may change it."""
    asking = account()
    found = sender.seen(uuid)
    check_may_run(found.job_name)
    access.check(asking, Action.CHANGE_RUN, found)
    return found


def _check_may_list(job: str | None) -> None:
    if not sender.grant().sees(job or ""):
        raise NotAllowed("This token is for one job's runs only: name the job, as in ?job=…")


def _address() -> str:
    return request.remote_addr or ""


def _placed(submission: Submission) -> tuple[Response, int]:
    response = _told(submission)
    response.headers.update({"Location": url_for("v1.show", uuid=submission.uuid), **SOON})
    return response, 202


def _told(submission: Submission) -> Response:
    told: Any = SubmissionShape.of(submission)
    return jsonify(told.model_dump(mode="json"))
