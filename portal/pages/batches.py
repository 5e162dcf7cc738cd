"""A batch: the submissions of one request, as far as whoever asks may see them, some at a time."""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, Response, render_template, request

from portal.domain.errors import NotFound
from portal.domain.states import State
from portal.pages import fragments
from portal.services import submissions
from portal.services.submissions import Members
from portal.web import current_account, session

pages = Blueprint("batches", __name__, url_prefix="/batches")

PAGE = 100
LARGEST_PLACE = 2**31 - 1


@pages.get("/<uuid>")
def show(uuid: str) -> str:
    return render_template("batches/show.html", **_shown(_members(uuid)))


@pages.get("/<uuid>/progress", endpoint="progress")
def follow(uuid: str) -> Response:
    """The live part of its page."""
    shown = _shown(_members(uuid))
    second = int(time.time()) if any(row.runs_now for row in shown["rows"]) else None
    mark = shown["batch"].state, shown["counts"], [row.facts for row in shown["rows"]], shown["more"], second
    return fragments.polled("batches/_members.html", (request.full_path, mark), lambda: shown)


def _members(uuid: str) -> Members:
    return Members(session(), submissions.batch(session(), uuid), lambda job: current_account())


def _shown(members: Members) -> dict[str, Any]:
    asked = request.args.get("state", "")
    state = State(asked) if asked in set(State) else None
    after = min(request.args.get("after", -1, type=int), LARGEST_PLACE)
    counts = members.counts()
    if not counts:
        raise NotFound(submissions.NO_BATCH)
    found = members.page(after, PAGE + 1, state)
    return {
        "batch": members.batch,
        "counts": counts,
        "rows": found[:PAGE],
        "more": len(found) > PAGE,
        "state": state,
        "after": after,
    }
