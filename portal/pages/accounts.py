"""Signing in and out. The answers tell nothing about which accounts exist."""

from __future__ import annotations

from typing import Any

import flask
from flask import Blueprint, current_app, flash, make_response, redirect, render_template, request, url_for
from flask_login import logout_user

from portal import mail, provider
from portal.database import transaction
from portal.domain.errors import NotAllowed, PortalError, TooMany
from portal.models import Account
from portal.pages.forms import SignInForm
from portal.provider import Journey, Provider
from portal.rates import only_so_often
from portal.services import accounts, audit, identities, signing
from portal.settings import Settings
from portal.web import STATUS, begin_session, current_account, known_account, session

pages = Blueprint("accounts", __name__)
JOURNEY = "journey"


@pages.route("/sign-in", methods=["GET", "POST"])
@only_so_often("POST")
def sign_in() -> Any:
    form = SignInForm()
    if request.method == "GET":
        return redirect(_next()) if current_account() else _show(form)
    if not form.validate():
        return _show(form, 422)
    name, password = form.name.data or "", form.password.data or ""
    try:
        account = signing.by_password(session(), name, password, request.remote_addr or "")
    except (NotAllowed, TooMany) as refusal:
        return _refuse(form, refusal, 422)
    return _let_in(account, "password", _next(), password)


@pages.get("/sign-in/provider")
@only_so_often("GET")
def go_to_provider() -> Any:
    """To the identity provider, with what its answer must fit to."""
    journey = Journey.to(_next())
    try:
        address = _provider().address(journey, _back())
    except PortalError as refusal:
        return _refuse(SignInForm(), refusal, STATUS[type(refusal)])
    flask.session[JOURNEY] = journey.kept()
    return redirect(address)


@pages.get("/sign-in/provider/back")
@only_so_often("GET")
def come_back() -> Any:
    """From the identity provider: each journey has one return."""
    kept = flask.session.pop(JOURNEY, None)
    try:
        if kept is None:
            raise NotAllowed(provider.OTHERS)
        journey = Journey(**kept)
        identity = _provider().identity(journey, _back(), request.args.to_dict())
        account = identities.account_of(session(), identity, _settings().portal_oidc_role)
    except PortalError as refusal:
        return _refuse(SignInForm(), refusal, STATUS[type(refusal)])
    return _let_in(account, "identity provider", journey.target)


@pages.post("/sign-out")
def sign_out() -> Any:
    if account := known_account():
        with transaction(session()) as writing:
            accounts.end_sessions(writing, account)
            audit.record(writing, "signed out", "account", account.name, by=account)
    logout_user()
    flask.session.clear()
    flash("You are signed out, here and in every other browser.")
    answer = make_response(redirect(url_for("home.index")))
    answer.headers["Clear-Site-Data"] = '"cache"'
    return answer


def signed_in() -> Account:
    """Who is asking, on a page that needs an account."""
    account = current_account()
    if account is None:
        raise NotAllowed("Sign in first.")
    return account


def _let_in(account: Account, way: str, target: str, password: str = "") -> Any:
    if before := known_account():
        with transaction(session()) as writing:
            accounts.end_sessions(writing, before)
    signing.welcome(session(), account, way, password)
    begin_session(account)
    return redirect(target)


def _refuse(form: SignInForm, refusal: PortalError, status: int) -> Any:
    form.form_errors.append(str(refusal))
    if not isinstance(refusal, TooMany):
        return _show(form, status)
    response = make_response(_show(form, STATUS[TooMany]))
    response.headers["Retry-After"] = str(refusal.retry_after)
    return response


def _show(form: SignInForm, status: int = 200) -> tuple[str, int]:
    chosen = _settings()
    ways = {
        "passwords": not chosen.portal_oidc_only,
        "provider_name": chosen.portal_oidc_name if chosen.portal_oidc_issuer else "",
        "resets": mail.on() and not chosen.portal_oidc_only,
        "target": request.args.get("next"),
    }
    return render_template("accounts/sign_in.html", form=form, **ways), status


def _settings() -> Settings:
    chosen: Settings = current_app.config["PORTAL"]
    return chosen


def _provider() -> Provider:
    found = provider.chosen(_settings())
    if found is None:
        flask.abort(404)
    return found


def _back() -> str:
    """Where the provider sends people: an address of the settings, whatever host the request names."""
    return f"{_settings().address}/sign-in/provider/back"


def _next() -> str:
    """Where to go after signing in: a path of this portal and nothing else."""
    target = request.args.get("next", "")
    return target if is_local(target) else url_for("home.index")


def is_local(target: str) -> bool:
    """Whether no browser could read it as another host's address."""
    return target.startswith("/") and target[1:2] != "/" and "\\" not in target and target.isprintable()
