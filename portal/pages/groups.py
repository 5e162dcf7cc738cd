"""Groups, for administrators: the accounts that things are shared with together."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, flash, jsonify, redirect, render_template, url_for
from flask_wtf import FlaskForm
from wtforms import StringField

from portal.database import transaction
from portal.domain.errors import Invalid
from portal.domain.policy import Action
from portal.models import Group
from portal.pages import sheets
from portal.pages.accounts import signed_in
from portal.pages.forms import blame
from portal.pages.task_forms import Lines
from portal.services import groups
from portal.services.groups import GroupDraft
from portal.web import only_for, session

pages = Blueprint("groups", __name__)

ONE = "/groups/<int:group_id>"
COLUMNS = ("name", "members", "created")


class GroupForm(FlaskForm):
    name = StringField("Name", render_kw={"maxlength": 80})
    members = Lines("Members", description="Names of accounts, one a line.", render_kw={"rows": 8})

    def draft(self) -> GroupDraft:
        return GroupDraft((self.name.data or "").strip(), tuple(self.members.data or ()))


@pages.get("/groups")
@only_for(Action.EDIT_GROUPS)
def index() -> str:
    return render_template("groups/index.html", groups=groups.every(session()))


@pages.get("/groups.json")
@only_for(Action.EDIT_GROUPS)
def index_json() -> Response:
    return jsonify(groups=[_row(each) for each in groups.every(session())])


@pages.get("/groups.csv")
@only_for(Action.EDIT_GROUPS)
def index_csv() -> Response:
    rows = [_row(each) for each in groups.every(session())]
    return sheets.csv_of("groups.csv", [{**row, "members": " ".join(row["members"])} for row in rows], COLUMNS)


@pages.route("/groups/new", methods=["GET", "POST"])
@only_for(Action.EDIT_GROUPS)
def new() -> Any:
    return _edit(None)


@pages.route(ONE, methods=["GET", "POST"])
@only_for(Action.EDIT_GROUPS)
def edit(group_id: int) -> Any:
    return _edit(groups.get(session(), group_id))


@pages.post(f"{ONE}/delete")
@only_for(Action.EDIT_GROUPS)
def delete(group_id: int) -> Any:
    with transaction(session()) as writing:
        group = groups.get(writing, group_id)
        name = group.name
        groups.delete(writing, group, signed_in())
    flash(f"The group {name} is deleted. What was shared with it is shared with others only.")
    return redirect(url_for("groups.index"), 303)


def _edit(group: Group | None) -> Any:
    said = {"name": group.name, "members": [each.name for each in group.members]} if group else {}
    form = GroupForm(data=said)
    if not form.is_submitted():
        return _show(form, group)
    try:
        with transaction(session()) as writing:
            name = groups.save(writing, form.draft(), signed_in(), group).name
    except Invalid as wrong:
        blame(form, wrong)
        return _show(form, group, 422)
    flash(f"The group {name} is saved.")
    return redirect(url_for("groups.index"), 303)


def _show(form: GroupForm, group: Group | None, status: int = 200) -> tuple[str, int]:
    return render_template("groups/edit.html", form=form, group=group), status


def _row(group: Group) -> dict[str, Any]:
    members = [each.name for each in group.members]
    return {"name": group.name, "members": members, "created": group.created.isoformat(timespec="seconds")}
