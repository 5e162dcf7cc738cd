"""The front page: what I may run, my latest runs as they move, and what failed lately."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, Response, render_template
from flask_login import login_required

from portal.domain.states import State
from portal.models import Account, Submission
from portal.pages import fragments, words
from portal.pages.accounts import signed_in
from portal.services import backends, jobs, submissions
from portal.web import current_account, session

pages = Blueprint("home", __name__)
pages.record_once(lambda state: state.app.jinja_env.filters.update(words.FILTERS))

LATEST = 8
LATELY = 4


@pages.get("/")
def index() -> str:
    account = current_account()
    heard = backends.heard(session())
    offered = [(job, jobs.obstacles(session(), job, heard)) for job in jobs.runnable_by(session(), account)]
    if account is None:
        return render_template("home/welcome.html", offered=offered)
    return render_template("home/index.html", offered=offered, **_runs_of(account))


@pages.get("/latest")
@login_required
def latest() -> Response:
    found = _runs_of(signed_in())
    return fragments.polled(
        "home/_runs.html", {name: [*map(_mark, rows)] for name, rows in found.items()}, lambda: found
    )


def _runs_of(account: Account) -> dict[str, Sequence[Submission]]:
    newest = submissions.listing(session(), account, submissions.Wanted(own=True, limit=LATEST))
    return {"latest": newest, "failed": _failed(account)}


def _mark(submission: Submission) -> tuple[object, ...]:
    """What a line of it is made of, beside what never changes."""
    return submission.uuid, submission.state


def _failed(account: Account) -> list[Submission]:
    found = [
        submission
        for state in (State.ERROR, State.CRASH)
        for submission in submissions.listing(session(), account, submissions.Wanted(state=state, limit=LATELY))
    ]
    return sorted(found, key=lambda submission: submission.id, reverse=True)[:LATELY]
