"""The first system's REST contract: addresses and answers that published clients depend on, kept to the letter."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Flask, Response, current_app, g, redirect, request
from flask.sansio.blueprints import BlueprintSetupState
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from portal import downloads, rates, web
from portal.api import negotiation, order, origins, roots, sender, shapes
from portal.api.negotiation import Refused, answer
from portal.domain import errors
from portal.domain.jobtimes import typical
from portal.domain.policy import Action
from portal.domain.states import State
from portal.journal import request_id
from portal.models import Account, Job, Submission
from portal.services import access, catalogue, jobs, looks, results, submissions

EVERY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE"]
READ, SEND = "GET, HEAD, OPTIONS", "POST, OPTIONS"
PAGE_LENGTH = 10
REMEMBERED_RUNS = 1000
STATUSES = (400, 404, 405, 413)
LISTS = ("contract.endpoints", "contract.job_list", "contract.job_times")

contract = Blueprint("contract", __name__)
files = Blueprint("files", __name__)
allowed: dict[str, str] = {}

View = Callable[..., Any]


def register(app: Flask) -> None:
    roots.check(app)
    app.register_blueprint(contract)
    app.register_blueprint(files)
    web.csrf.exempt(contract)
    _refuse_unknown_addresses(app)


def _refuse_unknown_addresses(app: Flask) -> None:
    """What no route takes never reaches the blueprint's own handlers."""

    def refuse() -> Response | None:
        below = any(request.path.startswith(f"{root}/") for root in roots.listed(app))
        if request.routing_exception is None or not below or getattr(request.routing_exception, "code", 0) != 404:
            return None
        return origins.let_read(_unknown_address())

    app.before_request_funcs.setdefault(None, []).insert(0, refuse)


def _unknown_address() -> Response:
    try:
        g.form = negotiation.asked()
        response = _refused(negotiation.not_found())
    except Refused as refusal:
        response = _refused(refusal)
    response.vary.add("Accept")
    return response


def route(allow: str, *paths: str) -> Callable[[View], View]:
    """Give a view all spellings of its addresses. Other methods must reach us too, to be refused in JSON."""

    def give(view: View) -> View:
        allowed[f"contract.{view.__name__}"] = allow
        contract.record(lambda state: _add(state, view, paths, EVERY_METHOD))
        return view

    return give


def _add(state: BlueprintSetupState, view: View, paths: tuple[str, ...], methods: list[str]) -> None:
    for root in roots.listed(state.app):
        for path in paths:
            state.add_url_rule(f"{root}{path}", view.__name__, view, methods=methods)


# Submissions


@route(SEND, "/submission", "/submission/", "/submission.json", "/submission/.json")
def submit() -> Response:
    accepted = order.place(web.session(), sender.of_submission())
    return answer(shapes.accepted(accepted.uuid, accepted.name), 201)


@route(READ, "/submission/<name>", "/submission/<name>/")
def batch(name: str) -> Response:
    alike = sender.grant().reads
    facts = looks.over_batch(web.session(), name, sender.account()) if alike else _members(name).facts()
    if not facts:
        raise negotiation.not_found()
    return negotiation.kept_answer((name, facts), lambda: shapes.whole(name, _members(name).seen(), facts[0].email))


def _members(name: str) -> submissions.Members:
    found = submissions.batch(web.session(), name)
    return submissions.Members(web.session(), found, sender.account, alike=sender.grant().reads)


@route(READ, "/submission/single/<name>", "/submission/single/<name>/")
def single(name: str) -> Response:
    facts = looks.over_one(web.session(), name, sender.account_for(name))
    if not facts:
        raise negotiation.not_found()
    return negotiation.kept_answer((name, facts), lambda: shapes.single(sender.seen(name), facts[0].email))


@files.get("/submissions/<name>")
def file(name: str) -> AnyResponse:
    """A file's bytes; never as something that a browser would run."""
    account = _seeing(submissions.get(web.session(), results.owner_of(_storable(name))))
    rates.no_guess()
    stored = results.find(web.session(), name)
    return downloads.file(stored, account, as_attachment=not stored.image)


def _seeing(submission: Submission) -> Account | None:
    """Who asks. What is open by its address needs no account, and asks for none. Raises NotFound, or Refused."""
    if access.may(None, Action.SEE_RUN, submission):
        return web.current_account()
    g.account = sender.account_of_header()
    account = sender.account(submission.job_name)
    access.shown(account, submission, submissions.NO_RUN)
    return account


files.record(lambda state: _add(state, file, ("/submissions/<name>",), ["GET"]))


# Discovery


@route(READ, "/endpoints", "/endpoints/", "/endpoints.json")
def endpoints() -> Response:
    known = catalogue.jobs_at_hand(web.session(), _jobs(web.session()))
    runnable = [job for job in known if job.enabled and job.current.steps]
    return answer({"jobs": [shapes.endpoint(job, jobs.fields(job)) for job in runnable]})


@route(READ, "/job", "/job/", "/job.json")
def job_list() -> Response:
    found = _jobs(web.session())
    last = max(1, -(-len(found) // PAGE_LENGTH))
    page = _page_number(last)
    body = {
        "count": len(found),
        "next": _address_of_page(page + 1) if page < last else None,
        "previous": _address_of_page(page - 1) if page > 1 else None,
        "results": [shapes.listed(job) for job in islice(found, (page - 1) * PAGE_LENGTH, page * PAGE_LENGTH)],
    }
    return answer(body)


@route(READ, "/job/<name>", "/job/<name>/")
def job(name: str) -> Response:
    return answer(shapes.described(order.job_for(web.session(), name, sender.account(name))))


@route(READ, "/jobtimes", "/jobtimes/", "/jobtimes.json")
def job_times() -> Response:
    session = web.session()
    times = {job.name: _run_times(session, job) for job in _jobs(session)}
    return answer({name: typical(seconds) for name, seconds in times.items() if seconds})


def _jobs(session: Session) -> list[Job]:
    """The jobs that whoever asks may know of, in the order in which they were made."""
    return sorted(jobs.seen_by(session, sender.account()), key=lambda job: job.id)


def _run_times(session: Session, job: Job) -> list[float]:
    """How many seconds the job's latest complete submissions took; those that took over steps of others took less."""
    complete = (
        select(Submission.started, Submission.ended)
        .where(Submission.job_id == job.id, Submission.state == State.COMPLETE, Submission.resumed_from.is_(None))
        .order_by(Submission.id.desc())
        .limit(REMEMBERED_RUNS)
    )
    return [(end - start).total_seconds() for start, end in session.execute(complete) if start and end]


def _page_number(last: int) -> int:
    text = request.args.getlist("page")[-1] if "page" in request.args else "1"
    if text == "last":
        return last
    if not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= last:
        raise Refused(404, {"detail": "Invalid page."})
    return int(text)


def _address_of_page(page: int) -> str:
    """The address that was asked, with all of its query but the page's number, which the first page has none of."""
    query = {**request.args.to_dict(flat=False), "page": [str(page)]}
    if page == 1:
        del query["page"]
    return request.base_url + (f"?{urlencode(sorted(query.items()), doseq=True)}" if query else "")


# Before and after


@contract.before_request
def _prepare() -> AnyResponse | None:
    """Settle the answer's form, who asks, how and for what: the first of these that is wrong is the answer."""
    g.form = negotiation.asked()
    g.account = sender.account_of_header()
    allow = allowed[str(request.endpoint)]
    if request.method not in allow.split(", "):
        raise Refused(405, {"detail": f'Method "{request.method}" not allowed.'})
    if request.method == "OPTIONS":
        return Response()
    if name := (request.view_args or {}).get("name"):
        request.view_args = {"name": _storable(name.removesuffix(".json"))}
    return _with_slash() if request.method != "POST" else None


def _storable(name: str) -> str:
    """The name, if it could be in a database at all."""
    if "\0" in name:
        raise negotiation.not_found()
    return name


def _with_slash() -> AnyResponse | None:
    """The first system sends a list that is asked for without its slash to the address with it."""
    if request.endpoint not in LISTS or request.path.endswith(("/", ".json")):
        return None
    query = f"?{request.query_string.decode('latin-1')}" if request.query_string else ""
    return redirect(f"{request.script_root}{request.path}/{query}", 301, Response)


@contract.after_request
def _tell_how(response: Response) -> Response:
    response.headers["Allow"] = allowed[str(request.endpoint)]
    response.vary.add("Accept")
    return response


contract.after_request(origins.let_read)
files.after_request(origins.let_read)


# Refusals


@contract.errorhandler(Refused)
def _refused(refusal: Refused) -> Response:
    return answer(refusal.body, refusal.status, refusal.headers)


@contract.errorhandler(errors.PortalError)
def _portal_error(error: errors.PortalError) -> Response:
    if isinstance(error, errors.NotFound):
        return _refused(negotiation.not_found())
    status = next(status for kind, status in web.STATUS.items() if isinstance(error, kind))
    return answer({"error": str(error)}, status)


@contract.errorhandler(errors.TooMany)
def _too_many(error: errors.TooMany) -> Response:
    return answer({"error": str(error)}, 429, {"Retry-After": str(error.retry_after)})


def _http_error(error: HTTPException) -> Response:
    if error.code == 404:
        return _refused(negotiation.not_found())
    headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    return answer({"detail": error.description or error.name}, error.code or 500, headers)


for _status in STATUSES:
    contract.register_error_handler(_status, _http_error)


@contract.errorhandler(Exception)
def _unexpected(error: Exception) -> Response:
    """The answer holds an id that the log knows too, and nothing else of what happened."""
    if isinstance(error, HTTPException):
        return _http_error(error)
    if refusal := web.outage(error):
        current_app.logger.warning("%s %r: %s (%s)", request.method, request.path, refusal, type(error).__name__)
        return _portal_error(refusal)
    identity = request_id()
    current_app.logger.exception("An unexpected error, id %s", identity)
    return answer({"error": f"Something went wrong on our side. When you report it, name the id {identity}."}, 500)


@files.errorhandler(Refused)
def _wrong_secret(refusal: Refused) -> Response:
    return Response(f"{refusal.body['detail']}\n", refusal.status, mimetype="text/plain")


@files.errorhandler(errors.NotFound)
def _no_file(error: Exception) -> Response:
    return Response("Not found.\n", 404, mimetype="text/plain")


@files.errorhandler(SQLAlchemyError)
@files.errorhandler(OSError)
def _no_file_now(error: Exception) -> Response:
    refusal = web.outage(error)
    if refusal is None:
        raise error
    return Response(f"{refusal}\n", web.STATUS[type(refusal)], mimetype="text/plain")
