"""Who asks: the account of a password sent along, or of a browser's session where no other site can have used it."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, Response, current_app, g, request
from flask_wtf.csrf import validate_csrf
from wtforms import ValidationError

from portal import web
from portal.api.negotiation import Refused
from portal.domain.errors import NotAllowed
from portal.models import Account
from portal.services import accounts


def account() -> Account | None:
    """Who reads. Another site may make a browser ask, but cannot read the answer."""
    return g.account or web.current_account()


def of_submission() -> Account | None:
    """Whose submission this is: a browser's session counts only when a page of the portal sends, or who can read it."""
    return g.account or (web.current_account() if _same_origin() or _bears_token() else None)


def _same_origin() -> bool:
    if site := request.headers.get("Sec-Fetch-Site"):
        return site == "same-origin"
    origin = urlsplit(request.headers.get("Origin", ""))
    return bool(origin.netloc) and (origin.scheme, origin.netloc) == (request.scheme, request.host)


def _bears_token() -> bool:
    """Whether the token comes along that stands in every form of the portal."""
    try:
        validate_csrf(request.headers.get("X-CSRFToken"))
    except ValidationError:
        return False
    return True


def account_of_password() -> Account | None:
    """The account of a Basic Authorization header, if there is one."""
    if _without_password():
        return None
    given = request.authorization
    name, password = (given.username, given.password) if given else (None, None)
    try:
        return accounts.authenticate(web.session(), (name or "").partition("\0")[0], password or "")
    except NotAllowed:
        g.wrong_password = True
        raise Refused(403, {"detail": "Invalid username/password."}) from None


def limit_guessing(blueprint: Blueprint) -> None:
    """Let an address send only so many wrong passwords."""
    limit = web.limiter.shared_limit(_limit, "basic", exempt_when=_without_password, deduct_when=_was_wrong)
    limit(blueprint)


def _without_password() -> bool:
    return not request.headers.get("Authorization", "").lower().startswith("basic")


def _was_wrong(response: Response) -> bool:
    return bool(g.get("wrong_password"))


def _limit() -> str:
    return str(current_app.config["PORTAL"].portal_sign_in_limit)
