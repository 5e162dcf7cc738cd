"""What the OpenAPI document says of answers and sign-ins; operations and bodies say the rest themselves."""

from __future__ import annotations

from typing import Any

from flask_openapi3.models import APISpec, Components, Info
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from portal.api.v1.refusals import PROBLEM

JSON = "application/json"
REFERENCE = "#/components/schemas/{model}"
DESCRIPTION = (
    "What the portal's pages do, for programs: submit to jobs and follow them, and read and change jobs and tasks. "
    "Sign in with a name and password (HTTP Basic), or with a token. Every refusal is a problem in JSON."
)
SECURITY: dict[str, Any] = {
    "password": {"type": "http", "scheme": "basic", "description": "An account's name and password."},
    "token": {"type": "http", "scheme": "bearer", "description": "A token from the account's page Tokens."},
}
ACCOUNT: list[dict[str, list[Any]]] = [{name: []} for name in SECURITY]
ANYBODY: list[dict[str, list[Any]]] = [{}, *ACCOUNT]
PERSON: list[dict[str, list[Any]]] = [{"password": []}]
EVERYWHERE = (400, 401, 403, 406, 408, 429, 503, 507)
MEANING = {
    200: "What was asked for",
    201: "It is made",
    202: "It is accepted",
    204: "It is done",
    206: "The part that was asked for",
    304: "It is as your If-None-Match says",
    400: "The request cannot be read",
    401: "Sign in",
    403: "The account or the token may not do this",
    404: "There is no such thing",
    406: "Only JSON is given here",
    408: "The body did not come within the time",
    409: "It is in a state that does not allow this",
    412: "It has changed since your If-Match",
    413: "More than the portal takes",
    415: "Another kind of body is needed",
    416: "The file is not as long as that",
    422: "Fields are wrong; each says why",
    428: "Send If-Match",
    429: "Too often, or too many runs; Retry-After says when to come again",
    503: "Not just now; Retry-After says when to come again",
    507: "The portal has no room; Retry-After says when to come again",
}
HEADERS = {
    "ETag": "Names this state of it, for If-Match and If-None-Match.",
    "Link": 'The next page, as <address>; rel="next", if there is one.',
    "Location": "Its address.",
    "Retry-After": "Seconds until it is worth asking again.",
}

_shapes: dict[str, type[BaseModel]] = {}


class Problem(BaseModel):
    """A refusal (RFC 9457)."""

    type: str
    title: str = Field(description="What the status says in general.")
    status: int
    detail: str = Field(description="What is wrong here, and what to do.")
    request: str | None = Field(None, description="The request's id, by which the portal's administrator finds it.")
    fields: dict[str, str] | None = Field(None, description="Each field that is wrong, with the reason.")


def answers(
    status: int, shape: type[BaseModel] | str | None, *refusals: int, headers: tuple[str, ...] = ()
) -> dict[int, Any]:
    """What an operation may answer: a shape in JSON, or a type of file, or nothing; and its refusals."""
    hopeful = {"description": MEANING[status], "headers": {name: _header(name) for name in headers}}
    if shape:
        hopeful["content"] = _content(shape)
    told: dict[int, Any] = {status: hopeful}
    for each in sorted({*EVERYWHERE, *refusals}):
        told[each] = {"description": MEANING[each]}
        if each >= 400:
            told[each]["content"] = {PROBLEM: {"schema": _reference(Problem)}}
        elif each == 206:
            told[each]["content"] = hopeful["content"]
    return told


def document(paths: Any, bodies: Any, version: str) -> dict[str, Any]:
    """The whole OpenAPI document."""
    spec = APISpec(
        openapi="3.1.0",
        info=Info(title="Analytics Automated", version=version, description=DESCRIPTION),
        paths=paths,
        components=Components(schemas=bodies, securitySchemes=SECURITY),
    )
    told: dict[str, Any] = spec.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)
    told["components"]["schemas"].update(_schemas())
    for path, item in told["paths"].items():
        for operation in item.values():
            operation["tags"] = [path.split("/")[3]]
    return told


def _schemas() -> dict[str, Any]:
    _, told = models_json_schema([(shape, "serialization") for shape in _shapes.values()], ref_template=REFERENCE)
    return dict(told["$defs"])


def _content(shape: type[BaseModel] | str) -> dict[str, Any]:
    if isinstance(shape, str):
        return {shape: {"schema": {"type": "string", "format": "binary"}}}
    return {JSON: {"schema": _reference(shape)}}


def _reference(shape: type[BaseModel]) -> dict[str, str]:
    _shapes[shape.__name__] = shape
    return {"$ref": REFERENCE.format(model=shape.__name__)}


def _header(name: str) -> dict[str, Any]:
    return {"description": HEADERS[name], "schema": {"type": "string"}}
