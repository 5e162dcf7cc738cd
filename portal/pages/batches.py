"""A batch: the submissions of one request, as far as whoever asks may see them."""

from __future__ import annotations

from flask import Blueprint, render_template

from portal.services import submissions
from portal.web import current_account, guess, limit_guesses, session

pages = Blueprint("batches", __name__, url_prefix="/batches")
limit_guesses(pages)


@pages.get("/<uuid>")
def show(uuid: str) -> str:
    with guess():
        batch, seen = submissions.seen_of(session(), uuid, lambda job: current_account())
    return render_template("batches/show.html", batch=batch, submissions=seen)
