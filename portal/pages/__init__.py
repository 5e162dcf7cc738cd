"""What people see: each page reads, calls a service, and renders or redirects."""

from __future__ import annotations

from flask import Flask

from portal.pages import accounts, backends, batches, errors, home, imports, jobs, secrets, submissions, tasks, tokens


def register(app: Flask) -> None:
    for page in (home, accounts, backends, tasks, jobs, submissions, batches, imports, tokens, secrets):
        app.register_blueprint(page.pages)
    errors.register(app)
