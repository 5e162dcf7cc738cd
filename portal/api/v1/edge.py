"""The blueprint of /api/v1: who asks and what they may do, and the headers of conditional requests and of pages.

A password or a token sent along says who asks. So does a browser's session, with the CSRF token of the portal's forms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from flask import Response, abort, current_app, g, jsonify, request, url_for
from flask_openapi3 import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field

from portal import kept, web
from portal.api import sender
from portal.api.v1 import refusals
from portal.api.v1.refusals import NotSignedIn
from portal.api.v1.shapes import JobShape, TaskShape
from portal.api.v1.specification import JSON
from portal.domain.errors import Invalid, NotAllowed
from portal.domain.policy import Action
from portal.models import Account
from portal.services.submissions import LONGEST_KEY

View = Callable[..., Any]

ROOT = "/api/v1"
SAFE = ("GET", "HEAD", "OPTIONS")
NOT_JSON = ("v1.docs", "v1.show_log", "v1.download_result", "v1.download_results")
LARGEST_ID = 2**62
SOON = {"Retry-After": "2"}


def operation_id(name: str, path: str, method: str) -> str:
    return name


api = APIBlueprint("v1", __name__, url_prefix=ROOT, operation_id_callback=operation_id)
refusals.register(api)


class Named(BaseModel):
    """A thing by its name."""

    name: str


class AfterName(BaseModel):
    """A page of a list that is ordered by name."""

    after: str = Field("", description="The last name of the page before.")
    limit: int = Field(50, ge=1, le=200)


class IfMatch(BaseModel):
    """Which state of it is to be changed."""

    if_match: str | None = Field(None, alias="If-Match", description="The ETag that it was read with, or *.")


class IdempotencyKey(BaseModel):
    """The client's own name for a request, by which it may be sent again without being done again."""

    model_config = ConfigDict(populate_by_name=True)

    key: str | None = Field(None, alias="Idempotency-Key", max_length=LONGEST_KEY)

    def checked(self) -> str | None:
        if self.key and not self.key.isprintable():
            raise Invalid(**{"Idempotency-Key": "Idempotency-Key: give characters that can be printed."})
        return self.key or None


def account() -> Account:
    """Whoever is signed in and may see. Raises NotSignedIn or NotAllowed."""
    asking = sender.signed_in()
    if asking is None:
        raise NotSignedIn("Sign in with an account's name and password (HTTP Basic), or with a token.")
    return asking


def reader() -> Account:
    if not sender.grant().reads:
        raise NotAllowed("This token is for one job's runs only: take one with the scope read.")
    return account()


def editor() -> Account:
    """Whoever may change jobs and tasks."""
    asking = account()
    if not sender.grant().edits:
        raise NotAllowed("This token may not change anything: take one with the scope edit.")
    return may_edit(asking)


def may_edit(asking: Account) -> Account:
    if not asking.may(Action.EDIT_TASKS):
        raise NotAllowed(f"Your account may not {Action.EDIT_TASKS}: ask an administrator for another role.")
    return asking


def person() -> Account:
    """Whoever signed in by password: a token shall make no tokens."""
    asking = account()
    if not sender.grant().whole:
        raise NotAllowed("A token may not do this: sign in with the name and the password of the account.")
    return asking


def only(guard: Callable[[], Account]) -> Callable[[View], View]:
    """A view for those whom the guard lets pass: it looks before anything of the body is read."""

    def give(view: View) -> View:
        @wraps(view)
        def guarded(**parts: Any) -> Any:
            guard()
            return view(**parts)

        return guarded

    return give


def check_may_run(job: str) -> None:
    if not sender.grant().runs(job):
        raise NotAllowed(f"This token may not run {job}: take one with the scope run, or job:{job}.")


@api.before_request
def _prepare() -> None:
    """Find out who asks. A browser sends its session along for any site, but no other site has the CSRF token."""
    g.account = sender.account_of_header()
    by_session = g.account is None and web.current_account() is not None
    if by_session and request.method not in SAFE and current_app.config["WTF_CSRF_ENABLED"]:
        web.csrf.protect()
    accepted = request.accept_mimetypes
    if accepted and request.endpoint not in NOT_JSON and not accepted.quality(JSON):
        abort(406, f"Only {JSON} is given here: name it in Accept, or leave Accept out.")


def conditional(shape: BaseModel) -> Response:
    """200 with an ETag made of the content, or 304 to who has it already."""
    return _tagged(shape).make_conditional(request)


def unchanging(facts: object, shape: Callable[[], BaseModel]) -> Response:
    """The same for what is asked for again and again: these facts tell all that it is made of but its addresses."""
    tag = kept.tag(request.base_url, facts)
    return kept.answer(tag, JSON, lambda: jsonify(shape().model_dump(mode="json")).get_data())


def changed(shape: JobShape | TaskShape, show: str) -> Response:
    """What was made or saved, as it is now, and where it is shown."""
    response = _tagged(shape)
    response.headers["Location"] = url_for(show, name=shape.name)
    return response


def _tagged(shape: BaseModel) -> Response:
    response = jsonify(shape.model_dump(mode="json"))
    response.add_etag()
    return response


def check_match(shape: BaseModel) -> None:
    """Go on only where the client has seen the present state of what it changes."""
    if not request.if_match:
        abort(428, "Send If-Match with the ETag that you read it with, so that nobody else's change is lost.")
    present = _tagged(shape)
    if not request.if_match.contains(present.get_etag()[0] or ""):
        abort(412, "It has changed since you read it: read it again, and make your change there.")


def page(shape: BaseModel, found: Sequence[Any], limit: int, cursor: str) -> Response:
    """A page of a list of which one more than `limit` was looked for; the cursor of the last one leads on."""
    response = jsonify(shape.model_dump(mode="json"))
    if len(found) > limit:
        query = {**request.args.to_dict(), "after": cursor}
        where = url_for(request.endpoint or "", **(request.view_args or {}), **query, _external=True)
        response.headers["Link"] = f'<{where}>; rel="next"'
    return response
