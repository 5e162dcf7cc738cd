"""Backends: where runs happen, and what each can run now."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_login import login_required

from portal.database import transaction
from portal.domain.errors import Invalid
from portal.domain.plugins import plugins
from portal.domain.policy import Action
from portal.models import Backend
from portal.pages.forms import BackendForm, blame
from portal.services import backends
from portal.web import may, only_for, session

pages = Blueprint("backends", __name__, url_prefix="/backends")


@pages.get("")
@login_required
def index() -> str:
    known = [(backend, backends.abilities(session(), backend)) for backend in backends.every(session())]
    may_edit = may(Action.EDIT_BACKENDS)
    return render_template("backends/index.html", known=known, runners=plugins("runners"), may_edit=may_edit)


@pages.route("/new", methods=["GET", "POST"])
@only_for(Action.EDIT_BACKENDS)
def new() -> Any:
    return _edit(None)


@pages.route("/<int:backend_id>", methods=["GET", "POST"])
@only_for(Action.EDIT_BACKENDS)
def edit(backend_id: int) -> Any:
    return _edit(backends.get(session(), backend_id))


@pages.post("/<int:backend_id>/delete")
@only_for(Action.EDIT_BACKENDS)
def delete(backend_id: int) -> Any:
    with transaction(session()) as writing:
        backend = backends.get(writing, backend_id)
        name = backend.name
        backends.delete(writing, backend)
    flash(f"The backend {name} is deleted.")
    return redirect(url_for("backends.index"))


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
    return render_template("backends/edit.html", form=form, backend=backend, abilities=abilities), status
