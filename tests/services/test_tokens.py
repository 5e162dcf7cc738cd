"""What programs sign in with."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal.database import now, transaction
from portal.domain.errors import Invalid, NotFound
from portal.domain.policy import Role
from portal.models import Account, Audit, Token
from portal.services import accounts, tokens
from portal.services.tokens import Made, TokenDraft
from tests.conftest import PASSWORD
from tests.making import make_job, make_task


def make(session: Session, account: Account, *scopes: str, name: str = "a program", days: int | None = None) -> Made:
    with transaction(session):
        return tokens.create(session, account, TokenDraft(name, scopes, days))


def change(session: Session, token: Token, **values: object) -> None:
    with transaction(session):
        session.execute(update(Token).where(Token.id == token.id).values(**values))


def test_its_secret_is_known_to_its_holder_alone(session: Session, admin: Account) -> None:
    made = make(session, admin, "read")

    assert re.fullmatch(r"aa_[A-Za-z0-9_-]{43}", made.secret)
    assert made.secret not in str(vars(made.token)) and len(made.token.secret_hash) == 64
    assert tokens.find(session, made.secret) == made.token
    assert tokens.find(session, made.secret[:-1]) is None


def test_it_is_good_until_it_expires(session: Session, admin: Account) -> None:
    made = make(session, admin, "read", days=1)
    assert tokens.find(session, made.secret)

    change(session, made.token, expires=now(-1))

    assert tokens.find(session, made.secret) is None


def test_it_is_revoked_by_its_owner_only(session: Session, admin: Account) -> None:
    made = make(session, admin, "read")
    with transaction(session):
        eve = accounts.create(session, "eve", PASSWORD, Role.ANALYST)
    with pytest.raises(NotFound), transaction(session):
        tokens.revoke(session, eve, made.token.id)

    with transaction(session):
        tokens.revoke(session, admin, made.token.id)

    assert tokens.find(session, made.secret) is None
    assert tokens.of_account(session, admin) == []


def test_it_remembers_to_the_minute_when_it_was_used(session: Session, admin: Account) -> None:
    token = make(session, admin, "read").token
    tokens.note_use(session, token)
    first = token.last_used

    tokens.note_use(session, token)

    assert first is not None and token.last_used == first
    change(session, token, last_used=now(-61))
    tokens.note_use(session, token)
    assert token.last_used and token.last_used >= first


@pytest.mark.parametrize(
    ("draft", "field"),
    [
        (TokenDraft("", ("read",)), "name"),
        (TokenDraft("x" * 81, ("read",)), "name"),
        (TokenDraft("a\0b", ("read",)), "name"),
        (TokenDraft("x", ()), "scopes"),
        (TokenDraft("x", ("write",)), "scopes"),
        (TokenDraft("x", ("job:",)), "scopes"),
        (TokenDraft("x", ("job:unknown",)), "scopes"),
        (TokenDraft("x", ("job:\0",)), "scopes"),
        (TokenDraft("x", ("read",) * 51), "scopes"),
        (TokenDraft("x", ("read",), 0), "days"),
        (TokenDraft("x", ("read",), 10**30), "days"),
    ],
)
def test_it_names_what_is_wrong(session: Session, admin: Account, draft: TokenDraft, field: str) -> None:
    with pytest.raises(Invalid) as refused, transaction(session):
        tokens.create(session, admin, draft)

    assert list(refused.value.fields) == [field]


def test_it_can_be_for_one_job(session: Session, admin: Account) -> None:
    make_task(session, "t", "command", "true")
    make_job(session, "mine", [(1, "t")])

    assert make(session, admin, "job:mine").token.scopes == ["job:mine"]
    assert "job:mine" in tokens.possible_scopes(session, admin)


def test_it_stands_on_the_audit_trail_without_its_secret(session: Session, admin: Account) -> None:
    made = make(session, admin, "read", name="nightly")
    with transaction(session):
        tokens.revoke(session, admin, made.token.id)

    lines = session.scalars(select(Audit).order_by(Audit.id)).all()

    assert [(line.actor, line.action, line.object) for line in lines] == [
        ("admin", "made", "nightly"),
        ("admin", "revoked", "nightly"),
    ]
    assert made.secret not in str([line.detail for line in lines])
