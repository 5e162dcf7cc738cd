"""Signing in and out: nothing is told about accounts, and nobody is sent away from the portal."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from portal.models import Account
from portal.settings import Settings
from tests.conftest import PASSWORD

RIGHT = {"name": "admin", "password": PASSWORD}


def without_tokens(page: str) -> str:
    """A page without what is new in every answer."""
    return re.sub(r'name="(csp-nonce|csrf_token)" (content|value)="[^"]*"', "", page)


def test_it_signs_in_and_goes_to_the_page_that_was_asked_for(client: FlaskClient, admin: Account) -> None:
    asked = client.get("/runs?state=ERROR")
    assert asked.status_code == 302

    answer = client.post(asked.location, data=RIGHT)

    assert answer.location == "/runs?state=ERROR"
    assert client.get("/runs").status_code == 200


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example", "javascript:alert(1)",
        "/\t/evil.example", "/\n/evil.example", "evil.example", " //evil.example", "",
    ],
)  # fmt: skip
def test_it_goes_home_instead_of_to(target: str, client: FlaskClient, admin: Account) -> None:
    answer = client.post("/sign-in", query_string={"next": target}, data=RIGHT)

    assert answer.location == "/"


def test_it_says_the_same_of_an_unknown_name_and_of_a_wrong_password(client: FlaskClient, admin: Account) -> None:
    wrong = client.post("/sign-in", data=RIGHT | {"password": "wrong horse battery"})
    unknown = client.post("/sign-in", data=RIGHT | {"name": "nobody"})

    assert wrong.status_code == unknown.status_code == 422
    assert without_tokens(wrong.text).replace("admin", "nobody") == without_tokens(unknown.text)
    assert "The name or the password is wrong." in wrong.text


def test_it_names_the_field_that_was_left_empty(client: FlaskClient) -> None:
    answer = client.post("/sign-in", data={"name": "admin", "password": ""})

    assert answer.status_code == 422
    assert "Give your password." in answer.text


def test_it_starts_a_new_session_at_sign_in(client: FlaskClient, admin: Account) -> None:
    with client.session_transaction() as before:
        before["left"] = "by somebody else"

    client.post("/sign-in", data=RIGHT)

    with client.session_transaction() as after:
        assert "left" not in after


def test_it_signs_out(signed_in: FlaskClient) -> None:
    signed_in.post("/sign-out")

    assert "Sign in" in signed_in.get("/").text
    assert signed_in.get("/runs").status_code == 302


def test_a_cookie_kept_from_before_signing_out_is_worth_nothing(app: Flask, signed_in: FlaskClient) -> None:
    kept = signed_in.get_cookie("session")
    assert kept is not None
    thief = app.test_client()
    thief.set_cookie("session", kept.value)
    assert thief.get("/runs").status_code == 200

    signed_in.post("/sign-out")

    assert thief.get("/runs").status_code == 302
    assert "You are signed out, here and in every other browser." in signed_in.get("/").text


def test_it_does_not_sign_out_by_a_link(signed_in: FlaskClient) -> None:
    assert signed_in.get("/sign-out").status_code == 405
    assert signed_in.get("/runs").status_code == 200


def test_it_refuses_a_form_without_its_token(app: Flask, admin: Account) -> None:
    app.config["WTF_CSRF_ENABLED"] = True

    answer = app.test_client().post("/sign-in", data=RIGHT)

    assert answer.status_code == 400
    assert "reload the page" in answer.text


def test_it_refuses_to_be_tried_again_and_again(admin: Account) -> None:
    app = create_app(Settings(portal_sign_in_limit="2 per minute"))
    app.config["WTF_CSRF_ENABLED"] = False
    client = app.test_client()

    statuses = [client.post("/sign-in", data=RIGHT | {"password": "guess"}).status_code for _ in range(3)]

    assert statuses == [422, 422, 429]
