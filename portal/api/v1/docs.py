"""What /api/v1 says of itself: the OpenAPI document, and a page that is drawn from it here, with nothing from afar."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from flask import Response, jsonify, render_template

from portal.api.v1 import specification
from portal.api.v1.edge import ROOT, api

VERSION = "1"
ACTS = ("get", "post", "put", "delete")


@api.get("/openapi.json", doc_ui=False)
def openapi() -> Response:
    return jsonify(document())


@api.get("/docs", doc_ui=False)
def docs() -> str:
    return render_template("api/docs.html", spec=document(), topics=topics(), root=ROOT)


@cache
def document() -> dict[str, Any]:
    return specification.document(api.paths, api.components_schemas, VERSION)


@cache
def topics() -> dict[str, list[dict[str, Any]]]:
    """The operations by what they are about: the first word of their address."""
    found: dict[str, list[dict[str, Any]]] = {}
    for each in _operations():
        found.setdefault(each["path"].split("/")[3], []).append(each)
    return found


def _operations() -> Iterator[dict[str, Any]]:
    for path, item in document()["paths"].items():
        for act in ACTS:
            if act in item:
                yield {"path": path, "method": act.upper(), **item[act]}
