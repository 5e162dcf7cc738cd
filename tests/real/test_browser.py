"""The portal in a real browser, from sign-in to download; every page's console must stay empty."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.examples.running import PENGUINS
from tests.servers import ADMIN_PASSWORD, Portal, eventually

pytestmark = pytest.mark.real

MINUTE = 60_000
SLEEPER = "import subprocess, time\nsubprocess.Popen(['sleep', '4321'], start_new_session=True)\ntime.sleep(4321)\n"


@pytest.fixture
def context(browser: Browser, portal: Portal) -> Iterator[BrowserContext]:
    made = browser.new_context(base_url=portal.url, accept_downloads=True)
    made.set_default_timeout(MINUTE / 2)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page signed in as the administrator; anything in its console fails the test."""
    complaints: list[str] = []
    opened = context.new_page()
    opened.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    sign_in(opened)
    yield opened
    assert complaints == []


def sign_in(page: Page) -> None:
    page.goto("/sign-in")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(ADMIN_PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="Backends")).to_be_visible()


def write_task(page: Page, name: str, code: str, language: str = "python", **endings: str) -> None:
    page.goto("/tasks/new")
    page.get_by_label("Name", exact=True).first.fill(name)
    page.get_by_label("Language").select_option(language)
    page.get_by_role("textbox", name="Code").fill(code)
    for label, ending in endings.items():
        page.get_by_label(label.replace("_", " ")).fill(ending)
    page.get_by_role("button", name="Save").first.click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()


def compose_job(page: Page, name: str, *tasks: str) -> None:
    page.goto("/jobs/new")
    page.get_by_label("Name", exact=True).fill(name)
    for number, task in enumerate(tasks, 1):
        if page.locator("select[name$='-task']").count() < number:
            page.get_by_role("button", name="Add step").click()
        page.locator("input[name$='-order']").nth(number - 1).fill(str(number))
        page.locator("select[name$='-task']").nth(number - 1).select_option(task)
    page.get_by_role("button", name="Save").first.click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()


def run_job(page: Page, name: str, file: Path) -> None:
    page.goto(f"/jobs/{name}/run")
    page.get_by_label("Input file").set_input_files(file)
    page.get_by_label("E-mail").fill("ann@example.org")
    page.get_by_role("button", name=f"Run {name}").click()
    expect(page).to_have_url(re.compile(r"/runs/[0-9a-f-]{36}$"))


def state(page: Page, word: str) -> None:
    expect(page.locator(".status-word")).to_contain_text(word, timeout=2 * MINUTE)


def test_the_main_job_from_sign_in_to_download(page: Page, tmp_path: Path) -> None:
    run_job(page, "penguins", PENGUINS)

    state(page, "Complete")
    expect(page.locator("svg.graph .state-complete")).to_have_count(4)
    with page.expect_download() as downloading:
        page.get_by_role("link", name=re.compile("Download.*report.txt")).click()
    downloading.value.save_as(tmp_path / "report.txt")
    assert "Chinstrap vs Gentoo" in (tmp_path / "report.txt").read_text()
    page.get_by_role("link", name=re.compile("Preview.*coefficients.csv")).click()
    expect(page.get_by_role("cell", name="flipper_length_mm")).to_be_visible()
    plot = page.locator("img[alt*='body_mass']").first
    assert plot.evaluate("image => image.naturalWidth") > 0


def test_an_analyst_writes_composes_and_runs(page: Page, tmp_path: Path) -> None:
    shout = "text = open(inputs['.txt']).read()\nprint('heard', text.strip())\n"
    shout += "open(outputs['.loud'], 'w').write(text.upper())\n"
    write_task(page, "shout", shout, Input_endings=".txt", Output_endings=".loud")
    write_task(page, "count", "wc -c < $I1", "command", Input_endings=".loud", Ending_of_standard_output=".size")
    compose_job(page, "loudly", "shout", "count")
    (tmp_path / "in.txt").write_text("hello\n")

    run_job(page, "loudly", tmp_path / "in.txt")

    state(page, "Complete")
    page.get_by_role("link", name=re.compile("Preview.*loud")).click()
    expect(page.get_by_text("HELLO", exact=True)).to_be_visible()


def test_stopping_ends_what_runs_with_its_children_and_starts_nothing_more(page: Page, tmp_path: Path) -> None:
    write_task(page, "sleeper", SLEEPER, Input_endings=".txt")
    write_task(page, "never", "echo started", "command")
    compose_job(page, "sleepy", "sleeper", "never")
    (tmp_path / "in.txt").write_text("x\n")
    run_job(page, "sleepy", tmp_path / "in.txt")
    expect(page.locator("svg.graph .state-running")).to_have_count(1)
    eventually(sleepers)

    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Stop").click()

    state(page, "Stopped")
    assert not sleepers()
    expect(page.locator("svg.graph .state-stopped")).to_have_count(2)
    expect(page.get_by_text("Running step: 2")).to_have_count(0)


def sleepers() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if words[:2] == [b"sleep", b"4321"]:
                found.append(entry.name)
    return found


def test_an_error_is_shown_with_the_analysts_own_line(page: Page, tmp_path: Path) -> None:
    write_task(page, "breaks", "first = 1\nraise ValueError('out of penguins')\n", Input_endings=".txt")
    compose_job(page, "broken", "breaks")
    (tmp_path / "in.txt").write_text("x\n")

    run_job(page, "broken", tmp_path / "in.txt")

    state(page, "Failed")
    expect(page.locator("pre.stderr")).to_contain_text('File "task.py", line 2')
    expect(page.locator("pre.stderr")).to_contain_text("out of penguins")


GATED = """import os, sys, time
print('begun', flush=True)
while not os.path.exists(os.environ['TMPDIR'] + '/go'):
    time.sleep(0.1)
{last}
"""


def let_go(page: Page, portal: Portal) -> None:
    """Of the step that runs now, once it runs; the directory of one that is over may vanish meanwhile."""
    expect(page.locator("details.log pre.stdout").last).to_contain_text("begun", timeout=MINUTE)
    for place in (portal.data / "runs").glob("*/tmp"):
        with suppress(FileNotFoundError):
            (place / "go").touch()


def test_the_log_of_what_runs_is_open_and_that_of_a_failure_opens(page: Page, portal: Portal, tmp_path: Path) -> None:
    for name, last in (("first", ""), ("second", "sys.exit(3)"), ("third", "sys.exit(4)")):
        write_task(page, f"log_{name}", GATED.format(last=last), Input_endings=".txt")
    compose_job(page, "logged", "log_first", "log_second")
    compose_job(page, "closed", "log_third")
    (tmp_path / "in.txt").write_text("x\n")
    logs = page.locator("details.log")

    run_job(page, "logged", tmp_path / "in.txt")
    expect(logs).to_have_attribute("open", "")
    let_go(page, portal)
    expect(logs).to_have_count(2, timeout=MINUTE)
    expect(logs.nth(1)).to_have_attribute("open", "")
    expect(logs.nth(0)).not_to_have_attribute("open", "")
    let_go(page, portal)
    state(page, "Failed")
    expect(logs.nth(1)).to_have_attribute("open", "")

    run_job(page, "closed", tmp_path / "in.txt")
    expect(logs).to_have_attribute("open", "")
    logs.locator("> summary").click()
    let_go(page, portal)
    state(page, "Failed")
    expect(logs).not_to_have_attribute("open", "")


def test_the_editor_shows_what_the_browser_brings_back(page: Page) -> None:
    page.goto("/tasks/clean")
    editor = page.get_by_role("textbox", name="Code")
    editor.fill("not saved yet")
    page.get_by_role("link", name="Runs").click()
    page.go_back()

    expect(editor).to_have_text("not saved yet")
    expect(page.locator("textarea[name=code]")).to_have_value("not saved yet")


def test_the_composer_says_what_the_options_of_a_validator_are(page: Page) -> None:
    page.goto("/jobs/penguins")
    page.get_by_role("button", name="Add check").click()
    page.locator("select[name='validators-1-name']").select_option("size")
    expect(page.locator("#validators-1-hint")).to_contain_text("such as 1 kB..10 MB")
    page.locator("select[name='validators-1-name']").select_option("png")
    expect(page.locator("#validators-1-hint")).to_have_text("A whole PNG image.")


def test_the_composer_offers_the_files_of_the_steps_that_are_chosen(page: Page) -> None:
    task = {"name": "draw map", "language": "command", "backend": "localhost", "code": "true"}
    file = {"alias": "table", "kind": "file"}
    signed_in = "Basic " + b64encode(f"admin:{ADMIN_PASSWORD}".encode()).decode()
    page.request.post("/api/v1/tasks", data={**task, "parameters": [file]}, headers={"Authorization": signed_in})
    compose_job(page, "maps", "draw map")
    page.goto("/jobs/new")
    expect(page.locator("#files option")).to_have_count(0)
    page.get_by_role("button", name="Add step").click()
    page.locator("select[name='steps-0-task']").select_option("job/maps")

    expect(page.locator("#files option")).to_have_attribute("value", "draw map_table")


def test_it_works_without_javascript(browser: Browser, portal: Portal) -> None:
    context = browser.new_context(base_url=portal.url, java_script_enabled=False)
    page = context.new_page()
    sign_in(page)
    run_job(page, "penguins", PENGUINS)

    def complete() -> bool:
        page.reload()
        return "Complete" in page.locator(".status-word").inner_text()

    eventually(complete)
    page.get_by_role("link", name=re.compile("Preview.*anova.csv")).click()
    expect(page.get_by_text("Adelie vs Chinstrap")).to_be_visible()
    context.close()


PAGES = ["/", "/runs", "/jobs", "/jobs/penguins", "/jobs/penguins/run", "/tasks", "/tasks/body_mass", "/backends",
         "/backends/1", "/tokens", "/account", "/accounts", "/accounts/new", "/accounts/1", "/groups", "/groups/new",
         "/secrets", "/audit", "/import", "/api/v1/docs", "/nothing-here"]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_are_accessible_and_fit(browser: Browser, portal: Portal, scheme: str, width: int) -> None:
    context = browser.new_context(
        base_url=portal.url, color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce"
    )  # type: ignore[arg-type]
    page = context.new_page()
    for address in ("/", "/sign-in", "/forgotten", "/jobs/penguins/run"):
        look_at(page, address)
    sign_in(page)
    own = [make_group(page, f"{scheme} {width}"), make_secret(page, f"{scheme}_{width}".upper())]
    run = page.request.get("/runs.json").json()["runs"][-1]["url"]
    for address in [*PAGES, *own, run]:
        look_at(page, address)
    page.locator(".menu summary").click()
    look(page, "the menu")
    context.close()


def look_at(page: Page, address: str) -> None:
    page.goto(address)
    look(page, address)


def look(page: Page, what: str) -> None:
    page.wait_for_load_state()
    found = Axe().run(page)
    assert found.violations_count == 0, f"{what}: {found.generate_report()}"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), what


def make_group(page: Page, name: str) -> str:
    """Its address; what the list says of it is looked at, too."""
    page.goto("/groups/new")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Members").fill("admin")
    page.get_by_role("button", name="Save").click()
    return made(page, name)


def make_secret(page: Page, name: str) -> str:
    page.goto("/secrets")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Value").fill("a value that nobody is shown again")
    page.get_by_role("button", name="Keep secret").click()
    return made(page, name)


def made(page: Page, name: str) -> str:
    link = page.get_by_role("link", name=name, exact=True)
    expect(link).to_be_visible()
    look(page, name)
    address = link.get_attribute("href")
    assert address
    return address
