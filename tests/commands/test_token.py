"""flask token: a secret on the output, and nothing else, so that scripts can keep it."""

from __future__ import annotations

from flask import Flask
from sqlalchemy.orm import Session

from portal.models import Account
from portal.services import tokens


def test_it_prints_a_token_that_works(app: Flask, session: Session, admin: Account) -> None:
    done = app.test_cli_runner().invoke(args=["token", "admin", "--scope", "read", "--scope", "run", "--days", "3"])

    made = tokens.find(session, done.output.strip())
    assert done.exit_code == 0 and made is not None
    assert (made.account, made.scopes) == (admin, ["read", "run"]) and made.expires is not None


def test_it_says_what_is_wrong(app: Flask, admin: Account) -> None:
    runner = app.test_cli_runner()

    for words, sentence in (
        (["token", "nobody", "--scope", "read"], "There is no account nobody."),
        (["token", "admin", "--scope", "write"], "is not a scope"),
    ):
        done = runner.invoke(args=words)
        assert done.exit_code == 1 and sentence in done.output
