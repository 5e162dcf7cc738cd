"""What form an answer takes: compact JSON for programs that ask for it, else a page that shows the same JSON."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any

from flask import Response, current_app, g, request
from markupsafe import Markup

from portal import kept

Body = Mapping[str, Any]

PAGE_TYPES = frozenset({"", "*/*", "text/*", "text/html"})


class Form(Enum):
    JSON = auto()
    PAGE = auto()


class Refused(Exception):
    """An answer other than the one hoped for: its status, its body, its headers."""

    def __init__(self, status: int, body: Body, **headers: str) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def not_found() -> Refused:
    return Refused(404, {"detail": "Not found."})


def asked() -> Form:
    """The form that the address, or else its `format`, or else the Accept header asks for."""
    if request.path.rstrip("/").endswith(".json"):
        return Form.JSON
    if formats := request.args.getlist("format"):
        return _of_format(formats[-1])
    return _of_accept(request.headers.get("Accept", ""))


def _of_format(name: str) -> Form:
    known = {"json": Form.JSON, "api": Form.PAGE}
    if name not in known:
        raise not_found()
    return known[name]


def _of_accept(accept: str) -> Form:
    """JSON wherever it is named, whatever the order and the weights: the first system's clients count on it."""
    wanted = {part.split(";")[0].strip().lower() for part in accept.split(",")}
    if "application/json" in wanted:
        return Form.JSON
    if wanted & PAGE_TYPES:
        return Form.PAGE
    if "application/*" in wanted:
        return Form.JSON
    raise Refused(406, {"detail": "Could not satisfy the request Accept header."})


def answer(body: Body, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The body in the form that was settled for this request; JSON where none could be."""
    draw = _page if g.get("form") is Form.PAGE else _json
    response = draw(body)
    response.status_code = status
    response.headers.update(headers or {})
    return response


def kept_answer(facts: object, body: Callable[[], Body]) -> Response:
    """The same for what is asked for again and again: these facts tell all that the body is made of."""
    paged = g.get("form") is Form.PAGE
    draw = _page if paged else _json
    data = kept.body(kept.tag(paged, facts), lambda: draw(body()).get_data())
    return Response(data, mimetype="text/html" if paged else "application/json")


def _json(body: Body) -> Response:
    return Response(json.dumps(body, separators=(",", ":"), ensure_ascii=False), mimetype="application/json")


def _page(body: Body) -> Response:
    """Two published clients read this page: quotes are `&quot;`, and nothing before the JSON tells of the body."""
    text = html.escape(json.dumps(body, indent=4, ensure_ascii=False))
    page = current_app.jinja_env.get_template("api/answer.html")
    return Response(page.render(json=Markup(text)), mimetype="text/html")  # noqa: S704 - escaped above
