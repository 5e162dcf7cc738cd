"""flask account, for whoever has the machine."""

from __future__ import annotations

from flask import Flask
from sqlalchemy.orm import Session

from portal.domain.policy import Role
from portal.models import Account
from portal.services import accounts


def said(app: Flask, *words: str) -> tuple[int, str]:
    done = app.test_cli_runner().invoke(args=["account", *words])
    return done.exit_code, done.output


def test_it_makes_an_account_and_prints_a_password_for_once(app: Flask, session: Session, admin: Account) -> None:
    status, password = said(app, "create", "ann", "--role", "analyst", "--email", "ann@example.org")

    ann = accounts.authenticate(session, "ann", password.strip())
    assert (status, ann.role, ann.email, ann.must_change) == (0, Role.ANALYST, "ann@example.org", True)


def test_it_gives_roles_and_switches_off_and_on(app: Flask, session: Session, admin: Account) -> None:
    said(app, "create", "ann")

    assert said(app, "role", "ann", "analyst") == (0, "ann is analyst now.\n")
    assert said(app, "off", "ann") == (0, "ann is switched off.\n")
    assert said(app, "list") == (0, "admin\tadministrator\nann\tanalyst\toff\n")
    assert said(app, "on", "ann") == (0, "ann is switched on.\n")


def test_it_says_what_cannot_be_done(app: Flask, session: Session, admin: Account) -> None:
    for words, status, sentence in (
        (("off", "admin"), 1, "This is the only administrator"),
        (("role", "nobody", "analyst"), 1, "There is no account nobody."),
        (("role", "admin", "god"), 2, "'god' is not one of"),
        (("create", "Admin"), 1, "This name is taken"),
        (("create", "ann", "--email", "x"), 1, "This is not one e-mail address"),
    ):
        code, output = said(app, *words)
        assert (code, sentence in output) == (status, True), output
