"""How to ask for a run from outside: ready to copy for curl, Python and R, with the values that stand in the form."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    """One REST submission: its address, its text fields in order, the name of the file that it sends, for a job that
    is not public the account that each program will ask the password of, and the names of further files by field."""

    url: str
    fields: Mapping[str, str]
    file: str
    account: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

    def every_file(self) -> dict[str, str]:
        return {"input_data": self.file, **self.files}


def curl(request: Request) -> str:
    """One line a field."""
    fields = [_curl_field(name, text) for name, text in request.fields.items()]
    account = [f"-u {shlex.quote(request.account)}"] if request.account else []
    files = [f"-F {shlex.quote(name)}=@{shlex.quote(file)}" for name, file in request.every_file().items()]
    parts = [*account, *fields, *files, shlex.quote(request.url)]
    return " \\\n  ".join(["curl", *parts])


def _curl_field(name: str, text: str) -> str:
    """-F reads some characters as its own syntax; --form-string takes any text as it is."""
    special = text.startswith(("@", "<", "(", ")", '"')) or ";" in text
    return f"{'--form-string' if special else '-F'} {shlex.quote(f'{name}={text}')}"


def python(request: Request) -> str:
    fields = "".join(f"            {_literal(name)}: {_literal(text)},\n" for name, text in request.fields.items())
    account = f"        auth=({_literal(request.account)}, getpass()),\n" if request.account else ""
    files = {f"file{number or ''}": each for number, each in enumerate(request.every_file().items())}
    opened = ", ".join(f'open({_literal(file)}, "rb") as {variable}' for variable, (_, file) in files.items())
    sent = ", ".join(f"{_literal(name)}: {variable}" for variable, (name, _) in files.items())
    return (
        ("from getpass import getpass\n\n" if account else "") + "import requests\n\n"
        f"with {opened}:\n"
        "    answer = requests.post(\n"
        f"        {_literal(request.url)},\n"
        f"{account}"
        f"        data={{\n{fields}        }},\n"
        f"        files={{{sent}}},\n"
        "        timeout=60,\n"
        "    )\n"
        "answer.raise_for_status()\n"
        'print(answer.json()["UUID"])\n'
    )


def r(request: Request) -> str:
    fields = "".join(f"    `{name}` = {_literal(text)},\n" for name, text in request.fields.items())
    account = f"  req_auth_basic({_literal(request.account)}) |>\n" if request.account else ""
    files = [f"    `{name}` = curl::form_file({_literal(file)})" for name, file in request.every_file().items()]
    sent = ",\n".join(files)
    return (
        "library(httr2)\n\n"
        f"answer <- request({_literal(request.url)}) |>\n"
        f"{account}"
        "  req_body_multipart(\n"
        f"{fields}"
        f"{sent}\n"
        "  ) |>\n"
        "  req_perform()\n"
        "resp_body_json(answer)$UUID\n"
    )


def _literal(text: str) -> str:
    """A JSON string is a string literal of Python and of R as well."""
    return json.dumps(text, ensure_ascii=False)
