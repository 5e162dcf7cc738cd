"""Whether the portal can answer, for whatever watches it: one word, and nothing about how it is made."""

from __future__ import annotations

from flask import Blueprint, Response
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from portal.hosts import HEALTH
from portal.web import session

pages = Blueprint("health", __name__)


@pages.get(HEALTH)
def show() -> Response:
    try:
        session().execute(select(1))
    except SQLAlchemyError:
        return _said("down", 503)
    return _said("up", 200)


def _said(word: str, status: int) -> Response:
    return Response(f"{word}\n", status, {"Cache-Control": "no-store"}, mimetype="text/plain")
