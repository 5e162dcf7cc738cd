"""The page on which people make and revoke the tokens of their programs."""

from __future__ import annotations

import re

from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from portal.models import Account
from portal.services import tokens


def test_it_shows_a_new_token_once(signed_in: FlaskClient) -> None:
    made = signed_in.post("/tokens", data={"name": "nightly", "scopes": ["read", "run"], "days": "7"})

    [secret] = re.findall(r"aa_[A-Za-z0-9_-]{43}", made.text)
    assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
    assert signed_in.get("/api/v1/me", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
    later = signed_in.get("/tokens").text
    assert "nightly" in later and "read, run" in later and secret not in later


def test_it_names_what_is_wrong(signed_in: FlaskClient, session: Session, admin: Account) -> None:
    answer = signed_in.post("/tokens", data={"name": "", "days": "0"})

    assert answer.status_code == 422
    for sentence in ("Name the token after what uses it.", "Choose what the token may be used for", "Give 1 to 3,650"):
        assert sentence in answer.text
    assert signed_in.post("/tokens", data={"name": "x", "scopes": "all", "days": "x"}).status_code == 422
    assert tokens.of_account(session, admin) == []


def test_it_revokes(signed_in: FlaskClient, session: Session, admin: Account) -> None:
    signed_in.post("/tokens", data={"name": "old laptop", "scopes": "read"})
    [token] = tokens.of_account(session, admin)

    answer = signed_in.post(f"/tokens/{token.id}/revoke", follow_redirects=True)

    assert "The token is revoked" in answer.text and "old laptop" not in answer.text
    assert signed_in.post(f"/tokens/{token.id}/revoke").status_code == 404
    assert signed_in.post(f"/tokens/{2**70}/revoke").status_code == 404


def test_it_is_for_accounts_and_in_their_menu(client: FlaskClient, signed_in: FlaskClient) -> None:
    assert 'href="/tokens"' in signed_in.get("/").text
    signed_in.post("/sign-out")

    assert signed_in.get("/tokens").status_code == 302
