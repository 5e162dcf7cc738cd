"""Who asks: the account of a password or a token sent along, or of a browser's session that no other site can use."""

from __future__ import annotations

from flask import g, request
from flask_wtf.csrf import validate_csrf
from wtforms import ValidationError

from portal import rates, web
from portal.api.negotiation import Refused
from portal.domain.errors import NotAllowed
from portal.domain.scopes import WHOLE, Grant
from portal.models import Account, Submission
from portal.services import audit, signing, submissions, tokens

BASIC, BEARER = "basic", "bearer"


def account(job: str | None = None) -> Account | None:
    """Who reads, of this job or at large. Another site may make a browser ask, but cannot read the answer."""
    if not grant().reads and not (job and grant().runs(job)):
        return None
    return signed_in()


def signed_in() -> Account | None:
    """Who asks, where the CSRF token was asked for already."""
    return g.get("account") or web.current_account()


def of_submission() -> Account | None:
    """Whose submission this is: a browser's session counts only when a page of the portal sends, or who can read it."""
    return g.account or (web.current_account() if _same_origin() or _bears_form_token() else None)


def grant() -> Grant:
    """What may be done in the account's name."""
    given: Grant = g.get("grant", WHOLE)
    return given


def account_for(uuid: str) -> Account | None:
    """Who asks for the submission of this UUID; its job is looked up only where a token is for one job alone."""
    return account() if grant().reads else account(submissions.get(web.session(), uuid).job_name)


def seen(uuid: str) -> Submission:
    """The submission of this UUID. Raises NotFound, the same for one that whoever asks may not see."""
    return submissions.seen(web.session(), uuid, account_for(uuid))


def check_may_run(job: str) -> None:
    """Raises Refused where a token is not for this job."""
    if not grant().runs(job):
        raise Refused(403, {"detail": f"This token may not run {job}."})


def _same_origin() -> bool:
    if site := request.headers.get("Sec-Fetch-Site"):
        return site == "same-origin"
    return request.headers.get("Origin") == f"{request.scheme}://{request.host}"


def _bears_form_token() -> bool:
    """Whether what stands in every form of the portal comes along."""
    try:
        validate_csrf(request.headers.get("X-CSRFToken"))
    except ValidationError:
        return False
    return True


def account_of_header() -> Account | None:
    """The account of an Authorization header with a password or a token, if there is one."""
    kind = _kind()
    if kind not in (BASIC, BEARER):
        return None
    account = _of_password() if kind == BASIC else _of_token()
    rates.count_account(account.session_key)
    audit.act_as(account)
    return account


def _of_password() -> Account:
    rates.check_attempts(BASIC)
    given = request.authorization
    name, password = (given.username, given.password) if given else (None, None)
    try:
        account = signing.by_password(
            web.session(), (name or "").partition("\0")[0], password or "", request.remote_addr or ""
        )
    except NotAllowed:
        raise _wrong(BASIC, "Invalid username/password.") from None
    if account.must_change:
        raise NotAllowed(signing.NOT_YOURS)
    return account


def _of_token() -> Account:
    token = tokens.find(web.session(), request.headers["Authorization"].partition(" ")[2].strip())
    if token is None:
        raise _wrong(BEARER, "Invalid token.")
    g.grant = Grant(frozenset(token.scopes))
    tokens.note_use(web.session(), token)
    return token.account


def _wrong(kind: str, sentence: str) -> Refused:
    """Raises TooMany where an address goes on guessing; a right token is taken even then, as no guess finds one."""
    rates.count_attempt(kind)
    return Refused(403, {"detail": sentence})


def _kind() -> str:
    return request.headers.get("Authorization", "").partition(" ")[0].lower()
