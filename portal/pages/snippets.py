"""How to ask for a run from outside: ready to copy for curl, Python and R, with the values that stand in the form."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """One REST submission: its address, its text fields in order, and the name of the file that it sends."""

    url: str
    fields: Mapping[str, str]
    file: str


def curl(request: Request) -> str:
    """One line a field."""
    fields = [_curl_field(name, text) for name, text in request.fields.items()]
    parts = [*fields, f"-F input_data=@{shlex.quote(request.file)}", shlex.quote(request.url)]
    return " \\\n  ".join(["curl", *parts])


def _curl_field(name: str, text: str) -> str:
    """-F reads some characters as its own syntax; --form-string takes any text as it is."""
    special = text.startswith(("@", "<", "(", ")", '"')) or ";" in text
    return f"{'--form-string' if special else '-F'} {shlex.quote(f'{name}={text}')}"


def python(request: Request) -> str:
    fields = "".join(f"            {_literal(name)}: {_literal(text)},\n" for name, text in request.fields.items())
    return (
        "import requests\n\n"
        f'with open({_literal(request.file)}, "rb") as file:\n'
        "    answer = requests.post(\n"
        f"        {_literal(request.url)},\n"
        f"        data={{\n{fields}        }},\n"
        '        files={"input_data": file},\n'
        "        timeout=60,\n"
        "    )\n"
        "answer.raise_for_status()\n"
        'print(answer.json()["UUID"])\n'
    )


def r(request: Request) -> str:
    fields = "".join(f"    `{name}` = {_literal(text)},\n" for name, text in request.fields.items())
    return (
        "library(httr2)\n\n"
        f"answer <- request({_literal(request.url)}) |>\n"
        "  req_body_multipart(\n"
        f"{fields}"
        f"    input_data = curl::form_file({_literal(request.file)})\n"
        "  ) |>\n"
        "  req_perform()\n"
        "resp_body_json(answer)$UUID\n"
    )


def _literal(text: str) -> str:
    """A JSON string is a string literal of Python and of R as well."""
    return json.dumps(text, ensure_ascii=False)
