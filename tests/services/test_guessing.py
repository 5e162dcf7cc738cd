"""Which passwords accounts can have: whatever people type, unless it is guessed soon."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from portal.database import transaction
from portal.domain import guessing, passwords
from portal.domain.errors import Invalid, NotAllowed
from portal.domain.policy import Role
from portal.models import Account
from portal.services import accounts
from tests.conftest import PASSWORD

LONG_AND_USUAL = [each for each in FREQUENCY_LISTS["passwords"] if len(each) >= passwords.SHORTEST]


@pytest.fixture
def ann(session: Session) -> Account:
    with transaction(session):
        return accounts.create(session, "ann", PASSWORD, Role.SUBMITTER)


def test_it_takes_none_of_the_most_usual_passwords() -> None:
    assert len(FREQUENCY_LISTS["passwords"]) == 30_000 and len(LONG_AND_USUAL) > 200
    assert [each for each in LONG_AND_USUAL if not guessing.is_soon(each, "ann")] == []


@pytest.mark.parametrize(
    "password",
    ["sebastian1985", "Elizabeth2026!", "aaaaaaaaaaaaaaaa", "1q2w3e4r5t6y7u", "december2024", "P@ssw0rd1234"],
)
def test_it_takes_nothing_that_is_made_of_usual_words_dates_and_keys(
    session: Session, ann: Account, password: str
) -> None:
    with pytest.raises(Invalid, match="guessed first"):
        accounts.change_password(session, ann, password)


@pytest.mark.parametrize("password", ["analyticsportal", "submitteranalyst", "margaretmargaret"])
def test_it_takes_no_password_of_the_accounts_or_the_portals_own_words(password: str) -> None:
    assert guessing.is_soon(password, "margaret")


@pytest.mark.parametrize(
    "password",
    [
        "739104628851",
        "qpxvtrmwzkjh",
        "QPXVTRMWZKJH",
        "%&/()=?!$§%&",
        "日本語のパスワードです長い",
        "four words of my own",
        "é" * 3 + "ñöß æø þ ŧ ł",
    ],
)
def test_it_takes_passwords_of_any_kind_of_character(session: Session, ann: Account, password: str) -> None:
    accounts.change_password(session, ann, password)

    assert accounts.authenticate(session, "ann", password) is ann


@pytest.mark.parametrize(
    "password", [" Two blanks  about  ", "Capitals AND not", "e\u0301 is no \u00e9 of mine", "x9#kQ2!mZ7$w" * 83]
)
def test_it_takes_a_password_just_as_it_was_typed(session: Session, ann: Account, password: str) -> None:
    accounts.change_password(session, ann, password)

    assert accounts.authenticate(session, "ann", password) is ann
    for other in {password.strip(), password.casefold(), password[:-1], password.replace("e\u0301", "\u00e9")} - {
        password
    }:
        with pytest.raises(NotAllowed):
            accounts.authenticate(session, "ann", other)
