"""An account's own page, with its password; and new passwords by mail, for those who have forgotten theirs."""

from __future__ import annotations

from typing import Any

import flask
from flask import Blueprint, Response, current_app, flash, make_response, redirect, render_template, request, url_for
from flask_login import login_required
from flask_wtf import FlaskForm
from wtforms import PasswordField, StringField
from wtforms.validators import DataRequired, Length, ValidationError

from portal import mail
from portal.database import transaction
from portal.domain import passwords
from portal.domain.errors import Invalid, NotAllowed, NotFound, TooMany
from portal.models import Account
from portal.pages.forms import blame
from portal.rates import only_so_often
from portal.services import accounts, audit, resets, signing
from portal.web import begin_session, known_account, session

pages = Blueprint("passwords", __name__)
BEFORE_A_NEW_PASSWORD = ("passwords.account", "accounts.sign_out", "static")
LONGEST_WHO = 256
ASKED = "If there is an account of this name or address, a letter with a link is on its way to its address."


class NewPasswordForm(FlaskForm):
    password = PasswordField(
        "New password",
        [DataRequired("Give a new password.")],
        description=f"At least {passwords.SHORTEST} characters: four words of your own are good, and a password "
        "manager is better.",
        render_kw={"autocomplete": "new-password"},
    )
    again = PasswordField(
        "The same again",
        [DataRequired("Give the new password twice.")],
        render_kw={"autocomplete": "new-password"},
    )

    def validate_again(self, field: PasswordField) -> None:
        if field.data != self.password.data:
            raise ValidationError("This is not the same: type the new password twice.")


class ChangePasswordForm(NewPasswordForm):
    present = PasswordField(
        "Present password",
        [DataRequired("Give your present password.")],
        render_kw={"autocomplete": "current-password"},
    )


class ForgottenForm(FlaskForm):
    who = StringField(
        "Name or e-mail address",
        [DataRequired("Give the name or the address of your account."), Length(max=LONGEST_WHO)],
        render_kw={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"},
    )


def lead_there() -> Response | None:
    """Who came in with a password that somebody else made sees nothing before it is changed."""
    if request.endpoint in BEFORE_A_NEW_PASSWORD or not flask.session:
        return None
    account = known_account()
    if account is None or not account.must_change:
        return None
    if request.htmx:
        return Response("Set a new password first.", 401, {"HX-Redirect": url_for("passwords.account")})
    return make_response(redirect(url_for("passwords.account"), 303))


@pages.route("/account", methods=["GET", "POST"])
@only_so_often("POST")
@login_required
def account() -> Any:
    form = ChangePasswordForm()
    if request.method == "GET":
        return _show(form)
    if not form.validate():
        return _show(form, 422)
    try:
        _change(form)
    except (NotAllowed, TooMany) as refusal:
        form.present.errors = [_said(refusal)]
        return _show(form, 422)
    except Invalid as wrong:
        blame(form, wrong)
        return _show(form, 422)
    flash("Your password is changed. Other browsers are signed out, and your tokens are revoked.")
    return redirect(url_for("home.index"), 303)


@pages.route("/forgotten", methods=["GET", "POST"])
@only_so_often("POST")
def forgotten() -> Any:
    """The answer is the same, whether there is such an account or not."""
    _check_resets()
    form = ForgottenForm()
    if request.method == "GET":
        return render_template("accounts/forgotten.html", form=form)
    if not form.validate():
        return render_template("accounts/forgotten.html", form=form), 422
    resets.ask(session(), (form.who.data or "").strip())
    return render_template("accounts/forgotten.html", form=form, asked=ASKED)


@pages.route("/reset/<secret>", methods=["GET", "POST"])
@only_so_often("GET", "POST")
def reset(secret: str) -> Any:
    """A look at the link leaves it good, since mail programs look, too."""
    _check_resets()
    form = NewPasswordForm()
    try:
        name = resets.of(session(), secret).name
        if request.method == "POST" and form.validate():
            with transaction(session()) as writing:
                resets.use(writing, secret, form.password.data or "")
            flash("Your password is set. Sign in with it.")
            return redirect(url_for("accounts.sign_in"), 303)
    except NotFound as over:
        return _kept_to_itself(render_template("accounts/reset.html", form=None, over=str(over)), 404)
    except Invalid as wrong:
        blame(form, wrong)
    shown = render_template("accounts/reset.html", form=form, name=name)
    return _kept_to_itself(shown, 422 if form.errors else 200)


def _change(form: ChangePasswordForm) -> None:
    """The session that asks goes on, as a new one."""
    mine = _mine()
    signing.by_password(session(), mine.name, form.present.data or "", request.remote_addr or "")
    if form.present.data == form.password.data:
        raise Invalid(**{"password": "Use another password than the present one."})
    with transaction(session()) as writing:
        accounts.change_password(writing, mine, form.password.data or "")
        audit.record(writing, "changed the password of", "account", mine.name, by=mine)
    begin_session(mine)


def _said(refusal: Exception) -> str:
    return str(refusal) if isinstance(refusal, TooMany) else "This is not your present password."


def _mine() -> Account:
    account = known_account()
    if account is None:
        raise NotAllowed("Sign in first.")
    return account


def _show(form: ChangePasswordForm, status: int = 200) -> Any:
    return render_template("accounts/account.html", form=form, mine=_mine()), status


def _check_resets() -> None:
    if not mail.on() or current_app.config["PORTAL"].portal_oidc_only:
        raise NotFound("This portal sends no new passwords by mail: ask its administrator for one.")


def _kept_to_itself(shown: str, status: int) -> tuple[Response, int]:
    """The address is the secret: it goes into no cache, and to no other page."""
    response = make_response(shown)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response, status
