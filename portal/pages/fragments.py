"""Parts of pages that htmx asks for again and again: unchanged ones cost a 304, and those that many follow are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flask
from flask import Response, render_template

from portal import kept
from portal.web import current_account


def polled(template: str, mark: object, values: Callable[[], Mapping[str, Any]]) -> Response:
    """A fragment, whose mark tells all that it is made of but for who looks at it.

    One with the first form of a session is not kept: it holds a token that nobody had when its tag was made.
    """
    account, token = current_account(), _form_token()
    viewer = (account.id, account.name, account.role) if account else None
    return kept.answer(
        kept.tag(template, mark, viewer, token),
        "text/html",
        lambda: render_template(template, **values()).encode(),
        lambda: _form_token() == token,
    )


def _form_token() -> str | None:
    token: str | None = flask.session.get("csrf_token")
    return token
