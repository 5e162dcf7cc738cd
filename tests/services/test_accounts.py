"""Who is at the door."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.errors import Invalid, NotAllowed
from portal.domain.policy import Role
from portal.models import Account
from portal.services import accounts
from tests.conftest import PASSWORD


def refusal(session: Session, name: str, password: str) -> str:
    with pytest.raises(NotAllowed) as refused:
        accounts.authenticate(session, name, password)
    return str(refused.value)


def test_it_lets_in_who_knows_the_password(session: Session, admin: Account) -> None:
    assert accounts.authenticate(session, "admin", PASSWORD) is admin


def test_it_keeps_no_password_but_its_argon2_hash(session: Session, admin: Account) -> None:
    assert admin.password_hash.startswith("$argon2id$")
    assert PASSWORD not in admin.password_hash


def test_it_refuses_a_wrong_name_a_wrong_password_and_a_closed_account_alike(session: Session, admin: Account) -> None:
    wrong_name, wrong_password = refusal(session, "nobody", PASSWORD), refusal(session, "admin", PASSWORD + "x")
    with transaction(session):
        session.get_one(Account, admin.id).active = False

    assert {wrong_name, wrong_password, refusal(session, "admin", PASSWORD)} == {accounts.REFUSAL}


@pytest.mark.parametrize("password", ["", "x" * 1_000_000, "pass\0word"])
def test_it_refuses_an_odd_password_as_any_wrong_one(session: Session, admin: Account, password: str) -> None:
    assert refusal(session, "admin", password) == accounts.REFUSAL


@pytest.mark.parametrize(
    ("name", "password", "field"),
    [
        ("", PASSWORD, "name"),
        ("a b", PASSWORD, "name"),
        ("x" * 81, PASSWORD, "name"),
        ("ann", "short", "password"),
        ("ann", "x" * 1001, "password"),
    ],
)
def test_it_names_what_is_wrong_with_a_new_account(session: Session, name: str, password: str, field: str) -> None:
    with pytest.raises(Invalid) as refused, transaction(session):
        accounts.create(session, name, password, Role.ANALYST)

    assert list(refused.value.fields) == [field]


def test_it_gives_a_name_once(session: Session, admin: Account) -> None:
    with pytest.raises(Invalid, match="taken"), transaction(session):
        accounts.create(session, "admin", PASSWORD, Role.ANALYST)


def test_it_finds_an_open_account_by_the_key_of_its_session(session: Session, admin: Account) -> None:
    key = admin.session_key

    assert accounts.by_session_key(session, key) is admin
    assert accounts.by_session_key(session, key[:-1]) is None
    with transaction(session):
        session.get_one(Account, admin.id).active = False
    assert accounts.by_session_key(session, key) is None
