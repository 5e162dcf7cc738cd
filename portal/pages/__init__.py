"""What people see: each page reads, calls a service, and renders or redirects."""

from __future__ import annotations

from flask import Flask

from portal.pages import (
    accounts,
    backends,
    batches,
    errors,
    home,
    imports,
    jobs,
    passwords,
    roster,
    submissions,
    tasks,
    tokens,
)

PAGES = (home, accounts, passwords, roster, backends, tasks, jobs, submissions, batches, imports, tokens)


def register(app: Flask) -> None:
    for page in PAGES:
        app.register_blueprint(page.pages)
    app.before_request(passwords.lead_there)
    errors.register(app)
