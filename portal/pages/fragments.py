"""Parts of pages that htmx asks for again and again: unchanged ones cost a 304."""

from __future__ import annotations

from typing import Any

from flask import Response, make_response, render_template, request


def polled(template: str, **values: Any) -> Response:
    """A fragment whose ETag is made from its content."""
    response = make_response(render_template(template, **values))
    response.headers["Cache-Control"] = "private, no-cache"
    response.add_etag()
    return response.make_conditional(request)
