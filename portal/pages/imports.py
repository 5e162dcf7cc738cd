"""Loading dumps: what an upload would do is shown first; the same files are imported when somebody says so.

Between both, the files wait in the storage like uploads that nobody took up; only a signed token names them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, cast
from uuid import uuid4

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from itsdangerous import BadSignature, URLSafeTimedSerializer
from werkzeug.datastructures import FileStorage

from portal import storage, web
from portal.domain.errors import Invalid, NotFound
from portal.domain.names import last_segment
from portal.domain.policy import Action
from portal.models import Account
from portal.pages.forms import ImportForm, blame
from portal.services import dumps
from portal.services.dumps import Group, Report

pages = Blueprint("imports", __name__)
KEPT_SECONDS = 3600
AGAIN = "The files are not kept any more: choose them again."


@pages.route("/import", methods=["GET", "POST"])
@web.only_for(Action.LOAD_DUMPS)
def index() -> Any:
    form = ImportForm()
    if not form.is_submitted():
        return _show(form)
    if not form.validate():
        return _show(form, status=422)
    try:
        return _dry_run(form)
    except Invalid as wrong:
        blame(form, wrong)
        return _show(form, status=422)


@pages.post("/import/now")
@web.only_for(Action.LOAD_DUMPS)
def apply() -> Any:
    """Import the files that a dry run has shown."""
    try:
        kept = _tokens().loads(request.form.get("token", ""), max_age=KEPT_SECONDS)
        if kept["account"] != _account().id:
            raise NotFound(AGAIN)
        files = list(_files(kept["files"]))
    except (BadSignature, NotFound):
        flash(AGAIN, "error")
        return redirect(url_for("imports.index"), 303)
    report = dumps.load(web.session(), files, _account(), kept["replace"])
    _forget(kept["files"])
    return _show(ImportForm(formdata=None), report, status=422 if report.refused else 200)


def _dry_run(form: ImportForm) -> Any:
    kept = [_keep(file) for file in form.files.data]
    report = dumps.load(web.session(), list(_files(kept)), _account(), form.replace.data, dry_run=True)
    if report.refused:
        _forget(kept)
        return _show(form, report, status=422)
    token = _tokens().dumps({"account": _account().id, "files": kept, "replace": form.replace.data})
    return _show(form, report, token)


def _show(form: ImportForm, report: Report | None = None, token: Any = "", status: int = 200) -> tuple[str, int]:
    return render_template("imports/index.html", form=form, report=report, token=token, groups=Group), status


def _account() -> Account:
    return cast(Account, web.current_account())


def _keep(file: FileStorage) -> tuple[str, str]:
    """Store a file; gives its key, and what its client calls it."""
    key = f"uploads/{uuid4()}"
    storage.put(key, cast(BinaryIO, file.stream), dumps.LARGEST)
    return key, last_segment(file.filename or "")


def _files(kept: list[tuple[str, str]]) -> Iterator[dumps.File]:
    """Raises NotFound."""
    for key, name in kept:
        with storage.open_blob(key) as stream:
            yield dumps.File(name, stream.read())


def _forget(kept: list[tuple[str, str]]) -> None:
    for key, _ in kept:
        storage.delete(key)


def _tokens() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(str(current_app.secret_key), salt="imports")
