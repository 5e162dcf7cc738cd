"""REST for new programs: the services of the portal's pages as JSON, described by an OpenAPI document."""

from __future__ import annotations

from flask import Flask

from portal import web
from portal.api.v1 import accounts, docs, edge, jobs, refusals, results, submissions, tasks

__all__ = ["accounts", "docs", "jobs", "register", "results", "submissions", "tasks"]


def register(app: Flask) -> None:
    app.register_blueprint(edge.api)
    web.csrf.exempt(edge.api)  # edge asks for the token itself
    refusals.refuse_unknown_addresses(app, edge.ROOT)
