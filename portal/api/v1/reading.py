"""Reading a request as its specification says it: strictly, and with a sentence for each field that is wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar, get_type_hints

from flask import abort, request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from portal.domain.errors import Invalid

Model = TypeVar("Model", bound=BaseModel)
View = Callable[..., Any]

UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
BRANCHES = ("int", "str")
RULES = {
    "missing": "this field is required",
    "string_type": "give a text",
    "int_type": "give a whole number",
    "int_parsing": "give a whole number",
    "float_type": "give a number",
    "finite_number": "give a number that is not infinite",
    "bool_type": "give true or false",
    "tuple_type": "give a list",
    "dict_type": "give an object",
    "dataclass_type": "give an object",
}


def checked(view: View) -> View:
    """A view that gets its `path`, `query`, `header` and `body` as the models that its arguments are annotated with."""
    wanted = {part: model for part, model in get_type_hints(view).items() if part in READERS}

    @wraps(view)
    def reading(**parts: str) -> Any:
        return view(**{part: READERS[part](model, parts) for part, model in wanted.items()})

    reading.__dict__["__delay_validate_request__"] = True  # the library documents the models, and reads nothing
    return reading


def _path(model: type[Model], parts: Mapping[str, str]) -> Model:
    return _strings(model, parts)


def _query(model: type[Model], _: Mapping[str, str]) -> Model:
    return _strings(model, request.args.to_dict())


def _header(model: type[Model], _: Mapping[str, str]) -> Model:
    names = [field.alias for field in model.model_fields.values() if field.alias]
    return _strings(model, {name: request.headers[name] for name in names if name in request.headers})


def _body(model: type[Model], _: Mapping[str, str]) -> Model:
    sent = request.get_data()
    if not sent and not _required(model):
        return model()
    if request.mimetype != "application/json":
        abort(415, "Send the body as application/json.")
    try:
        read = model.model_validate_json(sent)
        json.loads(sent, object_pairs_hook=_once)
    except ValidationError as wrong:
        raise _refusal(wrong.errors(include_url=False, include_input=False), model) from None
    except ValueError as wrong:
        abort(400, f"The body cannot be taken: {wrong}")
    return read


def _once(pairs: list[tuple[str, Any]]) -> None:
    """Of a name that stands twice in an object, each reader takes another value. Raises ValueError."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name, number in Counter(names).items() if number > 1)
        raise ValueError(f"{twice[:40]!r} is named twice in one object: leave one out.")


READERS: dict[str, Callable[[type[Any], Mapping[str, str]], Any]] = {
    "path": _path,
    "query": _query,
    "header": _header,
    "body": _body,
}


def _strings(model: type[Model], given: Mapping[str, str]) -> Model:
    try:
        return model.model_validate_strings(dict(given))
    except ValidationError as wrong:
        raise _refusal(wrong.errors(include_url=False, include_input=False), model) from None


def _required(model: type[BaseModel]) -> bool:
    return any(field.is_required() for field in model.model_fields.values())


def _refusal(wrong: Sequence[ErrorDetails], model: type[BaseModel]) -> Invalid:
    if wrong[0]["type"] == "json_invalid":
        abort(400, f"The body is not JSON: {wrong[0]['msg'].removeprefix('Invalid JSON: ')}.")
    return Invalid(**{_place(each): _sentence(each, model) for each in wrong})


def _place(error: ErrorDetails) -> str:
    """The field's name, with numbers where it is in a list; an unknown name is the fault of what holds it."""
    known = error["loc"][:-1] if error["type"] in UNKNOWN else error["loc"]
    return "-".join(str(part) for part in known if part not in BRANCHES) or "body"


def _sentence(error: ErrorDetails, model: type[BaseModel]) -> str:
    if error["type"] in UNKNOWN:
        return f"There is no field {str(error['loc'][-1])[:40]!r} here{_choices(error, model)}."
    if error["type"] == "model_type":
        return "Send a JSON object."
    rule = RULES.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    return f"{_place(error)}: {rule}."


def _choices(error: ErrorDetails, model: type[BaseModel]) -> str:
    return f"; there are {', '.join(model.model_fields)}" if len(error["loc"]) == 1 else ""
