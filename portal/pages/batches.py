"""A batch: the submissions of one request, as far as whoever asks may see them."""

from __future__ import annotations

from flask import Blueprint, render_template

from portal.services import submissions
from portal.web import current_account, session

pages = Blueprint("batches", __name__, url_prefix="/batches")


@pages.get("/<uuid>")
def show(uuid: str) -> str:
    batch, seen = submissions.seen_of(session(), uuid, lambda job: current_account())
    return render_template("batches/show.html", batch=batch, submissions=seen)
