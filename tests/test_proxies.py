"""Who asks: what a proxy says of its client is believed of trusted proxies only."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import create_app
from portal.models import Batch
from portal.settings import WrongSetting, settings
from tests.api.service import A, upload
from tests.making import make_job, make_task


def portal_behind(monkeypatch: pytest.MonkeyPatch, trusted: str) -> FlaskClient:
    monkeypatch.setenv("PORTAL_TRUSTED_PROXIES", trusted)
    settings.cache_clear()
    app: Flask = create_app()
    app.config.update(WTF_CSRF_ENABLED=False)
    return app.test_client()


@pytest.fixture
def job(session: Session) -> None:
    make_task(session, "t", "command", "true")
    make_job(session, "j", [(1, "t")])


def submit(client: FlaskClient, sender: str, forwarded: str) -> int:
    form = {"job": "j", "submission_name": "n", "email": "ann@example.org", "input_data": upload(b"x\n")}
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    environ = {"REMOTE_ADDR": sender}
    answer = client.post(f"{A}/submission.json", data=form, headers=headers, environ_base=environ)
    return answer.status_code


@pytest.mark.parametrize(
    ("trusted", "sender", "forwarded", "believed"),
    [
        ("", "203.0.113.9", "192.0.2.1", "203.0.113.9"),
        ("0", "203.0.113.9", "192.0.2.1", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9", "192.0.2.1", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9", "192.0.2.1, 10.0.0.1", "203.0.113.9"),
        ("10.0.0.1", "10.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "10.0.0.1", "198.51.100.7, 192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.0/8, ::1", "::1", "198.51.100.7, 192.0.2.1, 10.3.2.1", "192.0.2.1"),
        ("10.0.0.0/8", "::ffff:10.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("10.0.0.0/8", "10.0.0.2", "10.0.0.3", "10.0.0.3"),
        ("1", "203.0.113.9", "198.51.100.7, 192.0.2.1", "192.0.2.1"),
        ("2", "203.0.113.9", "198.51.100.7, 192.0.2.1, 192.0.2.2", "192.0.2.1"),
    ],
)
def test_it_believes_trusted_proxies_only(
    session: Session,
    job: None,
    monkeypatch: pytest.MonkeyPatch,
    trusted: str,
    sender: str,
    forwarded: str,
    believed: str,
) -> None:
    assert submit(portal_behind(monkeypatch, trusted), sender, forwarded) == 201

    assert session.scalars(select(Batch.address)).all() == [believed]


def test_nobody_passes_a_limit_by_naming_other_clients(job: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_QUEUE_HARD_LIMIT", "2")
    client = portal_behind(monkeypatch, "10.0.0.1")

    direct = [submit(client, "203.0.113.9", f"192.0.2.{number}") for number in range(4)]
    through_the_proxy = [submit(client, "10.0.0.1", f"192.0.2.{number}") for number in range(4)]

    assert direct == [201, 201, 429, 429]
    assert through_the_proxy == [201] * 4


@pytest.mark.parametrize("prefix", ["/portal", "/portal/", "/of/ours"])
def test_it_lives_below_the_path_that_a_trusted_proxy_names(
    data: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    assert led_to(portal_behind(monkeypatch, "1"), prefix) == f"{prefix.rstrip('/')}/sign-in"


@pytest.mark.parametrize(
    "prefix", ["https://evil", "//evil", "/\\evil", "/%5cevil", "evil", "/a?b", "javascript:x", "/a, //evil", "/../a"]
)
def test_nobody_is_sent_to_another_site_by_a_path_that_is_none(
    data: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    """A proxy that sets no path of its own passes on what its client says."""
    assert led_to(portal_behind(monkeypatch, "1"), prefix) == "/sign-in"


def led_to(client: FlaskClient, prefix: str) -> str:
    """Where somebody who is not signed in is sent to."""
    answer = client.get("/jobs", headers={"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Prefix": prefix})
    return answer.headers["Location"].partition("?")[0]


@pytest.mark.parametrize("wrong", ["proxy.example.org", "10.0.0.1,", "10.0.0.0/40", "-1"])
def test_it_does_not_start_with_proxies_that_are_no_addresses(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("PORTAL_TRUSTED_PROXIES", wrong)
    settings.cache_clear()

    with pytest.raises(WrongSetting, match="PORTAL_TRUSTED_PROXIES is wrong: it must be a number, or addresses"):
        settings()
    settings.cache_clear()
