"""What people see: each page reads, calls a service, and renders or redirects."""

from __future__ import annotations

from flask import Flask

from portal.pages import (
    accounts,
    audit,
    backends,
    batches,
    errors,
    health,
    home,
    imports,
    jobs,
    submissions,
    tasks,
    tokens,
)


def register(app: Flask) -> None:
    for page in (health, home, accounts, backends, tasks, jobs, submissions, batches, imports, tokens, audit):
        app.register_blueprint(page.pages)
    errors.register(app)
