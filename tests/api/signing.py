"""Ways to sign in to REST, and what a refusal must look like."""

from __future__ import annotations

import base64
from typing import Any

from sqlalchemy.orm import Session

from portal.database import transaction
from portal.models import Account
from portal.services import tokens
from portal.services.tokens import TokenDraft
from tests.conftest import PASSWORD


def basic(name: str = "admin", password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def token(session: Session, account: Account, *scopes: str, days: int | None = None) -> dict[str, str]:
    """The header of a new token."""
    with transaction(session):
        return bearer(tokens.create(session, account, TokenDraft("a program", scopes, days)).secret)


def refused(answer: Any, status: int) -> dict[str, Any]:
    problem: dict[str, Any] = answer.get_json()
    assert (answer.status_code, answer.mimetype, problem["status"]) == (status, "application/problem+json", status)
    assert problem["type"] == "about:blank" and problem["title"] and problem["detail"]
    return problem
