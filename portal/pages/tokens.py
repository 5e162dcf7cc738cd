"""The tokens of an account's programs: to make one, to see when it was last used, to revoke it."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, Response, flash, make_response, redirect, render_template, url_for
from flask_login import login_required
from flask_wtf import FlaskForm
from wtforms import IntegerField, StringField
from wtforms.validators import Optional

from portal.database import transaction
from portal.domain.errors import Invalid
from portal.models import Token
from portal.pages.accounts import signed_in
from portal.pages.forms import Checkboxes, blame
from portal.services import tokens
from portal.services.tokens import TokenDraft
from portal.web import session

pages = Blueprint("tokens", __name__, url_prefix="/tokens")


class TokenForm(FlaskForm):
    name = StringField("Name", description="What uses it, such as “nightly upload”.")
    scopes = Checkboxes("May be used to", description="Choose no more than the program needs.")
    days = IntegerField(
        "Good for … days", [Optional()], description="Empty: until it is revoked.",
        render_kw={"inputmode": "numeric", "size": 6},
    )  # fmt: skip

    def offer(self, scopes: dict[str, str]) -> None:
        self.scopes.choices = list(scopes.items())

    def draft(self) -> TokenDraft:
        return TokenDraft(self.name.data or "", tuple(self.scopes.data or ()), self.days.data)


@pages.get("")
@login_required
def index() -> str:
    return _show(_form())


@pages.post("")
@login_required
def create() -> tuple[Response, int]:
    """The answer shows the secret, and no other does: it is kept by nobody on the way."""
    form = _form()
    if not form.validate():
        return _answer(_show(form), 422)
    try:
        with transaction(session()) as writing:
            made = tokens.create(writing, signed_in(), form.draft())
    except Invalid as wrong:
        blame(form, wrong)
        return _answer(_show(form), 422)
    return _answer(_show(_form(empty=True), made.token, made.secret), 201)


@pages.post("/<int:token_id>/revoke")
@login_required
def revoke(token_id: int) -> Response:
    with transaction(session()) as writing:
        tokens.revoke(writing, signed_in(), token_id)
    flash("The token is revoked: it is good for nothing any more.")
    return make_response(redirect(url_for("tokens.index"), 303))


def _form(empty: bool = False) -> TokenForm:
    form = TokenForm(formdata=None) if empty else TokenForm()
    form.offer(tokens.possible_scopes(session(), signed_in()))
    return form


def _answer(shown: str, status: int) -> tuple[Response, int]:
    response = make_response(shown)
    response.headers["Cache-Control"] = "no-store"
    return response, status


def _show(form: TokenForm, made: Token | None = None, secret: str = "") -> str:
    known: Sequence[Token] = tokens.of_account(session(), signed_in())
    return render_template("tokens/index.html", form=form, tokens=known, made=made, secret=secret)
