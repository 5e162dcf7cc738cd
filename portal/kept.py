"""Answers that were made already: kept under a tag that changes with whatever they are made of, some megabytes of them.

The tag is the ETag, too: it is known before anything of the answer is read or drawn.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Lock

from flask import Response, request

MOST_BYTES = 32 << 20
LARGEST = 4 << 20

_bodies: OrderedDict[str, bytes] = OrderedDict()
_lock = Lock()
_size = 0


def tag(*facts: object) -> str:
    """What these facts, drawn by this version of the portal, are known by."""
    return hashlib.sha256(repr((_version(), facts)).encode()).hexdigest()[:32]


def answer(tag: str, mimetype: str, make: Callable[[], bytes], may_keep: Callable[[], bool] = lambda: True) -> Response:
    """304 to who has it; else what is kept under the tag, or is made now. 412 to who asks for another state of it."""
    has_it = request.if_none_match.contains_weak(tag)
    response = Response(status=304) if has_it else Response(body(tag, make, may_keep), mimetype=mimetype)
    response.set_etag(tag)
    return response.make_conditional(request) if request.if_match and not has_it else response


def body(tag: str, make: Callable[[], bytes], may_keep: Callable[[], bool] = lambda: True) -> bytes:
    found = _found(tag)
    if found is None:
        found = make()
        if len(found) <= LARGEST and may_keep():
            _keep(tag, found)
    return found


def _found(tag: str) -> bytes | None:
    with _lock:
        if tag in _bodies:
            _bodies.move_to_end(tag)
        return _bodies.get(tag)


def _keep(tag: str, body: bytes) -> None:
    global _size
    with _lock:
        _size += len(body) - len(_bodies.get(tag, b""))
        _bodies[tag] = body
        while _size > MOST_BYTES:
            _, oldest = _bodies.popitem(last=False)
            _size -= len(oldest)


@cache
def _version() -> int:
    """When the newest file of the portal was written."""
    here = Path(__file__).parent
    return max(file.stat().st_mtime_ns for ending in ("*.py", "*.html") for file in here.rglob(ending))
