"""Signing in and out. The answers tell nothing about which accounts exist."""

from __future__ import annotations

from typing import Any

import flask
from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from flask_login import login_user, logout_user

from portal.database import transaction
from portal.domain.errors import NotAllowed
from portal.models import Account
from portal.pages.forms import SignInForm
from portal.services import accounts
from portal.web import SignedIn, current_account, limiter, session

pages = Blueprint("accounts", __name__)


def _limit() -> str:
    return str(current_app.config["PORTAL"].portal_sign_in_limit)


@pages.route("/sign-in", methods=["GET", "POST"])
@limiter.limit(_limit, methods=["POST"])
def sign_in() -> Any:
    form = SignInForm()
    if request.method == "GET":
        return redirect(_next()) if current_account() else _show(form)
    if not form.validate():
        return _show(form, 422)
    try:
        account = accounts.authenticate(session(), form.name.data or "", form.password.data or "")
    except NotAllowed as refusal:
        form.form_errors.append(str(refusal))
        return _show(form, 422)
    flask.session.clear()
    login_user(SignedIn(account))
    return redirect(_next())


@pages.post("/sign-out")
def sign_out() -> Any:
    if account := current_account():
        with transaction(session()) as writing:
            accounts.end_sessions(writing, account)
    logout_user()
    flask.session.clear()
    flash("You are signed out, here and in every other browser.")
    return redirect(url_for("home.index"))


def signed_in() -> Account:
    """Who is asking, on a page that needs an account."""
    account = current_account()
    if account is None:
        raise NotAllowed("Sign in first.")
    return account


def _show(form: SignInForm, status: int = 200) -> tuple[str, int]:
    return render_template("accounts/sign_in.html", form=form), status


def _next() -> str:
    """Where to go after signing in: a path of this portal and nothing else."""
    target = request.args.get("next", "")
    return target if is_local(target) else url_for("home.index")


def is_local(target: str) -> bool:
    """Whether no browser could read it as another host's address."""
    return target.startswith("/") and target[1:2] != "/" and "\\" not in target and target.isprintable()
