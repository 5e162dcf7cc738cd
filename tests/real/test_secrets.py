"""A secret from the page where it is kept to the program that has it, through real servers and workers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.real.rest import Client
from tests.servers import ADMIN_PASSWORD, Portal, flask

pytestmark = pytest.mark.real

VALUE = "a value for a program"
CODE = 'test "$API_KEY" = "a value for a program" && echo "it has $API_KEY" && echo right > $O1'
TASK = {"name": "fetch", "language": "command", "backend": "localhost", "code": CODE, "outputs": [".txt"]}


@pytest.fixture
def page(browser: Browser, portal: Portal) -> Page:
    opened = browser.new_page(base_url=portal.url)
    opened.goto("/sign-in")
    opened.get_by_label("Name", exact=True).fill("admin")
    opened.get_by_label("Password").fill(ADMIN_PASSWORD)
    opened.get_by_role("button", name="Sign in").click()
    return opened


def sent(rest: Client, path: str, what: object) -> None:
    words = ("-u", f"admin:{ADMIN_PASSWORD}", "-H", "Content-Type: application/json", "-d", json.dumps(what))
    rest.curl("-f", *words, f"{rest.url}/api/v1/{path}")


def test_a_program_has_the_secret_that_its_task_names(page: Page, rest: Client, portal: Portal, tmp_path: Path) -> None:
    page.goto("/secrets")
    page.get_by_label("Name", exact=True).fill("weather")
    page.get_by_label("Value").fill(VALUE)
    page.get_by_role("button", name="Keep secret").click()
    page.get_by_text("The secret weather is kept").wait_for()
    sent(rest, "tasks", {**TASK, "secrets": [["API_KEY", "weather"]]})
    sent(rest, "jobs", {"name": "fetching", "public": True, "steps": [{"order": 1, "task": "fetch"}]})
    (tmp_path / "in.txt").write_text("x")
    form = {"job": "fetching", "submission_name": "secret", "email": "ann@example.org"}

    [done] = rest.ended(rest.post(tmp_path / "in.txt", **form)["UUID"])["submissions"]

    assert done["state"] == "Complete"
    page.goto(f"/runs/{done['UUID']}")
    assert "it has ***" in page.content() and VALUE not in page.content() and VALUE not in portal.log.read_text()
    assert re.search(r"encrypts now: [1-9]", flask("secrets", "rotate", extra=portal.settings))
    page.goto("/tasks/fetch")
    assert page.get_by_label("Or a secret").first.input_value() == "weather"
