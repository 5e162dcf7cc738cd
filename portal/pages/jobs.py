"""Jobs: their list, the composer with its graph, and the form that runs one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, abort, current_app, flash, jsonify, redirect, render_template, request, url_for
from flask_login import login_required

from portal import validators, web
from portal.domain import values
from portal.domain.errors import Conflict, Invalid, NotAllowed, NotFound, TooMany, Unavailable
from portal.domain.parameters import Kind, Rule
from portal.domain.plugins import plugins
from portal.domain.policy import Action
from portal.models import Batch, Job, JobRevision
from portal.pages import sheets, snippets
from portal.pages.accounts import signed_in
from portal.pages.forms import blame
from portal.pages.run_form import RunForm
from portal.pages.task_forms import JobForm
from portal.services import access, catalogue, jobs, sharing, submissions

pages = Blueprint("jobs", __name__)
COLUMNS = (
    "name", "description", "owner", "public", "open_links", "shared", "enabled", "steps", "validators", "keep_days",
    "revision", "changed",
)  # fmt: skip


@pages.get("/jobs")
@login_required
def index() -> str:
    return render_template("jobs/index.html", jobs=_rows(), may_edit=web.may(Action.EDIT_TASKS))


@pages.get("/jobs.json")
@login_required
def index_json() -> Response:
    return jsonify(jobs=_rows())


@pages.get("/jobs.csv")
@login_required
def index_csv() -> Response:
    return sheets.csv_of("jobs.csv", [_cells(row) for row in _rows()], COLUMNS)


@pages.route("/jobs/new", methods=["GET", "POST"])
@web.only_for(Action.EDIT_TASKS)
def new() -> Any:
    return _save(None) if request.method == "POST" else _show(JobForm(), None)


@pages.route("/jobs/<name>", methods=["GET", "POST"])
@web.only_for(Action.EDIT_TASKS)
def edit(name: str) -> Any:
    """?revision=2 opens an old revision, to save it as a new one."""
    job = jobs.to_change(web.session(), name, web.current_account())
    if request.method == "POST":
        return _save(job)
    catalogue.jobs_at_hand(web.session(), [job])
    chosen = _revision(job, request.args.get("revision", job.current.number, type=int))
    draft = replace(jobs.draft_from(chosen), groups=sharing.groups_of(web.session(), job))
    return _show(JobForm.showing(draft, job.current.number), job)


@pages.post("/jobs/graph")
@web.only_for(Action.EDIT_TASKS)
def graph() -> str:
    """The graph of the form's steps, as a fragment."""
    form = JobForm()
    form.drop_empty_rows()
    return render_template("jobs/_graph.html", **_picture(form))


@pages.post("/jobs/<name>/delete")
@web.only_for(Action.EDIT_TASKS)
def delete(name: str) -> Any:
    try:
        with jobs.changing(web.session()) as session:
            jobs.delete(session, jobs.to_change(session, name, signed_in()), signed_in())
    except Conflict as refusal:
        flash(str(refusal), "error")
        return redirect(url_for("jobs.edit", name=name), 303)
    flash(f"The job {name} is deleted. What it has run stays.")
    return redirect(url_for("jobs.index"), 303)


@pages.route("/jobs/<name>/run", methods=["GET", "POST"])
def run(name: str) -> Any:
    """?p.<parameter>=<value> fills the form in."""
    job = _job_to_run(name)
    form = RunForm(jobs.fields(job), request.args, data=_first_values(job))
    return _submit(form, job) if request.method == "POST" else _show_run(form, job)


def _submit(form: RunForm, job: Job) -> Any:
    order = form.order(job.name, _input_ending(job), web.current_account(), request.remote_addr or "")
    try:
        batch = submissions.submit(web.session(), order)
    except Invalid as wrong:
        form.blame(wrong)
        return _show_run(form, job), 422
    except (TooMany, Unavailable) as refusal:
        form.form_errors.append(str(refusal))
        return _show_run(form, job), web.STATUS[type(refusal)]
    except (NotAllowed, Conflict) as refusal:
        flash(str(refusal), "error")
        return redirect(url_for("jobs.run", name=job.name), 303)
    return redirect(_address(batch), 303)


def _address(batch: Batch) -> str:
    if len(batch.submissions) == 1:
        return url_for("submissions.show", uuid=batch.submissions[0].uuid)
    return url_for("batches.show", uuid=batch.uuid)


def _job_to_run(name: str) -> Job:
    """Whoever is not signed in does not learn which private jobs exist."""
    account = web.current_account()
    try:
        return catalogue.jobs_at_hand(web.session(), [jobs.seen(web.session(), name, account)])[0]
    except NotFound:
        if account is None:
            abort(web.login.unauthorized())
        raise


def _first_values(job: Job) -> dict[str, str]:
    account = web.current_account()
    dated = f"{job.name[:47]} {datetime.now(UTC):%Y-%m-%d %H:%M}"
    return {
        "submission_name": request.args.get("submission_name", dated),
        "email": account.email if account else "",
    }


def _show_run(form: RunForm, job: Job) -> str:
    asked = _asked(form, job)
    form.ask_for_the_files_again()
    form.input_data.description = _about_input(job)
    form.tell(_about_files(job))
    return render_template(
        "jobs/run.html",
        job=job,
        form=form,
        obstacles=_obstacles(job),
        kept=_days(job.keep_days or current_app.config["PORTAL"].portal_keep_days),
        snippets={"curl": snippets.curl(asked), "Python": snippets.python(asked), "R": snippets.r(asked)},
        drawing=jobs.picture(web.session(), jobs.draft_of(job)).drawing,
        may_edit=access.may(web.current_account(), Action.CHANGE_JOB, job),
    )


def _about_input(job: Job) -> str:
    largest = values.size(current_app.config["PORTAL"].portal_max_upload_bytes)
    about = f"The first step takes {_input_ending(job)}; at most {largest}."
    return " ".join([about, *(sentence for field, sentence in _about_files(job) if not field)])


def _about_files(job: Job) -> list[tuple[str, str]]:
    """What validators expect of each file, by field; the input has none."""
    entries = map(validators.entry, job.current.validators)
    return [(entry.field, _about_check(entry)) for entry in entries]


def _about_check(entry: validators.Entry) -> str:
    """What a validator expects of the file, with its options."""
    known = plugins("validators").get(entry.name)
    if known is None:
        return f"Checked by {entry.name}."
    asked = f" (here: {entry.options})" if entry.options else ""
    return f"{known.label}{asked}: {known.constants.get('HINT', '')}"


def _about_keeping() -> str:
    usual = _days(current_app.config["PORTAL"].portal_keep_days)
    otherwise = f"{usual}, as the settings say" if usual else "for ever"
    return f"After a run has ended, with its input and logs. Empty: {otherwise}. Counts for runs that end from now on."


def _days(count: int | None) -> str:
    return f"{count} {'day' if count == 1 else 'days'}" if count else ""


def _asked(form: RunForm, job: Job) -> snippets.Request:
    account, chosen = web.current_account(), current_app.config["PORTAL"]
    name, email = form.submission_name.data or job.name, form.email.data or "you@example.org"
    return snippets.Request(
        url=f"{chosen.address}{chosen.rest_roots[0]}/submission.json",
        fields={"job": job.name, "submission_name": name, "email": email, **_example_values(form, job)},
        file=f"input{_input_ending(job)}",
        files=_example_files(job),
        account=account.name if account and not access.may(None, Action.RUN_JOB, job) else "",
    )


def _example_values(form: RunForm, job: Job) -> dict[str, str]:
    """What stands in the form. A value that must be sent and is not there is named, to put one's own in its place."""
    rules = {each.name: each.rule for each in jobs.fields(job)}
    named = {name: text or _stand_in(rules[name]) for name, text in form.values.texts().items()}
    return {name: text for name, text in named.items() if text}


def _stand_in(rule: Rule) -> str:
    wanted = " or ".join(rule.choices) if rule.kind is Kind.CHOICE else rule.kind
    return f"<{wanted}>" if rule.required else ""


def _example_files(job: Job) -> dict[str, str]:
    """The files that must be sent beside the input, with names to put one's own in place of."""
    wanted = [each for each in jobs.fields(job) if each.rule.kind is Kind.FILE and each.rule.required]
    return {each.name: f"{each.name}{next(iter(each.rule.choices), '')}" for each in wanted}


def _obstacles(job: Job) -> list[str]:
    off = [] if job.enabled else [f"The job {job.name} is switched off."]
    return [*off, *jobs.obstacles(web.session(), job)]


def _input_ending(job: Job) -> str:
    """What the first step takes, to name a file by that has no name of its own."""
    first = jobs.first(job)
    endings = first.inputs if first else []
    return next((ending for ending in endings if ending.startswith(".")), ".txt")


def _save(job: Job | None) -> Any:
    form = JobForm()
    form.rearrange(request.form.get("rearrange", ""))
    form.drop_empty_rows()
    if "rearrange" in request.form:
        return _show(form, job)
    try:
        saved = _write(form, job)
    except Invalid as wrong:
        blame(form, wrong)
        return _show(form, job), 422
    flash(f"Saved {saved.job.name} as revision {saved.number}.")
    return redirect(url_for("jobs.edit", name=saved.job.name), 303)


def _write(form: JobForm, job: Job | None) -> JobRevision:
    form.check_readable()
    with jobs.changing(web.session()) as session:
        if job:
            form.check_base(job.current.number)
        return jobs.save(session, form.draft(), web.current_account(), job)


def _show(form: JobForm, job: Job | None) -> str:
    picture = _picture(form)
    form.add_spare_rows()
    account = signed_in()
    choice = jobs.Choice(web.session(), account, job)
    form.offer(choice.tasks(), choice.jobs(), [each.name for each in sharing.groups_for(web.session(), account)])
    form.keep_days.description = _about_keeping()
    return render_template("jobs/edit.html", form=form, job=job, **picture)


def _revision(job: Job, number: int) -> JobRevision:
    for each in job.revisions:
        if each.number == number:
            return each
    raise NotFound(f"The job {job.name} has no revision {number}.")


def _picture(form: JobForm) -> dict[str, Any]:
    return vars(jobs.picture(web.session(), form.draft(), signed_in()))


def _rows() -> list[dict[str, Any]]:
    session, account = web.session(), signed_in()
    seen = catalogue.jobs_at_hand(session, jobs.seen_by(session, account))
    shared = sharing.shown_groups(session, seen, account)
    mine = access.among(session, account, Action.CHANGE_JOB, seen)
    return [_row(job, shared[job.id], job.id in mine) for job in seen]


def _row(job: Job, shared: Sequence[str], mine: bool) -> dict[str, Any]:
    current = job.current
    return {
        "name": job.name,
        "description": current.description,
        "owner": job.owner.name if job.owner else "",
        "public": job.public,
        "open_links": job.open_links,
        "shared": shared,
        "may_edit": mine,
        "enabled": job.enabled,
        "steps": jobs.stages(job),
        "validators": current.validators,
        "keep_days": job.keep_days,
        "revision": current.number,
        "changed": current.created.isoformat(timespec="seconds"),
    }


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    steps = " > ".join(" + ".join(stage) for stage in row["steps"])
    shared = ", ".join(row["shared"])
    return {**row, "shared": shared, "steps": steps, "validators": "; ".join(row["validators"])}
