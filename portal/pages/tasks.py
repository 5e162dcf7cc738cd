"""Tasks: their list, their editor with a preview of what will run, and their history."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from flask import Blueprint, Response, flash, jsonify, redirect, render_template, request, url_for

from portal import web
from portal.database import transaction
from portal.domain.errors import Conflict, Invalid, NotFound
from portal.domain.limits import NAMES, TITLES, Limits, words
from portal.domain.plugins import plugins
from portal.domain.policy import Action
from portal.models import Task, TaskRevision
from portal.pages import sheets
from portal.pages.accounts import signed_in
from portal.pages.forms import blame
from portal.pages.run_form import drawn_parameters
from portal.pages.task_forms import TaskForm
from portal.services import access, backends, catalogue, jobs, secrets, sharing, tasks

pages = Blueprint("tasks", __name__)
COLUMNS = (
    "name", "description", "owner", "public", "shared", "language", "backend", "inputs", "outputs", "revision",
    "changed", "jobs",
)  # fmt: skip


@pages.get("/tasks")
@web.only_for(Action.EDIT_TASKS)
def index() -> str:
    return render_template("tasks/index.html", tasks=_rows())


@pages.get("/tasks.json")
@web.only_for(Action.EDIT_TASKS)
def index_json() -> Response:
    return jsonify(tasks=_rows())


@pages.get("/tasks.csv")
@web.only_for(Action.EDIT_TASKS)
def index_csv() -> Response:
    return sheets.csv_of("tasks.csv", [_cells(row) for row in _rows()], COLUMNS)


@pages.route("/tasks/new", methods=["GET", "POST"])
@web.only_for(Action.EDIT_TASKS)
def new() -> Any:
    """?language=r and ?backend=R choose them beforehand."""
    if request.method == "POST":
        return _save(None)
    return _show(TaskForm(data={name: request.args.get(name) for name in ("name", "language", "backend")}), None)


@pages.route("/tasks/<name>", methods=["GET", "POST"])
@web.only_for(Action.EDIT_TASKS)
def edit(name: str) -> Any:
    """?revision=2 opens an old revision, to save it as a new one."""
    task = tasks.to_change(web.session(), name, web.current_account())
    if request.method == "POST":
        return _save(task)
    chosen = _revision(task, request.args.get("revision", task.current.number, type=int))
    draft = replace(tasks.draft_of(chosen), groups=sharing.groups_of(web.session(), task))
    return _show(TaskForm.showing(draft, task.current.number), task)


@pages.post("/tasks/preview")
@web.only_for(Action.EDIT_TASKS)
def preview() -> str:
    """What the form would run and draw, as a fragment."""
    form = TaskForm()
    form.drop_empty_rows()
    return render_template("tasks/_preview.html", **_preview(form))


@pages.get("/tasks/<name>/revisions/<int:number>")
@web.only_for(Action.EDIT_TASKS)
def revision(name: str, number: int) -> str:
    found = _revision(tasks.seen(web.session(), name, web.current_account()), number)
    draft = tasks.draft_of(found)
    return render_template(
        "tasks/revision.html",
        revision=found,
        language=plugins("languages").get(found.language),
        limits=_told(draft.limits, draft.limits),
        retries=draft.retries.words(),
        may_edit=access.may(web.current_account(), Action.CHANGE_TASK, found.task),
    )


@pages.post("/tasks/<name>/delete")
@web.only_for(Action.EDIT_TASKS)
def delete(name: str) -> Any:
    try:
        with transaction(web.session()) as session:
            tasks.delete(session, tasks.to_change(session, name, signed_in()), signed_in())
    except Conflict as refusal:
        flash(str(refusal), "error")
        return redirect(url_for("tasks.edit", name=name), 303)
    flash(f"The task {name} is deleted.")
    return redirect(url_for("tasks.index"), 303)


def _save(task: Task | None) -> Any:
    form = TaskForm()
    form.rearrange(request.form.get("rearrange", ""))
    form.drop_empty_rows()
    if "rearrange" in request.form:
        return _show(form, task)
    try:
        saved = _write(form, task)
    except Invalid as wrong:
        blame(form, wrong)
        return _show(form, task), 422
    flash(f"Saved {saved.task.name} as revision {saved.number}.")
    return redirect(url_for("tasks.edit", name=saved.task.name), 303)


def _write(form: TaskForm, task: Task | None) -> TaskRevision:
    form.check_readable()
    with transaction(web.session()) as session:
        if task:
            form.check_base(task.current.number)
        return tasks.save(session, form.draft(), web.current_account(), task)


def _show(form: TaskForm, task: Task | None) -> str:
    form.offer(backends.every(web.session()))
    form.groups.choices = [each.name for each in sharing.groups_for(web.session(), signed_in())]
    shown = _preview(form)
    form.add_spare_rows()
    usable = secrets.visible(web.session(), signed_in())
    return render_template("tasks/edit.html", form=form, task=task, secrets=usable, **shown)


def _preview(form: TaskForm) -> dict[str, Any]:
    draft = form.draft()
    backend = backends.named(web.session(), form.chosen_backend())
    return {
        "command": tasks.shown_command(draft),
        "language": plugins("languages").get(draft.language),
        "drawn": drawn_parameters(draft),
        "backend": backend.name if backend else "",
        "bounds": _told(backends.bounds(backend, draft.limits), draft.limits) if backend else [],
        "retries": draft.retries.words(),
    }


@dataclass(frozen=True)
class ToldLimit:
    """A limit in words, none if there is none; `own` if the task itself asks for it."""

    title: str
    words: str
    own: bool


def _told(limits: Limits, asked: Limits) -> list[ToldLimit]:
    stated, own = limits.stated(), asked.stated()
    worded = {name: words(name, value) for name, value in stated.items()}
    return [ToldLimit(TITLES[name], worded.get(name, ""), name in own) for name in NAMES]


def _revision(task: Task, number: int) -> TaskRevision:
    for each in task.revisions:
        if each.number == number:
            return each
    raise NotFound(f"The task {task.name} has no revision {number}.")


def _rows() -> list[dict[str, Any]]:
    session, account = web.session(), signed_in()
    users: dict[str, list[str]] = {}
    for job in catalogue.jobs_at_hand(session, jobs.seen_by(session, account)):
        for name in dict.fromkeys(step.task.name for step in job.current.steps if step.task):
            users.setdefault(name, []).append(job.name)
    seen = tasks.seen_by(session, account)
    catalogue.tasks_at_hand(session, seen)
    shared = sharing.shown_groups(session, seen, account)
    mine = access.among(session, account, Action.CHANGE_TASK, seen)
    return [
        {**_row(task.current), "shared": shared[task.id], "may_edit": task.id in mine, "jobs": users.get(task.name, [])}
        for task in seen
    ]


def _row(current: TaskRevision) -> dict[str, Any]:
    language = plugins("languages").get(current.language)
    return {
        "name": current.task.name,
        "owner": current.task.owner.name if current.task.owner else "",
        "public": current.task.public,
        "description": current.description,
        "language": language.label if language else current.language,
        "backend": current.backend.name,
        "inputs": current.inputs,
        "outputs": [*current.outputs, *([current.stdout] if current.stdout else [])],
        "revision": current.number,
        "changed": current.created.isoformat(timespec="seconds"),
    }


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    return {name: " ".join(value) if isinstance(value, list) else value for name, value in row.items()}
