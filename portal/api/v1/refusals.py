"""Every refusal as RFC 9457 problem details: what the status says in general, and what is wrong here."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Blueprint, Flask, Response, current_app, jsonify, request
from sqlalchemy.exc import IntegrityError
from werkzeug.exceptions import BadRequest, HTTPException

from portal import web
from portal.api.negotiation import Refused
from portal.domain import errors
from portal.journal import request_id, shown_id
from portal.storage import TooLarge

PROBLEM = "application/problem+json"
STATUS = {**web.STATUS, TooLarge: 413}
KEPT_HEADERS = ("Allow", "Retry-After", "Content-Range")
CHALLENGES = ('Basic realm="Analytics Automated", charset="UTF-8"', 'Bearer realm="Analytics Automated"')
NOT_READ = "The request could not be read. Send JSON, as application/json; a submission as multipart/form-data."
MEANWHILE = "Somebody else changed this at the same moment: read it again, and repeat what is still to be done."


class NotSignedIn(errors.NotAllowed):
    """Nobody, or somebody with a wrong password, asks for what needs an account."""


def register(blueprint: Blueprint) -> None:
    for kind, refuse in (
        (Refused, _wrong_secret),
        (NotSignedIn, _not_signed_in),
        (errors.PortalError, portal_error),
        (HTTPException, http_error),
        (IntegrityError, _meanwhile),
        (Exception, _unexpected),
    ):
        blueprint.register_error_handler(kind, refuse)


def refuse_unknown_addresses(app: Flask, root: str) -> None:
    """What no route takes never reaches the blueprint's own handlers."""

    def refuse() -> Response | None:
        refusal = request.routing_exception
        if refusal is None or not f"{request.path}/".startswith(f"{root}/"):
            return None
        return http_error(refusal)

    app.before_request_funcs.setdefault(None, []).insert(0, refuse)


def problem(status: int, detail: str, **more: Any) -> Response:
    known = {"request": identity} if (identity := shown_id(status)) else {}
    told = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    response = jsonify(told | known | more)
    response.status_code, response.mimetype = status, PROBLEM
    if status == 401:
        response.headers.extend(("WWW-Authenticate", challenge) for challenge in CHALLENGES)
    return response


def portal_error(error: errors.PortalError) -> Response:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    response = problem(status, str(error), **({"fields": error.fields} if isinstance(error, errors.Invalid) else {}))
    if isinstance(error, errors.TooMany):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def http_error(error: HTTPException) -> Response:
    plain = error.description == BadRequest.description
    response = problem(error.code or 500, NOT_READ if plain else error.description or error.name)
    response.headers.extend((name, value) for name, value in error.get_headers() if name in KEPT_HEADERS)
    return response


def _wrong_secret(refusal: Refused) -> Response:
    return problem(401, "The name and password, or the token, is wrong, has expired or was revoked.")


def _not_signed_in(error: NotSignedIn) -> Response:
    return problem(401, str(error))


def _meanwhile(error: IntegrityError) -> Response:
    return problem(409, MEANWHILE)


def _unexpected(error: Exception) -> Response:
    """A fault that will pass; else the answer holds an id that the log knows too, and nothing of what happened."""
    if refusal := web.outage(error):
        return portal_error(refusal)
    current_app.logger.exception("An unexpected error, id %s", request_id())
    return problem(500, f"Something went wrong on our side. When you report it, name the id {request_id()}.")
