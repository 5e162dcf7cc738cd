"""The roster of accounts, for administrators: who may sign in, and as what."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request, url_for
from flask_wtf import FlaskForm
from wtforms import BooleanField, SelectField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired

from portal.database import transaction
from portal.domain.errors import Conflict, Invalid
from portal.domain.policy import Action, Role
from portal.models import Account
from portal.pages.accounts import signed_in
from portal.pages.forms import blame
from portal.services import audit, resets, roster
from portal.services.roster import AccountDraft, Made
from portal.web import only_for, session

pages = Blueprint("roster", __name__, url_prefix="/accounts")
ONE = "/<int:account_id>"
ROLES = {
    Role.SUBMITTER: "Submitter: runs jobs, sees own runs",
    Role.ANALYST: "Analyst: writes tasks and jobs, too",
    Role.ADMINISTRATOR: "Administrator: everything",
}


class AccountForm(FlaskForm):
    role = SelectField("Role", choices=[SelectChoice(role.value, words) for role, words in ROLES.items()])
    email = StringField(
        "E-mail address",
        description="Where a forgotten password is replaced.",
        render_kw={"type": "email", "autocomplete": "off", "spellcheck": "false"},
    )
    active = BooleanField("May sign in", default=True)

    def draft(self, name: str) -> AccountDraft:
        return AccountDraft(name, Role(self.role.data), (self.email.data or "").strip(), bool(self.active.data))


class NewAccountForm(AccountForm):
    name = StringField(
        "Name",
        [DataRequired("Give the account a name.")],
        description="Letters, digits and . _ @ + -; it stays.",
        render_kw={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"},
    )


@pages.get("")
@only_for(Action.EDIT_ACCOUNTS)
def index() -> str:
    return render_template("roster/index.html", known=roster.every(session()), roles=ROLES)


@pages.route("/new", methods=["GET", "POST"])
@only_for(Action.EDIT_ACCOUNTS)
def new() -> Any:
    form = NewAccountForm()
    if not form.is_submitted():
        return _show(form)
    if not form.validate():
        return _show(form, status=422)
    try:
        with transaction(session()) as writing:
            made = roster.add(writing, signed_in(), form.draft(form.name.data or ""))
    except Invalid as wrong:
        blame(form, wrong)
        return _show(form, status=422)
    return _tell(made)


@pages.route(ONE, methods=["GET", "POST"])
@only_for(Action.EDIT_ACCOUNTS)
def edit(account_id: int) -> Any:
    account = roster.get(session(), account_id)
    form = AccountForm(data=vars(AccountDraft.of(account)))
    if not form.is_submitted():
        return _show(form, account)
    if not form.validate():
        return _show(form, account, 422)
    try:
        with transaction(session()) as writing:
            roster.change(writing, signed_in(), account, form.draft(account.name))
    except (Invalid, Conflict) as wrong:
        blame(form, wrong if isinstance(wrong, Invalid) else Invalid(role=str(wrong)))
        return _show(form, account, 422)
    flash(f"The account {account.name} is saved.")
    return redirect(url_for("roster.index"), 303)


@pages.post(f"{ONE}/password")
@only_for(Action.EDIT_ACCOUNTS)
def renew(account_id: int) -> Any:
    """A password for once: this answer shows it, and no other does."""
    with transaction(session()) as writing:
        made = roster.renew(writing, signed_in(), roster.get(writing, account_id))
    return _tell(made)


@pages.post(f"{ONE}/letter")
@only_for(Action.EDIT_ACCOUNTS)
def write(account_id: int) -> Any:
    """A letter with a link to set a new password."""
    with transaction(session()) as writing:
        account = roster.get(writing, account_id)
        if not resets.reaches(account):
            raise Conflict("No letter sets the password of this account: make one, and tell it to whoever it is for.")
        if not resets.write(writing, account):
            raise Conflict("A letter to this account has just gone, or several did today: wait, or make a password.")
        audit.record(writing, "sent a password link to", "account", account.name)
    flash(f"A letter with a link is on its way to {account.email}.")
    return redirect(url_for("roster.edit", account_id=account_id), 303)


def _show(form: AccountForm, account: Account | None = None, status: int = 200) -> Any:
    can_write = account is not None and resets.reaches(account)
    return render_template("roster/edit.html", form=form, edited=account, can_write=can_write), status


def _tell(made: Made) -> tuple[Response, int]:
    response = make_response(render_template("roster/made.html", made=made))
    response.headers["Cache-Control"] = "no-store"
    return response, 201 if request.endpoint == "roster.new" else 200
