"""Secrets: to make one, to give it another value, to delete it. No page ever shows a value, not even to its owner."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_wtf import FlaskForm
from wtforms import StringField, TextAreaField

from portal.database import transaction
from portal.domain.errors import Conflict, Invalid
from portal.domain.policy import Action
from portal.models import Secret
from portal.pages.accounts import signed_in
from portal.pages.forms import blame
from portal.services import secrets
from portal.web import only_for, session

pages = Blueprint("secrets", __name__, url_prefix="/secrets")


class Unseen(TextAreaField):
    """A text that is never sent back, also not when something else is wrong."""

    def _value(self) -> str:
        return ""

    def text(self) -> str:
        """As it was typed; around a single line, blanks come of copying."""
        typed = (self.data or "").replace("\r\n", "\n")
        return typed if "\n" in typed.strip() else typed.strip()


class NewForm(FlaskForm):
    name = StringField("Name", description="Tasks choose it by this name.")
    value = Unseen("Value", description="It is encrypted, and shown to nobody again.")


class ValueForm(FlaskForm):
    value = Unseen("New value", description="Runs that begin from now on get it; the old value is gone.")


@pages.get("")
@only_for(Action.EDIT_TASKS)
def index() -> str:
    return _list(NewForm(formdata=None))


@pages.post("")
@only_for(Action.EDIT_TASKS)
def create() -> Any:
    form = NewForm()
    try:
        with transaction(session()) as writing:
            made = secrets.make(writing, signed_in(), form.name.data or "", form.value.text())
            name = made.name
    except Invalid as wrong:
        blame(form, wrong)
        return _list(form), 422
    flash(f"The secret {name} is kept: tasks can name it now.")
    return redirect(url_for("secrets.index"), 303)


@pages.get("/<name>")
@only_for(Action.EDIT_TASKS)
def edit(name: str) -> str:
    return _one(secrets.get(session(), signed_in(), name), ValueForm(formdata=None))


@pages.post("/<name>")
@only_for(Action.EDIT_TASKS)
def replace(name: str) -> Any:
    form = ValueForm()
    try:
        with transaction(session()) as writing:
            secrets.replace(writing, signed_in(), secrets.get(writing, signed_in(), name), form.value.text())
    except Invalid as wrong:
        blame(form, wrong)
        return _one(secrets.get(session(), signed_in(), name), form), 422
    flash(f"The secret {name} has a new value.")
    return redirect(url_for("secrets.index"), 303)


@pages.post("/<name>/delete")
@only_for(Action.EDIT_TASKS)
def delete(name: str) -> Any:
    try:
        with transaction(session()) as writing:
            secrets.delete(writing, signed_in(), secrets.get(writing, signed_in(), name))
    except Conflict as refusal:
        flash(str(refusal), "error")
        return redirect(url_for("secrets.edit", name=name), 303)
    flash(f"The secret {name} is deleted.")
    return redirect(url_for("secrets.index"), 303)


def _list(form: NewForm) -> str:
    known = secrets.visible(session(), signed_in())
    return render_template("secrets/index.html", form=form, secrets=known, users=secrets.users(session()))


def _one(secret: Secret, form: ValueForm) -> str:
    using = secrets.users(session()).get(secret.name, [])
    return render_template("secrets/edit.html", form=form, secret=secret, using=using)
