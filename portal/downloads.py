"""Files that analysts' code made, on their way out: given to be saved, never to be run by a browser."""

from __future__ import annotations

import io

from flask import Response, request, send_file

from portal.services import results

HEADERS = {"Content-Security-Policy": "default-src 'none'; sandbox", "Cache-Control": "private, no-cache"}
PASSIVE = {
    "text/plain", "text/csv", "text/tab-separated-values", "application/json",
    "image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "application/pdf",
}  # fmt: skip


def file(stored: results.Stored, as_attachment: bool = True) -> Response:
    """A stored file, streamed; answers conditional and range requests."""
    response = send_file(
        results.open_file(stored),
        mimetype=stored.media_type if stored.media_type in PASSIVE else "application/octet-stream",
        as_attachment=as_attachment,
        download_name=stored.name,
        conditional=False,
        etag=stored.sha256,
    )
    response.content_length = stored.size
    response.headers.update(HEADERS)
    return response.make_conditional(request, accept_ranges=True, complete_length=stored.size)


def text(name: str, content: bytes) -> Response:
    """What a step wrote, as plain text to save."""
    response = send_file(io.BytesIO(content), mimetype="text/plain", as_attachment=True, download_name=name)
    response.headers.update(HEADERS)
    return response
