"""What the first system's published clients do, to a running portal: another site's page, and scripts of two kinds."""

from __future__ import annotations

import html
import io
import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from tests.servers import Portal, eventually, portal_in_one

pytestmark = pytest.mark.real

A, API = "/analytics_automated", "/psipred/api"
TEXT = "one\ntwo words\n"
COUNTED = ["2", "3", "14"]

ASK_LIKE_JQUERY = """
async ({ root, text }) => {
  const ask = (method, path, body, headers = {}) => new Promise((done) => {
    const request = new XMLHttpRequest();
    request.open(method, root + path);
    request.setRequestHeader("Accept", "application/json, text/javascript, */*; q=0.01");
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.onload = () => done({ status: request.status, text: request.responseText });
    request.onerror = () => done({ status: 0, text: "" });
    request.send(body);
  });
  const form = new FormData();
  form.append("job", "word_count");
  form.append("submission_name", "by a page");
  form.append("email", "ann@example.org");
  form.append("input_data", new Blob([text]), "in.txt");
  const given = await ask("POST", "/submission.json", form);
  const again = await ask("POST", "/submission/", form, { "Idempotency-Key": "page-" + Date.now() });
  const refused = await ask("POST", "/submission.json", new FormData());
  const { UUID } = JSON.parse(given.text);
  let batch;
  do {
    await new Promise((go) => setTimeout(go, 200));
    batch = JSON.parse((await ask("GET", "/submission/" + UUID)).text);
  } while (!["Complete", "Error", "Crash"].includes(batch.state));
  const file = await ask("GET", batch.submissions[0].results[0].data_path);
  return { given, again, refused, batch, file };
}
"""


class Blank(BaseHTTPRequestHandler):
    """A page of a site that has nothing but its origin."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!DOCTYPE html><title>Another site</title>")

    def log_message(self, format: str, *words: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Another site's origin."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Blank)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def portal(site: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    settings = {"PORTAL_CORS_ORIGINS": site, "PORTAL_REST_ROOTS": f"{A},{API}"}
    with portal_in_one(tmp_path_factory.mktemp("clients"), settings) as running:
        yield running


@pytest.mark.parametrize("root", [A, API])
def test_a_page_of_another_site_posts_a_form_polls_and_fetches(
    browser: Browser, portal: Portal, site: str, root: str
) -> None:
    page = browser.new_page()
    page.goto(site)
    said = page.evaluate(ASK_LIKE_JQUERY, {"root": portal.url + root, "text": TEXT})
    page.close()

    assert said["given"]["status"] == 201
    assert list(json.loads(said["given"]["text"])) == ["UUID", "submission_name"]
    assert said["again"]["status"] == 201
    assert (said["refused"]["status"], json.loads(said["refused"]["text"])) == (
        400,
        {"error": "Input does not contain all required fields"},
    )
    [submission] = said["batch"]["submissions"]
    assert said["batch"]["state"] == "Complete"
    assert "Completed job at step" in submission["last_message"]
    assert said["file"]["text"].split()[:3] == COUNTED


@dataclass(frozen=True)
class Answer:
    status: int
    kind: str
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(url: str, **fields: Any) -> Answer:
    """As urllib does: no Accept header at all; with fields it posts a form."""
    boundary, body = encode_multipart(fields) if fields else ("", None)
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"} if fields else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as answer:
            return Answer(answer.status, answer.headers["Content-Type"], answer.read())
    except urllib.error.HTTPError as refusal:
        with refusal:
            return Answer(refusal.code, refusal.headers["Content-Type"], refusal.read())


def form(name: str) -> dict[str, Any]:
    """The fields that every client sends, with a file."""
    file = FileStorage(io.BytesIO(TEXT.encode()), "my input.txt")
    return {"job": "word_count", "submission_name": name, "email": "ann@example.org", "input_data": file}


@pytest.mark.parametrize("path", ["submission.json", "submission/.json"])
def test_a_script_posts_polls_and_fetches_below_the_server_and_below_the_api(portal: Portal, path: str) -> None:
    given = ask(f"{portal.url}{A}/{path}", **form("by a script"))
    assert given.status == 201 and given.json["submission_name"] == "by a script"

    address = f"{portal.url}{A}/submission/{given.json['UUID']}.json"
    batch = eventually(lambda: told if (told := ask(address).json)["state"] in ("Complete", "Error") else None)
    assert isinstance(batch, dict)

    [submission] = batch["submissions"]
    for result in submission["results"]:
        for below in (portal.url, portal.url + A, portal.url + API):
            assert ask(below + result["data_path"]).text.split()[:3] == COUNTED
            assert ask(below + submission["input_file"]).text == TEXT


def test_a_script_waits_for_a_file_by_its_name_alone(portal: Portal) -> None:
    batch = ask(f"{portal.url}{A}/submission.json", **form("by its name")).json["UUID"]
    [submission] = ask(f"{portal.url}{A}/submission/{batch}.json").json["submissions"]
    address = f"{portal.url}/submissions/{submission['UUID']}.count"

    found = eventually(lambda: answer if (answer := ask(address)).status == 200 else None)

    assert isinstance(found, Answer) and found.text.split()[:3] == COUNTED
    assert ask(f"{portal.url}/submissions/{submission['UUID']}.nothing").status == 404


def test_a_script_that_reads_the_pages_finds_its_uuid_and_the_state(portal: Portal) -> None:
    given = ask(f"{portal.url}{A}/submission/", **form("by its pages"))
    assert (given.status, given.kind) == (201, "text/html; charset=utf-8")
    before, _, rest = given.text.partition("<pre>")
    assert "UUID" not in before and "by its pages" not in before
    found = re.search(r"&quot;UUID&quot;: &quot;([0-9a-f-]{36})&quot;", rest)
    assert found

    def shown() -> dict[str, Any]:
        page = ask(f"{portal.url}{A}/submission/{found[1]}").text
        told: dict[str, Any] = json.loads(html.unescape(page.partition("<pre>")[2].partition("</pre>")[0]))
        return told

    batch = eventually(lambda: told if (told := shown())["state"] == "Complete" else None)
    assert isinstance(batch, dict) and batch["UUID"] == found[1]
