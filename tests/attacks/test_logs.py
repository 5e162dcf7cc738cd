"""What must never be told: secrets in logs, pages and histories; and lines of a log that somebody else wrote."""

from __future__ import annotations

import json
import logging
import re
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import select

from app import create_app
from portal.models import Submission
from tests.attacks.hostile import A, Site, form, site, upload
from tests.conftest import forget_settings
from tests.making import work_through

__all__ = ["site"]

PLANTED = {
    "SECRET_KEY": "planted-key-of-the-sessions-0123456789ab",
    "PORTAL_ADMIN_PASSWORD": "planted-password-of-admin",
    "MAIL_PASSWORD": "planted-password-of-mail",
    "BROKER_URL": "redis://:planted-broker@127.0.0.1:1/0",
    "DATABASE_URL": "postgresql://portal:planted-database@127.0.0.1:1/none",
}
FORGED = [
    "/tasks%0aERROR%20forged",
    "/runs/a%0d%0aforged",
    "/%1b[31mforged",
    "/jobs/x%0a/run",
    f"{A}/submission/x%0aforged",
]


@pytest.fixture
def lame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A portal whose database and broker are away, so that everything goes wrong."""
    for name, value in {**PLANTED, "PORTAL_DATA": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    forget_settings()
    yield create_app().test_client()
    forget_settings()


@pytest.mark.attack("LG-02")
@pytest.mark.parametrize(
    "path", ["/", "/tasks", "/sign-in", "/runs/x", "/api/v1/jobs", f"{A}/endpoints/", "/submissions/x", "/nowhere"]
)
def test_no_secret_is_told_when_all_goes_wrong(lame, caplog: pytest.LogCaptureFixture, path: str) -> None:  # type: ignore[no-untyped-def]
    with caplog.at_level(logging.DEBUG):
        answer = lame.get(path, headers={"Authorization": "Bearer planted-token"})

    words = answer.get_data(as_text=True) + str(answer.headers) + caplog.text
    assert not re.findall(r"planted[\w-]*", words)


@pytest.mark.attack("LG-01")
@pytest.mark.parametrize("path", FORGED)
def test_nobody_writes_a_line_of_the_log(lame, caplog: pytest.LogCaptureFixture, path: str) -> None:  # type: ignore[no-untyped-def]
    with caplog.at_level(logging.INFO):
        lame.get(path)

    assert not [each for each in caplog.messages if re.search(r"[\n\r\x1b]", each)]


EVIL = {
    "line ends": "a\r\nforged\n",
    "colours": "\x1b[31mforged",
    "a link": "\x1b]8;;javascript:alert(1)\x07forged",
    "other line ends": "a\u2028forged\x85forged\x0bforged",
    "a megabyte": "x" * 1_000_000 + "\nforged",
    "a backward word": "\u202eforged",
    "an end of JSON": 'a"}\n{"level": "error", "message": "forged',
}


@pytest.mark.attack("LG-01")
@pytest.mark.parametrize("kind", EVIL)
def test_all_that_is_said_stays_one_line_of_json_each(
    site: Site, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    evil = EVIL[kind]
    header = evil.encode().decode("latin-1")
    headers = dict.fromkeys(("HTTP_USER_AGENT", "HTTP_REFERER", "HTTP_X_REQUEST_ID", "HTTP_IDEMPOTENCY_KEY"), header)
    job = site.service()

    with caplog.at_level(logging.DEBUG, "portal"):
        site.ask("GET", "/runs/forged", environ_overrides=headers)
        site.ask("POST", f"{A}/submission.json", data=form(job), environ_overrides=headers)
        site.ask("POST", f"{A}/submission.json", data=form(job, input_data=upload(b"x", evil)))
        site.ask("POST", f"{A}/submission.json", data=form(job, submission_name=evil))
        site.ask("POST", f"{A}/submission.json", data=form(evil))
        site.ask("POST", "/sign-in", site.app.test_client(), data={"name": evil, "password": evil})
        work_through()
        logging.getLogger("portal.attack").error("said %s", evil)

    lines = capsys.readouterr().err.split("\n")[:-1]
    assert [line for line in lines if not (line.isascii() and line.isprintable() and line.startswith("{"))] == []
    assert [told for told in map(json.loads, lines) if told["message"].startswith("forged")] == []
    assert len(lines) >= 7


@pytest.mark.attack("LG-02")
def test_a_run_leaves_no_image_of_its_memory(site: Site) -> None:
    job = site.service('test "$(ulimit -c)" = 0')
    assert site.nobody.post(f"{A}/submission.json", data=form(job)).status_code == 201

    work_through()

    with site.session() as session:
        assert session.scalars(select(Submission.state).where(Submission.job_name == job)).one() == "COMPLETE"


PATTERNS = re.compile(
    "-----BEGIN [A-Z ]*PRIVATE" + ' KEY-----[^"]|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|xox[abpr]-[0-9A-Za-z-]{20}'
    r"|glpat-[\w-]{20}|AIza[\w-]{35}|sk_live_\w{20}|eyJ[\w-]{20,}\.eyJ[\w-]{20,}\."
)


@pytest.mark.attack("SC-02")
def test_the_history_holds_no_secret() -> None:
    root = Path(__file__).parents[2]
    command = ["git", "-C", str(root), "log", "-p", "--all", "--no-color", "--", ".", ":!portal/static/vendor"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as log:
        assert log.stdout is not None
        found = [line[:80] for line in log.stdout if PATTERNS.search(line)]

    assert found == []
