"""Which other sites' pages may read the answers: those of the configured origins, and only what needs no sign-in.

A browser's session is never theirs to use, so no answer allows credentials; a name and a password may be sent along.
"""

from __future__ import annotations

from flask import Response, current_app, request

from portal.settings import Settings

READABLE = "Allow, Content-Disposition, Content-Length, Content-Range, ETag, Location, Retry-After"
ASKED_FIRST = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, Authorization, Idempotency-Key",
    "Access-Control-Max-Age": "7200",
}


def let_read(response: Response) -> Response:
    """Say so in any answer, refusals and faults among them, and answer what a browser asks beforehand."""
    settings: Settings = current_app.config["PORTAL"]
    if not settings.cors_origins:
        return response
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.vary.add("Origin")
    origin = request.headers.get("Origin", "")
    if origin in settings.cors_origins:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = READABLE
        response.headers.update(ASKED_FIRST if request.method == "OPTIONS" else {})
    return response
