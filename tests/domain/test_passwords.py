"""What is too easily guessed."""

from __future__ import annotations

import secrets

import pytest

from portal.domain import passwords


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "a mare's nest of owls",
        "日本語のパスワードです長い",
        "x9#kQ2!mZ7$w",
        "ein langes Wort mehr",
    ],
)
def test_it_takes(password: str) -> None:
    assert passwords.fault(password, "ann") is None


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("short", "12 to 1000"),
        ("x" * 1001, "12 to 1000"),
        ("PASSWORD-2026", "guessed first"),
        ("P@ssw0rd1234", "guessed first"),
        ("!!!letmein!!!", "guessed first"),
        ("margaret1234", "your name"),
    ],
)
def test_it_refuses(password: str, reason: str) -> None:
    assert reason in (passwords.fault(password, "Margaret") or "")


def test_it_takes_keys_that_were_made_by_chance() -> None:
    made = [secrets.token_hex(32) for _ in range(50)] + [secrets.token_urlsafe(32) for _ in range(50)]

    assert [key for key in made if passwords.key_fault(key)] == []
