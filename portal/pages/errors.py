"""What people see when something cannot be done: one sentence, and for the portal's own faults an id that is logged.

A fault that will pass is 503, or 507 for a full disk; its page asks nothing of the database, which may be what is away.
"""

from __future__ import annotations

from http import HTTPStatus

from flask import Flask, Response, current_app, make_response, render_template
from htmx_flask import request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, InternalServerError

from portal.domain.errors import PortalError, TooMany
from portal.journal import request_id, shown_id
from portal.web import STATUS, outage

SENTENCES = {
    400: "The portal could not read this request. If it came from a form, go back, reload the page and send it again.",
    403: "You may not do this.",
    404: "There is nothing at this address.",
    405: "This address does not take that kind of request.",
    413: "This is more than the portal takes in one request. Send a smaller file, or fewer fields.",
    429: "That was too often. Wait a minute and try again.",
}
ALONE = {500: "Something went wrong", 503: "Not just now", 507: "Not just now"}
OTHERWISE = "The portal could not answer this request."


def register(app: Flask) -> None:
    """API routes have handlers of their own; everything else ends here."""
    app.register_error_handler(PortalError, refuse)
    app.register_error_handler(HTTPException, answer)
    app.register_error_handler(SQLAlchemyError, wait)
    app.register_error_handler(OSError, wait)
    app.register_error_handler(InternalServerError, fail)


def refuse(error: PortalError) -> Response:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    response = _show(status, str(error))
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def answer(error: HTTPException) -> Response:
    """Redirects and finished answers pass; the rest becomes a page, with the headers that belong to it."""
    status = error.code or 500
    if error.response is not None or status < 400:
        return Response.force_type(error.get_response(), request.environ)
    response = _show(status, SENTENCES.get(status, OTHERWISE))
    response.headers.extend((name, value) for name, value in error.get_headers() if name in ("Allow", "Retry-After"))
    return response


def wait(error: Exception) -> Response:
    """A database that is away or a full disk; any other fault goes on to `fail`."""
    refusal = outage(error)
    if refusal is None:
        raise error
    current_app.logger.warning("%s %r: %s (%s)", request.method, request.path, refusal, type(error).__name__)
    return _show_alone(STATUS[type(refusal)], str(refusal))


def fail(error: InternalServerError) -> Response:
    """An unexpected fault. Flask has logged the trace, with the request's id."""
    if outage(error.original_exception):
        return wait(error.original_exception)
    return _show_alone(
        500, f"Something went wrong in the portal. If it happens again, tell its administrator the id {request_id()}."
    )


def _show(status: int, sentence: str) -> Response:
    if request.htmx:
        return make_response(_fragment(sentence), status)
    title = HTTPStatus(status).phrase
    told = {"status": status, "title": title, "sentence": sentence, "request_id": shown_id(status)}
    return make_response(render_template("errors/error.html", **told), status)


def _show_alone(status: int, sentence: str) -> Response:
    """A page that asks nothing of the database."""
    if request.htmx:
        return make_response(_fragment(sentence), status)
    page = current_app.jinja_env.get_template("errors/broken.html")
    told = {"status": status, "title": ALONE[status], "sentence": sentence, "request_id": shown_id(status)}
    return make_response(page.render(**told), status)


def _fragment(sentence: str) -> str:
    return current_app.jinja_env.get_template("errors/_error.html").render(sentence=sentence)
