"""The portal as a program sees it that asks again: submits, stops and resumes by HTTP."""

from __future__ import annotations

import base64
import http.client
import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from tests.servers import ADMIN_PASSWORD

PATIENCE = 20.0


class NoAnswer(Exception):
    """The request got no answer: whether it was done is not known."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: dict[str, Any]


@dataclass(frozen=True)
class Client:
    port: int

    def submit(self, jobs: str, name: str, upload: bytes, email: str, key: str | None) -> Answer:
        boundary = uuid4().hex
        fields = {"job": jobs, "submission_name": name, "email": email}
        parts = [_part(boundary, f'name="{field}"', value.encode()) for field, value in fields.items()]
        parts.append(_part(boundary, 'name="input_data"; filename="in.txt"', upload))
        body = b"".join(parts) + f"--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return self._ask("POST", "/analytics_automated/submission.json", body, headers | _keyed(key))

    def stop(self, uuid: str) -> Answer:
        return self._ask("POST", f"/api/v1/submissions/{uuid}/stop", b"", _signed())

    def resume(self, uuid: str, key: str) -> Answer:
        headers = {"Content-Type": "application/json"}
        return self._ask("POST", f"/api/v1/submissions/{uuid}/resume", b"{}", headers | _signed() | _keyed(key))

    def answers(self) -> bool:
        try:
            return self._ask("GET", "/sign-in", b"", {}).status == 200
        except NoAnswer:
            return False

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, _json(response.read()))
        except (OSError, http.client.HTTPException) as failure:
            raise NoAnswer(type(failure).__name__) from None
        finally:
            connection.close()


def _json(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _part(boundary: str, about: str, content: bytes) -> bytes:
    return f"--{boundary}\r\nContent-Disposition: form-data; {about}\r\n\r\n".encode() + content + b"\r\n"


def _keyed(key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": key} if key else {}


def _signed() -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"admin:{ADMIN_PASSWORD}".encode()).decode()}
