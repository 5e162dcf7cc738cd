"""Runs: the list of them, and the page of one, whose live part is a polled fragment until the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, flash, jsonify, redirect, render_template, url_for
from flask_login import login_required
from htmx_flask import request

from portal import downloads
from portal.database import transaction
from portal.domain.errors import NotAllowed, NotFound
from portal.domain.names import public_name
from portal.domain.states import State
from portal.models import Message, Result, Run, Submission, Upload
from portal.pages import fragments, sheets
from portal.pages.accounts import signed_in
from portal.pages.run_form import VALUE_PREFIX
from portal.services import jobs, progress, results, submissions, views
from portal.web import current_account, session

pages = Blueprint("submissions", __name__)

PAGE = 50
TWIN = 1000
LARGEST_ID = 2**62
LONGEST_ADDRESS = 3000
STREAMS = {"stdout": "standard output", "stderr": "standard error"}


@dataclass(frozen=True)
class Filters:
    """What the list's address asks for."""

    job: str
    state: State | None
    text: str
    before: int | None

    @classmethod
    def of_request(cls) -> Filters:
        asked = {name: request.args.get(name, "").replace("\0", "").strip()[:200] for name in ("job", "state", "text")}
        before = request.args.get("before", type=int)
        return cls(
            job=asked["job"],
            state=State(asked["state"]) if asked["state"] in set(State) else None,
            text=asked["text"],
            before=None if before is None else max(0, min(before, LARGEST_ID)),
        )

    def address(self, before: int | None = None) -> dict[str, str | int | None]:
        """The same filters as the parts of an address."""
        return {"job": self.job or None, "state": self.state, "text": self.text or None, "before": before}


@dataclass(frozen=True)
class Step:
    """A run as its page shows it: with the last lines of what it wrote."""

    run: Run
    tails: dict[str, str]


@pages.get("/runs")
@login_required
def index() -> str:
    filters = Filters.of_request()
    found = _found(filters, PAGE + 1)
    return render_template(
        "submissions/index.html",
        filters=filters,
        found=found[:PAGE],
        more=len(found) > PAGE,
        jobs=[job.name for job in jobs.every(session())],
        states=State,
    )


@pages.get("/runs.json")
@login_required
def index_json() -> Response:
    return jsonify(runs=[_row(submission) for submission in _found(Filters.of_request(), TWIN)])


@pages.get("/runs.csv")
@login_required
def index_csv() -> Response:
    return sheets.csv_of("runs.csv", [_row(submission) for submission in _found(Filters.of_request(), TWIN)], COLUMNS)


@pages.get("/runs/<uuid>")
def show(uuid: str) -> str:
    return render_template("submissions/show.html", **_shown(submissions.get(session(), uuid)))


@pages.get("/runs/<uuid>/progress", endpoint="progress")
def follow(uuid: str) -> Response:
    return fragments.polled("submissions/_progress.html", **_shown(submissions.get(session(), uuid)))


@pages.post("/runs/<uuid>/stop")
def stop(uuid: str) -> Any:
    account = current_account()
    if account is None or not submissions.may_stop(account, submissions.get(session(), uuid)):
        raise NotAllowed("Only who started this run, or an administrator, may stop it.")
    by = account.name
    with transaction(session()) as writing:
        progress.stop(writing, submissions.get(writing, uuid), by)
    flash("The run is asked to stop.")
    return redirect(url_for("submissions.show", uuid=uuid))


@pages.get("/runs/<uuid>/steps/<run_uuid>/<any(stdout, stderr):stream>")
def log(uuid: str, run_uuid: str, stream: str) -> Response:
    run = _run(submissions.get(session(), uuid), run_uuid)
    return downloads.text(f"{run.task_name}.{stream}.txt", results.log(session(), run, stream))


@pages.get("/runs/<uuid>/results/<name>")
def download(uuid: str, name: str) -> Response:
    return downloads.file(_stored(uuid, name))


@pages.get("/runs/<uuid>/results/<name>/preview")
def preview(uuid: str, name: str) -> str:
    stored = _stored(uuid, name)
    template = "submissions/_preview.html" if request.htmx else "submissions/preview.html"
    return render_template(
        template, submission=submissions.get(session(), uuid), stored=stored, preview=results.preview(stored)
    )


def _found(filters: Filters, limit: int) -> Sequence[Submission]:
    wanted = submissions.Wanted(filters.job, filters.state, filters.text, filters.before, limit=limit)
    return submissions.listing(session(), signed_in(), wanted)


COLUMNS = ("id", "name", "job", "revision", "state", "submitted", "started", "ended", "batch", "url")


def _row(submission: Submission) -> dict[str, Any]:
    """A run in the list's twins; its fields are COLUMNS."""
    moments = (submission.created, submission.started, submission.ended)
    return dict(
        zip(
            COLUMNS,
            (
                submission.uuid,
                submission.batch.name,
                submission.job_name,
                submission.job_revision,
                submission.state.value,
                *(moment.isoformat() if moment else None for moment in moments),
                submission.batch.uuid,
                url_for("submissions.show", uuid=submission.uuid, _external=True),
            ),
            strict=True,
        )
    )


def _shown(submission: Submission) -> dict[str, Any]:
    return {
        "submission": submission,
        "drawing": views.drawing(submission),
        "story": _story(submission),
        "again": _again(submission),
        "steps": [Step(run, _tails(run)) for run in submission.runs],
        "results": results.of_submission(submission),
        "inputs": _inputs(submission),
        "streams": STREAMS,
        "shown_name": shown_name,
        "may_stop": not submission.state.final and submissions.may_stop(current_account(), submission),
    }


def _story(submission: Submission) -> list[Message]:
    """Its messages; the last one not where it says again what the one before it said."""
    messages = list(submission.messages)
    twice = len(messages) > 1 and messages[-1].sentence == messages[-2].sentence
    return messages[:-1] if twice else messages


def _again(submission: Submission) -> str:
    """The address of the form that runs its job, filled in as it was; what is too long for an address is left out."""
    given = {
        VALUE_PREFIX + public_name(run.task_name, each["name"]): each["text"]
        for run in submission.runs
        for each in run.work["arguments"]
    }
    given = dict(sorted(given.items(), key=lambda each: len(each[1])))
    where = {"name": submission.job_name, "submission_name": submission.batch.name}
    while len(address := url_for("jobs.run", **where, **given)) > LONGEST_ADDRESS and given:
        given.popitem()
    return address


def shown_name(result: Result) -> str:
    """A result's name for people: without the run's id, with its task's where nothing else would be left."""
    place, _, ending = result.name.removeprefix(result.run.submission.uuid).partition(".")
    return ending if "." in ending and not place else f"{result.run.task_name}{place}.{ending}"


def _tails(run: Run) -> dict[str, str]:
    tails = {stream: results.log_tail(session(), run, stream) for stream in STREAMS} if run.attempt else {}
    return {stream: text for stream, text in tails.items() if text}


def _inputs(submission: Submission) -> list[tuple[str, Upload]]:
    return [(results.input_name(submission), upload) for upload in submission.batch.uploads[:1]]


def _run(submission: Submission, run_uuid: str) -> Run:
    for run in submission.runs:
        if run.uuid == run_uuid:
            return run
    raise NotFound("There is no such step.")


def _stored(uuid: str, name: str) -> results.Stored:
    """A file of this very run."""
    if not name.startswith(submissions.get(session(), uuid).uuid):
        raise NotFound("There is no such file, or not yet.")
    return results.find(session(), name)
