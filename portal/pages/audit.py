"""The audit trail for administrators: a list with filters, and the same as a sheet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

from flask import Blueprint, Response, render_template, request

from portal.domain.policy import Action
from portal.models import Audit
from portal.pages import sheets
from portal.services import audit
from portal.services.audit import Wanted
from portal.web import only_for, session

pages = Blueprint("audit", __name__)

PAGE = 100
SHEET = 1000
LARGEST_ID = 2**62
COLUMNS = ("at", "actor", "action", "kind", "object", "address", "request", "detail")


@pages.get("/audit")
@only_for(Action.READ_AUDIT)
def index() -> str:
    wanted = _wanted()
    found = audit.lines(session(), wanted, PAGE + 1)
    return render_template(
        "audit/index.html",
        wanted=wanted,
        found=found[:PAGE],
        further=found[PAGE - 1].id if len(found) > PAGE else audit.oldest_looked_at(session(), wanted),
        kinds=audit.kinds(session()),
        address=_address,
        told=_told,
    )


@pages.get("/audit.csv")
@only_for(Action.READ_AUDIT)
def index_csv() -> Response:
    return sheets.csv_of("audit.csv", _rows(_wanted()), COLUMNS)


def _wanted() -> Wanted:
    asked = {name: request.args.get(name, "").strip()[:200] for name in ("actor", "kind", "text")}
    before = request.args.get("before", type=int)
    return Wanted(**asked, before=None if before is None else max(0, min(before, LARGEST_ID)))


def _address(wanted: Wanted, before: int | None = None) -> dict[str, str | int | None]:
    """The same filters as the parts of an address."""
    return {"actor": wanted.actor or None, "kind": wanted.kind or None, "text": wanted.text or None, "before": before}


def _told(line: Audit) -> str:
    """What else is known of a deed, in a line."""
    return _listed(line.detail)


def _listed(detail: Mapping[str, object]) -> str:
    return "; ".join(f"{name.replace('_', ' ')}: {_plain(value)}" for name, value in detail.items() if value != [])


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return f"({_listed(value)})"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _rows(wanted: Wanted) -> Iterator[dict[str, object]]:
    """All of the lines, some at a time."""
    before = wanted.before
    while True:
        found = audit.lines(session(), replace(wanted, before=before), SHEET)
        before = found[-1].id if found else audit.oldest_looked_at(session(), replace(wanted, before=before))
        if before is None:
            return
        for line in found:
            row: dict[str, object] = {name: getattr(line, name) for name in COLUMNS}
            yield row | {"at": line.at.isoformat(), "detail": json.dumps(line.detail, ensure_ascii=False)}
        session().expunge_all()
