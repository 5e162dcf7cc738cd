"""Whoever asks: what the portal knows of them, and the tokens of their programs."""

from __future__ import annotations

from flask import Response, jsonify
from pydantic import BaseModel, Field

from portal import web
from portal.api import sender
from portal.api.v1.drafts import TokenBody, draft_of
from portal.api.v1.edge import account, api, only, person, reader
from portal.api.v1.reading import checked
from portal.api.v1.shapes import Me, NewToken, Tokens, TokenShape
from portal.api.v1.specification import ACCOUNT, PERSON, answers
from portal.database import transaction
from portal.services import tokens


class TokenPath(BaseModel):
    """A token by its number."""

    id: int = Field(ge=1, le=tokens.LARGEST_ID)


@api.get("/me", responses=answers(200, Me), security=ACCOUNT)
@checked
def me() -> Response:
    """Who asks, and what for."""
    asking, scopes = account(), sender.grant().scopes
    shape = Me(
        name=asking.name,
        email=asking.email,
        role=asking.role.value,
        scopes=None if scopes is None else sorted(scopes),
    )
    return jsonify(shape.model_dump())


@api.get("/tokens", responses=answers(200, Tokens), security=ACCOUNT)
@checked
def list_tokens() -> Response:
    """The account's tokens, newest first; not their secrets."""
    found = tokens.of_account(web.session(), reader())
    return jsonify(Tokens(tokens=[TokenShape.of(each) for each in found]).model_dump(mode="json"))


@api.post("/tokens", responses=answers(201, NewToken, 413, 415, 422), security=PERSON)
@only(person)
@checked
def create_token(body: TokenBody) -> tuple[Response, int]:  # type: ignore[valid-type]
    """Make a token. The answer is the only one with its secret."""
    asking = person()
    with transaction(web.session()) as session:
        made = tokens.create(session, asking, draft_of(body, tokens.TokenDraft))
    shape = NewToken.of(made.token, secret=made.secret)
    response = jsonify(shape.model_dump(mode="json"))
    response.headers["Cache-Control"] = "no-store"
    return response, 201


@api.delete("/tokens/<id>", responses=answers(204, None, 404, 422), security=PERSON)
@checked
def revoke_token(path: TokenPath) -> tuple[str, int]:
    """Revoke a token: it is good for nothing from now on."""
    asking = person()
    with transaction(web.session()) as session:
        tokens.revoke(session, asking, path.id)
    return "", 204
