"""The Flask extensions, the headers that every answer carries, and the statuses that errors become."""

from __future__ import annotations

import errno
import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from functools import cache, wraps
from typing import Any

import flask
from flask import Flask, Response, abort, current_app, g, has_request_context, redirect, url_for
from flask.sessions import SecureCookieSessionInterface
from flask_login import AnonymousUserMixin, LoginManager, UserMixin, current_user, login_required, login_user
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect
from htmx_flask import Htmx, request
from sqlalchemy.exc import DBAPIError, NotSupportedError
from sqlalchemy.orm import Session

from portal import bodies, database, journal, models, patience, rates
from portal.database import Base
from portal.domain import errors
from portal.domain.policy import Action
from portal.hosts import AllowedHosts
from portal.proxies import TrustedProxies
from portal.reception import FULL, Reception
from portal.services import accounts, audit
from portal.settings import HERE, Settings, WrongSetting

View = Callable[..., Any]

db = SQLAlchemy(metadata=Base.metadata)
migrate = Migrate(directory="migrations", render_as_batch=True)
login = LoginManager()
csrf = CSRFProtect()
htmx = Htmx()

STATUS: dict[type[errors.PortalError], int] = {
    errors.NotFound: 404,
    errors.NotAllowed: 403,
    errors.Invalid: 422,
    errors.Conflict: 409,
    errors.TooMany: 429,
    errors.NoRoom: 507,
    errors.Unavailable: 503,
    errors.Lost: 500,
    errors.Damaged: 500,
}
DISK_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
PASSING = (STATUS[errors.TooMany], STATUS[errors.Unavailable], STATUS[errors.NoRoom])
RETRY_SECONDS = 30
SECRET = frozenset({"submissions", "batches", "files", "contract", "v1"})  # their addresses are all that a guest needs
OPEN = frozenset({"contract", "v1"})  # these take other sites' requests, and no session with them
FOREIGN = frozenset({"cross-site", "same-site"})
SAME_ALWAYS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
HOUR = 3600
SEEN_SECONDS = 60
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
    """Who is asking, or None; who has to set a new password first is nobody yet."""
    account = known_account()
    return None if account is None or account.must_change else account


def known_account() -> models.Account | None:
    """Whose session this is, whatever has to come first."""
    found: models.Account | None = current_user.account
    return found


def begin_session(account: models.Account) -> None:
    """Let somebody in, with a session that shares nothing with what this browser brought."""
    flask.session.clear()
    login_user(SignedIn(account))
    flask.session["began"] = flask.session["seen"] = int(time.time())


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


class Cookies(SecureCookieSessionInterface):
    """Sessions in cookies; where the portal is reached by TLS, in such as no other host and no plain HTTP can set."""

    digest_method = staticmethod(hashlib.sha256)

    def __init__(self) -> None:
        self.get_signing_serializer = cache(super().get_signing_serializer)  # type: ignore[method-assign]

    def get_cookie_name(self, app: Flask) -> str:
        name = super().get_cookie_name(app)
        return f"__Host-{name}" if self.get_cookie_secure(app) else name

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure or super().get_cookie_secure(app)


def outage(error: BaseException | None) -> errors.Unavailable | None:
    """What to say of a fault that will pass: a database that does not answer, a disk without room ... Else None."""
    if database.full(error) or (isinstance(error, OSError) and error.errno in DISK_FULL):
        return errors.NoRoom(FULL)
    if database.away(error):
        return errors.Unavailable("The portal's database does not answer: try again in a minute.")
    if isinstance(error, NotSupportedError):  # what was planned before a migration can be asked anew only
        return errors.Unavailable("The portal's database has just been changed: try again.")
    return None


def install(app: Flask, settings: Settings) -> None:
    """Put the extensions to work on an application."""
    _check_debugging(app, settings)
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = database.engine_options(settings.database, pool_size=8)
    app.config["SQLALCHEMY_ENGINE_OPTIONS"]["execution_options"] = database.READING
    patience.wait_at_most(lambda: LONGEST_WAIT if has_request_context() else None)
    app.session_interface = Cookies()
    journal.install(app, settings.portal_log_level)
    app.before_request(_check_request)
    rates.install(app, settings)
    for extension in (db, login, csrf, htmx):
        extension.init_app(app)
    migrate.init_app(app, db)
    login.anonymous_user = Nobody
    app.after_request(_headers)
    app.teardown_request(_end_reading)
    app.context_processor(_of_every_page)
    app.wsgi_app = AllowedHosts(app.wsgi_app, settings)  # type: ignore[method-assign]
    if settings.portal_trusted_proxies:
        app.wsgi_app = TrustedProxies(app.wsgi_app, settings.portal_trusted_proxies)  # type: ignore[method-assign]
    largest, largest_text = app.config["MAX_CONTENT_LENGTH"], app.config["MAX_FORM_MEMORY_SIZE"]
    app.wsgi_app = Reception(app.wsgi_app, largest, largest_text)  # type: ignore[method-assign]


def _check_debugging(app: Flask, settings: Settings) -> None:
    """What the debugger shows, and lets its reader run, is for nobody but the machine's own user."""
    if app.debug and not (settings.host in HERE and not settings.address.startswith("https://")):
        raise WrongSetting("FLASK_DEBUG is for a portal on this machine alone: unset it, or set HOST to 127.0.0.1.")


def _check_request() -> None:
    """Before anything reads the body: text alone is never as large as a file, and NUL is in no honest text."""
    if request.method == "POST" and request.headers.get("Sec-Fetch-Site") in FOREIGN and request.blueprint not in OPEN:
        raise errors.NotAllowed("Another site sent this form: open the portal's own page, and send it there.")
    request.form_data_parser_class = bodies.WithInputs if request.endpoint in rates.SUBMITTING else bodies.Strict
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
    account = accounts.by_session_key(session(), session_key) if _in_time() else None
    if g.get("account") is None:
        audit.act_as(account)
    return SignedIn(account) if account else None


def _in_time() -> bool:
    """Whether the session is young enough. Opening a page keeps it in use; what a page asks for by itself does not."""
    chosen: Settings = current_app.config["PORTAL"]
    now, began, seen = int(time.time()), flask.session.get("began", 0), flask.session.get("seen", 0)
    if now - began > chosen.portal_session_hours * HOUR or now - seen > chosen.portal_idle_hours * HOUR:
        return False
    if now - seen > SEEN_SECONDS and not request.htmx:
        flask.session["seen"] = now
    return True


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
    """The security headers; an answer that set its own stricter policy keeps it.

    Who follows a link away from a page that only its address protects does not tell that address.
    """
    own = {name.lower() for name, _ in response.headers}
    for name, value in _usual_headers(response.status_code):
        if name.lower() not in own:
            response.headers.add(name, value)
    if request.endpoint != "static":
        response.vary.update(["HX-Request", "Cookie", "Authorization"])
    return response


def _usual_headers(status: int) -> Iterator[tuple[str, str]]:
    yield "Content-Security-Policy", _policy()
    yield "Referrer-Policy", "no-referrer" if request.blueprint in SECRET else "same-origin"
    yield from SAME_ALWAYS
    if request.is_secure:
        yield "Strict-Transport-Security", "max-age=31536000"
    if status in PASSING:
        yield "Retry-After", str(RETRY_SECONDS)
    if request.endpoint != "static":
        yield "Cache-Control", "private, no-cache"


def _policy() -> str:
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{csp_nonce()}'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
