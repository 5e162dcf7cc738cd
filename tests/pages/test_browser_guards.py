"""What the portal asks of browsers, so that neither other sites nor other people at the same machine come in."""

from __future__ import annotations

import json
import re
from hashlib import sha1, sha256
from pathlib import Path

import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from flask.testing import FlaskClient

from portal.models import Account
from tests.conftest import PASSWORD
from tests.servers import ROOT

STORES = re.compile(r"localStorage|sessionStorage|indexedDB|document\.cookie")


@pytest.mark.parametrize(("base", "name"), [("https://localhost", "__Host-session"), ("http://localhost", "session")])
def test_the_cookie_is_bound_to_this_host_where_tls_is(client: FlaskClient, base: str, name: str) -> None:
    [cookie] = client.get("/sign-in", base_url=base).headers.getlist("Set-Cookie")

    assert cookie.startswith(f"{name}=")
    assert ("Secure" in cookie) is name.startswith("__Host-")
    assert "Path=/;" in f"{cookie};" and "Domain" not in cookie


def test_it_stays_signed_in_by_that_cookie(client: FlaskClient, admin: Account) -> None:
    client.post("/sign-in", data={"name": admin.name, "password": PASSWORD}, base_url="https://localhost")

    assert client.get("/tokens", base_url="https://localhost").status_code == 200


@pytest.mark.parametrize(("digest", "status"), [(sha1, 302), (sha256, 200)])
def test_the_cookie_is_signed_with_sha_256(app: Flask, signed_in: FlaskClient, digest: object, status: int) -> None:
    with signed_in.session_transaction() as held:
        claims = dict(held)
    signing = SecureCookieSessionInterface()
    signing.digest_method = digest  # type: ignore[assignment]
    signer = signing.get_signing_serializer(app)
    assert signer
    other = app.test_client()
    other.set_cookie("session", str(signer.dumps(claims)))

    assert other.get("/tokens").status_code == status


@pytest.mark.parametrize("file", sorted((ROOT / "portal" / "static").glob("*.js")), ids=lambda path: path.name)
def test_no_script_stores_anything_in_the_browser(file: Path) -> None:
    assert STORES.findall(file.read_text("utf-8")) == []
    assert '"historyCacheSize": 0' in (ROOT / "portal" / "templates" / "layout.html").read_text("utf-8")


def test_it_writes_down_who_was_refused(client: FlaskClient, capfd: pytest.CaptureFixture[str]) -> None:
    client.get("/analytics_automated/job.json", headers={"Authorization": "Basic YWRtaW46d3Jvbmc="})

    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    [line] = [line for line in lines if line["logger"] == "portal.requests"]
    assert (line["level"], line["message"], line["address"]) == ("warning", "answered 403", "127.0.0.1")


def test_signing_out_empties_the_browsers_cache(signed_in: FlaskClient) -> None:
    assert signed_in.post("/sign-out").headers["Clear-Site-Data"] == '"cache"'


def test_signing_in_again_ends_the_session_before(app: Flask, signed_in: FlaskClient) -> None:
    kept = signed_in.get_cookie("session")
    assert kept
    thief = app.test_client()
    thief.set_cookie("session", kept.value)
    assert thief.get("/tokens").status_code == 200

    signed_in.post("/sign-in", data={"name": "admin", "password": PASSWORD})

    assert thief.get("/tokens").status_code == 302
    assert signed_in.get("/tokens").status_code == 200
