"""A batch: the submissions of one request."""

from __future__ import annotations

from flask import Blueprint, render_template

from portal.services import submissions
from portal.web import session

pages = Blueprint("batches", __name__, url_prefix="/batches")


@pages.get("/<uuid>")
def show(uuid: str) -> str:
    return render_template("batches/show.html", batch=submissions.batch(session(), uuid))
