"""create_app(): assembles the Flask application. Nothing else."""

from __future__ import annotations

from click import get_current_context
from flask import Flask

from portal import api, commands, pages, web
from portal.settings import Settings, settings


def create_app(chosen: Settings | None = None) -> Flask:
    """The portal as a WSGI application, by the settings of the environment unless others are given.

    A `flask` command makes no key: it may have been called beside a portal, and then leaves nothing there.
    """
    chosen = chosen or settings()
    app = Flask(__name__, template_folder="portal/templates", static_folder="portal/static", static_url_path="/static")
    app.config.from_mapping(
        SECRET_KEY=chosen.known_key() if get_current_context(silent=True) else chosen.signing_key(),
        SQLALCHEMY_DATABASE_URI=chosen.database,
        MAX_CONTENT_LENGTH=chosen.portal_max_upload_bytes + chosen.portal_max_form_bytes,
        MAX_FORM_MEMORY_SIZE=chosen.portal_max_form_bytes,
        MAX_FORM_PARTS=1000,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=chosen.address.startswith("https://"),
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_SSL_STRICT=False,  # pages with unguessable addresses send no Referer; the token is what counts
        PORTAL=chosen,
    )
    web.install(app, chosen)
    pages.register(app)
    api.register(app)
    commands.register(app)
    return app
