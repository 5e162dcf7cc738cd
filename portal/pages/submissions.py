"""Runs: the list of them, and the page of one, whose live part is a polled fragment until the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, flash, jsonify, redirect, render_template, url_for
from flask_login import login_required
from htmx_flask import request

from portal import downloads
from portal.database import transaction
from portal.domain.errors import Invalid, NotFound, PortalError
from portal.domain.names import public_name
from portal.domain.parameters import Kind
from portal.domain.policy import Action
from portal.domain.states import State
from portal.models import Message, Result, Run, Submission
from portal.pages import fragments, sheets
from portal.pages.accounts import signed_in
from portal.pages.run_form import VALUE_PREFIX
from portal.services import (
    access,
    integrity,
    jobs,
    keeping,
    logs,
    looks,
    progress,
    results,
    resuming,
    sharing,
    stories,
    submissions,
    views,
)
from portal.web import current_account, session

pages = Blueprint("submissions", __name__)

PAGE = 50
TWIN = 1000
LARGEST_ID = 2**62
LONGEST_ADDRESS = 3000
GONE = f"{submissions.NO_RUN} It may have been deleted."
Given = tuple[Run, list[dict[str, Any]]]
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


@pages.get("/runs")
@login_required
def index() -> str:
    filters = Filters.of_request()
    found = _found(filters, PAGE + 1)
    return render_template(
        "submissions/index.html",
        filters=filters,
        found=found[:PAGE],
        further=found[PAGE - 1].id if len(found) > PAGE else _oldest_looked_at(filters),
        jobs=[job.name for job in jobs.seen_by(session(), signed_in())],
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
    submission = _submission(uuid)
    shown = _shown(submission)
    more = {"again": _again(submission, shown["given"]), "in_company": submissions.in_company(session(), submission)}
    return render_template("submissions/show.html", **shown, **more, **_sharing(submission))


@pages.get("/runs/<uuid>/progress", endpoint="progress")
def follow(uuid: str) -> Response:
    """The live part of a run's page. A page that follows a run which is gone is told to load anew."""
    look = looks.at(session(), uuid, current_account())
    if look is None and request.htmx:
        return Response(headers={"HX-Refresh": "true"})
    return fragments.polled("submissions/_progress.html", _mark(look), lambda: _shown(_submission(uuid)))


@pages.post("/runs/<uuid>/share")
def share(uuid: str) -> Any:
    """With the account of this name, or with the group."""
    _own(uuid)
    name, group = (request.form.get(each, "").strip() for each in ("account", "group"))
    try:
        with transaction(session()) as writing:
            whom = sharing.share_run(writing, submissions.get(writing, uuid), name, group, signed_in())
    except Invalid as wrong:
        flash(" ".join(wrong.fields.values()), "error")
    else:
        flash(f"{whom} may see this run now.")
    return redirect(url_for("submissions.show", uuid=uuid), 303)


@pages.post("/runs/<uuid>/shares/<int:share_id>/delete")
def unshare(uuid: str, share_id: int) -> Any:
    _own(uuid)
    with transaction(session()) as writing:
        whom = sharing.unshare_run(writing, submissions.get(writing, uuid), share_id, signed_in())
    flash(f"The run is not shared with {whom} any more.")
    return redirect(url_for("submissions.show", uuid=uuid), 303)


@pages.post("/runs/<uuid>/stop")
def stop(uuid: str) -> Any:
    over = _own(uuid).state.final
    with transaction(session()) as writing:
        progress.stop(writing, submissions.get(writing, uuid))
    flash("This run had ended already." if over else "The run is asked to stop.")
    return redirect(url_for("submissions.show", uuid=uuid))


@pages.post("/runs/<uuid>/delete")
def delete(uuid: str) -> Any:
    name = _own(uuid).batch.name
    with transaction(session()) as writing:
        keeping.delete(writing, submissions.get(writing, uuid))
    flash(f"The run {name} is being deleted.")
    return redirect(url_for("submissions.index"), 303)


@pages.post("/runs/<uuid>/resume")
def resume(uuid: str) -> Any:
    _own(uuid)
    order = resuming.Resumption(
        uuid,
        current_account(),
        step=request.form.get("step") or None,
        current="current" in request.form,
        address=request.remote_addr or "",
        idempotency_key=request.form.get("key"),
    )
    try:
        uuid = resuming.resume(session(), order).uuid
    except PortalError as refusal:
        flash(str(refusal), "error")
    return redirect(url_for("submissions.show", uuid=uuid), 303)


@pages.get("/runs/<uuid>/steps/<run_uuid>/<any(stdout, stderr):stream>")
def log(uuid: str, run_uuid: str, stream: str) -> Response:
    """What the last attempt wrote, or with ?attempt= the one of this number, counted from 1."""
    run = _run(_submission(uuid), run_uuid)
    wanted = request.args.get("attempt", type=int)
    if wanted is not None and not 1 <= wanted <= len(run.attempts):
        raise NotFound("There is no such attempt.")
    written = logs.Written(run.id, run.attempts[wanted - 1].number if wanted else run.attempt, stream)
    size = logs.size(session(), written)
    name = f"{run.task_name}.{wanted}.{stream}.txt" if wanted else f"{run.task_name}.{stream}.txt"
    return downloads.log(name, logs.Log(written, size), f"{run.uuid}.{written.attempt}.{size}")


@pages.get("/runs/<uuid>/results/<name>")
def download(uuid: str, name: str) -> Response:
    return downloads.file(_stored(uuid, name), current_account())


@pages.get("/runs/<uuid>/results/<name>/preview")
def preview(uuid: str, name: str) -> str:
    stored = _stored(uuid, name)
    template = "submissions/_preview.html" if request.htmx else "submissions/preview.html"
    with integrity.part(stored) as stream:
        seen = results.preview(stored, stream)
    return render_template(template, submission=_submission(uuid), stored=stored, preview=seen)


def _mark(look: looks.Look | None) -> object:
    """All that the live part is made of; while it runs, the second is a part of that."""
    if look is None:
        raise NotFound(GONE)
    present = datetime.now(UTC)
    if not look.state.final:
        return look.facts, look.rights, int(present.timestamp()) if look.started else None
    return look.facts, look.rights, views.left(look.expires, present) if look.expires else ""


def _found(filters: Filters, limit: int) -> Sequence[Submission]:
    wanted = submissions.Wanted(filters.job, filters.state, filters.text, filters.before, limit=limit)
    return submissions.listing(session(), signed_in(), wanted)


def _oldest_looked_at(filters: Filters) -> int | None:
    """Where the search for a name has ended, if there are older ones."""
    wanted = submissions.Wanted(filters.job, filters.state, filters.text, filters.before)
    return submissions.oldest_looked_at(session(), signed_in(), wanted) if filters.text else None


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


def _submission(uuid: str) -> Submission:
    try:
        return submissions.seen(session(), uuid, current_account())
    except NotFound:
        raise NotFound(GONE) from None


def _own(uuid: str) -> Submission:
    """The submission, if whoever asks may change it."""
    submission = _submission(uuid)
    access.check(current_account(), Action.CHANGE_RUN, submission)
    return submission


def _shown(submission: Submission) -> dict[str, Any]:
    present = datetime.now(UTC)
    mine = access.may(current_account(), Action.CHANGE_RUN, submission)
    return {
        "submission": submission,
        "steps": views.steps(session(), submission, present),
        "drawing": views.drawing(submission, present),
        "story": _story(submission),
        "results": results.of_submission(submission),
        "inputs": results.inputs(submission),
        "given": _given(submission),
        "sent": {upload.field: upload.name for upload in submission.uploads},
        "streams": STREAMS,
        "shown_name": shown_name,
        "may_stop": mine and not submission.state.final,
        "may_delete": mine,
        "days_left": views.left(submission.expires, present) if submission.expires else "",
        **_kin(submission),
    }


def _sharing(submission: Submission) -> dict[str, Any]:
    """Whom it is shared with, and with whom it can be: for who may change it."""
    account, job = current_account(), submission.job
    runs_again = job is not None and job.enabled and access.may(account, Action.RUN_JOB, job)
    if account is None or not access.may(account, Action.CHANGE_RUN, submission):
        return {"may_run_again": runs_again}
    return {
        "may_run_again": runs_again,
        "shares": sharing.of_run(session(), submission),
        "groups": sharing.groups_for(session(), account),
        "open_link": access.may(None, Action.SEE_RUN, submission),
    }


def _kin(submission: Submission) -> dict[str, Any]:
    """What it continues, what continues it, and where it could be resumed. The key makes of two presses one run."""
    offered = resuming.may_resume(current_account(), submission)
    known = resuming.continuations(session(), submission) if submission.state.final else []
    seen = access.among(session(), current_account(), Action.SEE_RUN, known) if known else set()
    later = [each for each in known if each.id in seen]
    return {
        "source": _source(submission),
        "continuations": later,
        "starts": resuming.starts(submission) if offered else [],
        "resume_key": f"{submission.uuid}.after.{later[-1].uuid if later else 'none'}",
    }


def _source(submission: Submission) -> Submission | None:
    """The submission that this one continues, as long as it is there to be seen."""
    if submission.resumed_from is None:
        return None
    try:
        return submissions.seen(session(), submission.resumed_from, current_account())
    except NotFound:
        return None


def _story(submission: Submission) -> list[Message]:
    """Its messages; that of the end not where it says again what the one before it said."""
    told: list[Message] = []
    for message in submission.messages:
        if message.kind != "end" or not told or told[-1].sentence != message.sentence:
            told.append(message)
    return told


def _given(submission: Submission) -> list[Given]:
    """Its runs that were given arguments, with these."""
    found = stories.frozen(session(), Run.submission_id == submission.id, Run.work["arguments"])
    return [(run, found[run.id][0]) for run in submission.runs if run.id in found and found[run.id][0]]


def _again(submission: Submission, given: Sequence[Given]) -> str:
    """The address of the form that runs its job, filled in as it was; what is too long for an address is left out."""
    values = {
        VALUE_PREFIX + public_name(run.task_name, each["name"]): each["text"]
        for run, arguments in given
        for each in arguments
        if each["kind"] != Kind.FILE
    }
    values = dict(sorted(values.items(), key=lambda each: len(each[1])))
    where = {"name": submission.job_name, "submission_name": submission.batch.name}
    while len(address := url_for("jobs.run", **where, **values)) > LONGEST_ADDRESS and values:
        values.popitem()
    return address


def shown_name(result: Result) -> str:
    """A result's name for people: without the run's id, with its task's where nothing else would be left."""
    place, _, ending = result.name.removeprefix(result.run.submission.uuid).partition(".")
    return ending if "." in ending and not place else f"{result.run.task_name}{place}.{ending}"


def _run(submission: Submission, run_uuid: str) -> Run:
    return submissions.run(session(), submission, run_uuid)


def _stored(uuid: str, name: str) -> results.Stored:
    """A file of this very run."""
    if not name.startswith(_submission(uuid).uuid):
        raise NotFound("There is no such file, or not yet.")
    return results.find(session(), name)
