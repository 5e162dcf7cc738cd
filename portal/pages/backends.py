"""Backends: where runs happen, and what each can run now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, flash, jsonify, redirect, render_template, url_for
from flask_login import login_required

from portal.database import transaction
from portal.domain import levels
from portal.domain.errors import Conflict, Invalid
from portal.domain.limits import LARGEST_LOG_BYTES, LONGEST_WALL_SECONDS, NAMES, UNLIMITED, words
from portal.domain.plugins import plugins
from portal.domain.policy import Action
from portal.models import Backend, Worker
from portal.pages import sheets
from portal.pages.forms import BackendForm, blame
from portal.services import backends, confinement, queues
from portal.web import may, only_for, session

pages = Blueprint("backends", __name__)

ONE = "/backends/<int:backend_id>"
OWN = ("name", "runner", "queue", "languages", "limits", "ceilings", "enabled", "network", "minimum_level")
QUEUE_COLUMNS = ("queue", "form", "waiting", "workers")
CONFINEMENT = ("network", "minimum_level")
CEILINGS = tuple(f"most_{name}" for name in NAMES)
COLUMNS = ("name", "runner", "queue", "languages", "obstacles", *NAMES, *CEILINGS, "enabled", *CONFINEMENT)


@pages.get("/backends")
@login_required
def index() -> str:
    heard = backends.heard(session())
    known = [
        (each, backends.abilities(session(), each, heard), _time_limit(each)) for each in backends.every(session())
    ]
    may_edit = may(Action.EDIT_BACKENDS)
    return render_template(
        "backends/index.html",
        known=known,
        runners=plugins("runners"),
        may_edit=may_edit,
        queues=queues.every(session()),
        hosts=confinement.hosts(session()),
        level_words=levels.words,
    )


@pages.get("/backends.json")
@login_required
def index_json() -> Response:
    found = {
        "backends": _rows(),
        "queues": [_queue_row(each) for each in queues.every(session())],
        "confinement": [asdict(each) for each in confinement.hosts(session())],
    }
    return jsonify(found)


@pages.get("/backends.csv")
@login_required
def index_csv() -> Response:
    return sheets.csv_of("backends.csv", [_cells(row) for row in _rows()], COLUMNS)


@pages.get("/backends/queues.csv")
@login_required
def queues_csv() -> Response:
    rows = [{**_queue_row(each), "workers": _workers(each)} for each in queues.every(session())]
    return sheets.csv_of("queues.csv", rows, QUEUE_COLUMNS)


@pages.route("/backends/new", methods=["GET", "POST"])
@only_for(Action.EDIT_BACKENDS)
def new() -> Any:
    return _edit(None)


@pages.route(ONE, methods=["GET", "POST"])
@only_for(Action.EDIT_BACKENDS)
def edit(backend_id: int) -> Any:
    return _edit(backends.get(session(), backend_id))


@pages.post(f"{ONE}/delete")
@only_for(Action.EDIT_BACKENDS)
def delete(backend_id: int) -> Any:
    try:
        with transaction(session()) as writing:
            backend = backends.get(writing, backend_id)
            name = backend.name
            backends.delete(writing, backend)
    except Conflict as refusal:
        flash(str(refusal), "error")
        return redirect(url_for("backends.edit", backend_id=backend_id), 303)
    flash(f"The backend {name} is deleted.")
    return redirect(url_for("backends.index"), 303)


def _edit(backend: Backend | None) -> Any:
    form = BackendForm.of(backend)
    if not form.is_submitted():
        return _show(form, backend)
    if not form.validate():
        return _show(form, backend, 422)
    try:
        with transaction(session()) as writing:
            name = backends.save(writing, form.draft(), backend).name
    except Invalid as wrong:
        blame(form, wrong)
        return _show(form, backend, 422)
    flash(f"The backend {name} is saved.")
    return redirect(url_for("backends.index"))


def _show(form: BackendForm, backend: Backend | None, status: int = 200) -> tuple[str, int]:
    abilities = backends.abilities(session(), backend) if backend else []
    shown = {"form": form, "backend": backend, "abilities": abilities, "endless": _endless()}
    return render_template("backends/edit.html", **shown), status


def _endless() -> str:
    """What is in force where neither a limit nor a ceiling is given, of those that always end."""
    seconds, size = f"{LONGEST_WALL_SECONDS:,} s", words("log_bytes", LARGEST_LOG_BYTES)
    return f"{seconds} ({LONGEST_WALL_SECONDS // 86_400} days) of wall time and {size} of log"


def _time_limit(backend: Backend) -> str:
    """What a task gets that asks for nothing; there always is one."""
    return words("wall_seconds", backends.bounds(backend, UNLIMITED).wall_seconds or 0)


def _rows() -> list[dict[str, Any]]:
    heard = backends.heard(session())
    return [_row(backend, heard) for backend in backends.every(session())]


def _row(backend: Backend, heard: Sequence[Worker]) -> dict[str, Any]:
    """A backend in the list's twins."""
    own = {name: getattr(backend, name) for name in OWN}
    found = {each.language: each.reason for each in backends.abilities(session(), backend, heard) if each.reason}
    return {**own, "obstacles": found}


def _queue_row(form: queues.Form) -> dict[str, Any]:
    hosts = [{"host": each.name, "processes": each.processes, "seen": each.seen.isoformat()} for each in form.hosts]
    return {"queue": form.queue, "form": form.name, "waiting": form.waiting, "workers": hosts}


def _workers(form: queues.Form) -> str:
    return " ".join(f"{each.name} ({each.processes})" for each in form.hosts) or "no worker"


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    """The same for a table: a column for each limit and for each ceiling, empty where there is none."""
    limits = {name: row["limits"].get(name) for name in NAMES}
    ceilings = {f"most_{name}": row["ceilings"].get(name) for name in NAMES}
    obstacles = " ".join(f"{language}: {reason}" for language, reason in row["obstacles"].items())
    return {**row, **limits, **ceilings, "languages": " ".join(row["languages"]), "obstacles": obstacles}
