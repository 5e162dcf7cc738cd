"""REST for new programs: what became of a submission; stop, delete and resume it. JSON only; refusals are problem+json.

A password sent along says who asks. So does a browser's session, with the CSRF token that every form of the portal has.
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from flask import Blueprint, Flask, Response, current_app, g, jsonify, request, url_for
from pydantic import BaseModel, ConfigDict, ValidationError
from werkzeug.exceptions import HTTPException

from portal import web
from portal.api import sender
from portal.api.negotiation import Refused
from portal.database import transaction
from portal.domain import errors
from portal.models import Account, Result, Run, Submission
from portal.services import keeping, progress, queues, results, resuming, submissions

SAFE = ("GET", "HEAD", "OPTIONS")
Shape = dict[str, Any]

v1 = Blueprint("v1", __name__, url_prefix="/api/v1")


class NotSignedIn(errors.NotAllowed):
    """Nobody, or somebody with a wrong password, asks for what needs an account."""


class Resume(BaseModel):
    """The body of a resumption: a stage's number or a step's UUID, and whether its tasks are taken as they are now."""

    model_config = ConfigDict(strict=True, extra="forbid")

    step: int | str | None = None
    current: bool = False


SENTENCES = {
    "step": "step: give the number of a stage, such as 2, or the UUID of a step.",
    "current": "current: give true or false.",
}


def register(app: Flask) -> None:
    app.register_blueprint(v1)
    web.csrf.exempt(v1)  # _prepare asks for the token itself
    sender.limit_guessing(v1)


@v1.get("/submissions/<uuid>")
def show(uuid: str) -> Response:
    return jsonify(shape(submissions.get(web.session(), uuid)))


@v1.post("/submissions/<uuid>/stop")
def stop(uuid: str) -> tuple[Response, int]:
    """202, also for what is stopping or has ended already."""
    _own(uuid)
    with transaction(web.session()) as session:
        progress.stop(session, submissions.get(session, uuid))
    return jsonify(shape(submissions.get(web.session(), uuid))), 202


@v1.delete("/submissions/<uuid>")
def delete(uuid: str) -> tuple[Response, int]:
    """202: it is removed as soon as nothing of it runs; from then on it is unknown, 404."""
    _own(uuid)
    with transaction(web.session()) as session:
        keeping.delete(session, submissions.get(session, uuid))
    return jsonify(uuid=uuid, deleting=True), 202


@v1.post("/submissions/<uuid>/resume")
def resume(uuid: str) -> tuple[Response, int, dict[str, str]]:
    """201 with the new submission. The same Idempotency-Key makes one only."""
    _own(uuid)
    asked = _asked()
    order = resuming.Resumption(
        uuid,
        sender.account(),
        asked.step,
        asked.current,
        request.remote_addr or "",
        request.headers.get("Idempotency-Key"),
    )
    made = resuming.resume(web.session(), order)
    return jsonify(shape(made)), 201, {"Location": url_for("v1.show", uuid=made.uuid)}


def _own(uuid: str) -> Submission:
    """The submission, if whoever asks may change it."""
    account = _account()
    found = submissions.get(web.session(), uuid)
    if not submissions.may_stop(account, found):
        raise errors.NotAllowed("Only who started this run, or an administrator, may do this.")
    return found


def _account() -> Account:
    account = sender.account()
    if account is None:
        raise NotSignedIn("Send the name and the password of your account (HTTP Basic).")
    return account


def _asked() -> Resume:
    given = request.get_json() if request.get_data() else {}
    if not isinstance(given, dict):
        raise errors.Invalid(body='Send a JSON object, such as {} or {"step": 2}.')
    try:
        return Resume.model_validate(given)
    except ValidationError as wrong:
        names = {str(each["loc"][0]) for each in wrong.errors()}
    found = {name: SENTENCES[name] for name in SENTENCES if name in names}
    raise errors.Invalid(
        **(found or {"body": f"There is no field {min(names)[:40]!r}: {' and '.join(SENTENCES)} may be given."})
    )


# Shapes


def shape(submission: Submission) -> Shape:
    waits = queues.waits(web.session(), submission)
    return {
        "uuid": submission.uuid,
        "batch": submission.batch.uuid,
        "name": submission.batch.name,
        "job": submission.job_name,
        "revision": submission.job_revision,
        "state": submission.state.value,
        "stopping": submission.stop_asked and not submission.state.final,
        "deleting": submission.delete_asked,
        "resumed_from": submission.resumed_from,
        "created": _moment(submission.created),
        "started": _moment(submission.started),
        "ended": _moment(submission.ended),
        "expires": _moment(submission.expires),
        "removed": _moment(submission.removed),
        "steps": [_step(run, waits.get(run.uuid, "")) for run in submission.runs],
        "results": [_result(result) for result in results.of_submission(submission)],
    }


def _step(run: Run, wait: str) -> Shape:
    """`wait` is why a run waits that nobody can take."""
    return {
        "uuid": run.uuid,
        "stage": run.stage,
        "task": run.task_name,
        "revision": run.task_revision,
        "state": run.state.value,
        "attempts": len(run.attempts),
        "exit_status": run.exit_status,
        "reason": wait or run.reason,
        "taken_from": run.taken_from,
        "started": _moment(run.started),
        "ended": _moment(run.ended),
    }


def _result(result: Result) -> Shape:
    where = {"uuid": result.run.submission.uuid, "name": result.name}
    return {
        "name": result.name,
        "step": result.run.uuid,
        "size": result.size,
        "sha256": result.sha256,
        "url": url_for("submissions.download", **where, _external=True),
    }


def _moment(when: datetime | None) -> str | None:
    return when.isoformat() if when else None


# Before, and refusals


@v1.before_request
def _prepare() -> None:
    """Find out who asks. A browser sends its session along for any site, but no other site has the token."""
    g.account = sender.account_of_password()
    by_session = g.account is None and web.current_account() is not None
    if by_session and request.method not in SAFE and current_app.config["WTF_CSRF_ENABLED"]:
        web.csrf.protect()


@v1.errorhandler(Refused)
def _wrong_password(refusal: Refused) -> Response:
    return _problem(401, "The name or the password is wrong.")


@v1.errorhandler(NotSignedIn)
def _not_signed_in(error: NotSignedIn) -> Response:
    return _problem(401, str(error))


@v1.errorhandler(errors.PortalError)
def _portal_error(error: errors.PortalError) -> Response:
    status = next(web.STATUS[kind] for kind in type(error).__mro__ if kind in web.STATUS)
    response = _problem(status, str(error), **({"fields": error.fields} if isinstance(error, errors.Invalid) else {}))
    if isinstance(error, errors.TooMany):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


@v1.errorhandler(HTTPException)
def _http_error(error: HTTPException) -> Response:
    response = _problem(error.code or 500, error.description or error.name)
    response.headers.extend((name, value) for name, value in error.get_headers() if name in ("Allow", "Retry-After"))
    return response


@v1.errorhandler(Exception)
def _unexpected(error: Exception) -> Response:
    """A fault that will pass; else the answer holds an id that the log knows too, and nothing of what happened."""
    if refusal := web.outage(error):
        return _portal_error(refusal)
    identity = uuid4().hex
    current_app.logger.exception("An unexpected error, id %s", identity)
    return _problem(500, f"Something went wrong on our side. When you report it, name the id {identity}.")


def _problem(status: int, detail: str, **more: Any) -> Response:
    """RFC 9457: what the status says in general, and what is wrong here."""
    response = jsonify(type="about:blank", title=HTTPStatus(status).phrase, status=status, detail=detail, **more)
    response.status_code, response.mimetype = status, "application/problem+json"
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="Analytics Automated", charset="UTF-8"'
    return response
