"""What the web server says of its requests: one line of JSON for each thing said, whatever a client put into it.

Each request has an id: its answer names it in X-Request-ID, an error page or problem shows it, the audit trail has it.
Addresses that open something to whoever knows them are cut short.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, g, has_request_context, request
from flask.logging import default_handler, wsgi_errors_stream

from portal.services import audit

HEADER = "X-Request-ID"
LOGGERS = ("portal",)
LONGEST = 300
WORTH_A_WARNING = (401, 403, 429, 507)

KEYS = re.compile(r"(/reset/)[\w-]+|\b([0-9a-f]{8}-)(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.ASCII | re.I)

log = logging.getLogger("portal.requests")


def install(app: Flask, level: str) -> None:
    """Let everything that the web server says go through here."""
    lines = logging.StreamHandler(wsgi_errors_stream)
    lines.setFormatter(Lines())
    app.logger.removeHandler(default_handler)
    for logger in (app.logger, *map(logging.getLogger, LOGGERS)):
        logger.handlers = [each for each in logger.handlers if not isinstance(each.formatter, Lines)]
        logger.addHandler(lines)
        logger.setLevel(level.upper())
    app.before_request(_begin)
    app.after_request(_end)


def request_id() -> str:
    """The id of this request."""
    if "request_id" not in g:
        g.request_id = secrets.token_hex(8)
    return str(g.request_id)


def shown_id(status: int) -> str | None:
    """The id for the body of a refusal. What is missing and what is hidden look the same: their bodies have none."""
    return None if status == 404 else request_id()


def _begin() -> None:
    audit.come_from(request.remote_addr or "", request_id())


def _end(response: Response) -> Response:
    """Name the id, and note the request: what was refused for who asked or how often, and what failed, as a warning."""
    response.headers[HEADER] = request_id()
    serious = response.status_code >= 500 or response.status_code in WORTH_A_WARNING
    level = logging.WARNING if serious else logging.INFO
    if log.isEnabledFor(level):
        log.log(level, "answered %d", response.status_code, extra={"asked": _asked()})
    return response


def _asked() -> dict[str, str]:
    return {
        "method": request.method[:LONGEST],
        "path": request.path[:LONGEST],
        "address": request.remote_addr or "",
        "agent": request.headers.get("User-Agent", "")[:LONGEST],
    }


class Lines(logging.Formatter):
    """A record as one line of JSON, in which every control character is escaped."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if has_request_context():
            told["request"] = request_id()
        told |= getattr(record, "asked", {})
        if record.exc_info:
            told["trace"] = self.formatException(record.exc_info)
        return KEYS.sub(r"\1\2***", json.dumps(told))
