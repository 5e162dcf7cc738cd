"""What people see: each page reads, calls a service, and renders or redirects."""

from __future__ import annotations

from flask import Flask

from portal.pages import (
    accounts,
    audit,
    backends,
    batches,
    errors,
    groups,
    health,
    home,
    imports,
    jobs,
    passwords,
    roster,
    secrets,
    submissions,
    tasks,
    tokens,
)

PAGES = (
    health, home, accounts, passwords, roster, groups, backends, tasks, jobs, submissions, batches, imports, tokens,
    secrets, audit,
)  # fmt: skip


def register(app: Flask) -> None:
    for page in PAGES:
        app.register_blueprint(page.pages)
    app.before_request(passwords.lead_there)
    errors.register(app)
