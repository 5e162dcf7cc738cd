"""The Flask extensions, the headers that every answer carries, and the statuses that errors become."""

from __future__ import annotations

import errno
import secrets
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Flask, Response, abort, current_app, g, has_request_context, redirect, url_for
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import AnonymousUserMixin, LoginManager, UserMixin, current_user, login_required
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect
from htmx_flask import Htmx, request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from werkzeug.formparser import FormDataParser

from portal import database, models, patience
from portal.database import Base
from portal.domain import errors
from portal.domain.policy import Action
from portal.proxies import TrustedProxies
from portal.services import accounts
from portal.settings import Settings

View = Callable[..., Any]

db = SQLAlchemy(metadata=Base.metadata)
migrate = Migrate(directory="migrations", render_as_batch=True)
login = LoginManager()
csrf = CSRFProtect()
htmx = Htmx()
limiter = Limiter(key_func=get_remote_address, storage_uri="memory://")

STATUS: dict[type[errors.PortalError], int] = {
    errors.NotFound: 404,
    errors.NotAllowed: 403,
    errors.Invalid: 422,
    errors.Conflict: 409,
    errors.TooMany: 429,
    errors.Unavailable: 503,
    errors.NoRoom: 503,
    errors.Lost: 500,
}
DISK_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
RETRY_SECONDS = 30
LONGEST_WAIT = 8.0


class SignedIn(UserMixin):
    """The account of a request. Its id in the cookie is the account's session key, which a new password renews."""

    def __init__(self, account: models.Account) -> None:
        self.account = account

    def get_id(self) -> str:
        return self.account.session_key


class Nobody(AnonymousUserMixin):
    account = None


def current_account() -> models.Account | None:
    """Who is asking, or None."""
    return current_user.account


def may(action: Action) -> bool:
    """Whether whoever asks may do this."""
    account = current_account()
    return account is not None and account.may(action)


def only_for(action: Action) -> Callable[[View], View]:
    """A view for accounts that may do an action; others are asked to sign in, or refused."""

    def guard(view: View) -> View:
        @wraps(view)
        @login_required
        def guarded(**parts: Any) -> Any:
            if not may(action):
                raise errors.NotAllowed(f"Your account may not {action}: ask an administrator for another role.")
            return view(**parts)

        return guarded

    return guard


def session() -> Session:
    """The request's own database session."""
    return db.session()


def outage(error: BaseException | None) -> errors.Unavailable | None:
    """What to say of a fault that will pass: a database that does not answer, a disk without room. Else None."""
    if database.full(error) or (isinstance(error, OSError) and error.errno in DISK_FULL):
        return errors.Unavailable("The portal's disk is full: try again later.")
    if database.away(error):
        return errors.Unavailable("The portal's database does not answer: try again in a minute.")
    return None


def install(app: Flask, settings: Settings) -> None:
    """Put the extensions to work on an application."""
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = database.engine_options(settings.database, pool_size=8)
    patience.wait_at_most(lambda: LONGEST_WAIT if has_request_context() else None)
    app.before_request(_check_request)
    for extension in (db, login, csrf, htmx, limiter):
        extension.init_app(app)
    migrate.init_app(app, db)
    login.anonymous_user = Nobody
    app.after_request(_headers)
    app.teardown_request(_end_reading)
    app.context_processor(_of_every_page)
    if settings.portal_trusted_proxies:
        app.wsgi_app = TrustedProxies(app.wsgi_app, settings.portal_trusted_proxies)  # type: ignore[method-assign]


class _Named(FormDataParser):
    """Leaves a part without a name out: no form of the portal has one."""

    def parse(self, *request: Any, **options: Any) -> Any:
        stream, form, files = super().parse(*request, **options)
        return stream, _named(form), _named(files)


def _named(parts: Any) -> Any:
    return parts if None not in parts else type(parts)(part for part in parts.items(multi=True) if part[0] is not None)


def _check_request() -> None:
    """Before anything reads the body: text alone is never as large as a file, and NUL is in no honest text."""
    request.form_data_parser_class = _Named
    if request.mimetype != "multipart/form-data":
        request.max_content_length = current_app.config["MAX_FORM_MEMORY_SIZE"]
    if "\0" in request.path:
        raise errors.NotFound("There is nothing at this address.")
    if any("\0" in value for value in request.args.values()):
        abort(400)


def _end_reading(_: BaseException | None) -> None:
    """The answer is made: a connection that dies while it is given back must not spoil it."""
    try:
        session().close()
    except DBAPIError:
        session().invalidate()


@login.user_loader
def _account_of_session(session_key: str) -> SignedIn | None:
    account = accounts.by_session_key(session(), session_key)
    return SignedIn(account) if account else None


@login.unauthorized_handler
def _sign_in_first() -> Any:
    """A fragment's request must not receive the sign-in page: htmx is told to go there."""
    here = request.script_root + request.full_path.rstrip("?")
    target = url_for("accounts.sign_in", next=here if request.method == "GET" else None)
    if request.htmx:
        return Response("Sign in first.", 401, {"HX-Redirect": url_for("accounts.sign_in")})
    return redirect(target)


def csp_nonce() -> str:
    """This answer's nonce for the styles that the code editor makes."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    return str(g.csp_nonce)


def _of_every_page() -> dict[str, Any]:
    return {"csp_nonce": csp_nonce, "account": current_account()}


def _headers(response: Response) -> Response:
    """The security headers; an answer that set its own stricter policy keeps it."""
    response.headers.setdefault("Content-Security-Policy", _policy())
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    if response.status_code == STATUS[errors.Unavailable]:
        response.headers.setdefault("Retry-After", str(RETRY_SECONDS))
    if request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "private, no-cache")
        response.vary.update(["HX-Request", "Cookie"])
    return response


def _policy() -> str:
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{csp_nonce()}'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
