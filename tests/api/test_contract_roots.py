"""The first system's routes under the roots of the settings, and the whole portal below a path of its proxy's."""

from __future__ import annotations

from collections import deque
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from app import create_app
from portal.domain.drafts import ParameterDraft
from portal.services.configuration import Loaded
from portal.settings import WrongSetting, settings
from tests.api.service import A, MakeJob, Send, finish_step
from tests.conftest import PASSWORD
from tests.making import submitted

ROOTS = (A, "/psipred/api")
PREFIX = "/portal"


@pytest.fixture
def data(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PORTAL_REST_ROOTS", f"{A}, /psipred/api/,")
    monkeypatch.setenv("PORTAL_TRUSTED_PROXIES", "1")
    settings.cache_clear()
    return data


@pytest.fixture
def below(client: FlaskClient) -> FlaskClient:
    """A client whose requests a trusted proxy hands on from below a path, which it has taken off."""
    client.environ_base["HTTP_X_FORWARDED_PREFIX"] = PREFIX
    return client


@pytest.mark.parametrize("root", ROOTS)
def test_every_route_is_under_every_root(
    client: FlaskClient, send: Send, make_job: MakeJob, session: Session, root: str
) -> None:
    make_job("count_lines")
    batch = send(f"{root}/submission.json").get_json()["UUID"]
    finish_step(session, b"3\n")
    [one] = client.get(f"{root}/submission/{batch}.json").get_json()["submissions"]
    assert client.get(f"{root}/submission/single/{one['UUID']}.json").get_json() == one
    assert client.get(f"{root}{one['results'][0]['data_path']}").data == b"3\n"
    assert client.get(f"{root}/job/count_lines.json").status_code == 200
    assert client.get(f"{root}/endpoints.json").get_json()["jobs"]
    assert list(client.get(f"{root}/jobtimes.json").get_json()) == ["count_lines"]
    assert client.put(f"{root}/job/").status_code == 405


@pytest.mark.parametrize("prefix", ["", PREFIX])
@pytest.mark.parametrize("root", ROOTS)
def test_its_links_and_words_name_the_root_that_was_asked(
    client: FlaskClient, send: Send, make_job: MakeJob, two_parameters: tuple[ParameterDraft, ...],
    root: str, prefix: str,
) -> None:  # fmt: skip
    if prefix:
        client.environ_base["HTTP_X_FORWARDED_PREFIX"] = prefix
    for number in range(11):
        make_job(f"job{number}")
    make_job("count_lines", parameters=two_parameters)
    here = prefix + root
    assert client.get(f"{root}/job?format=json").headers["Location"] == f"{here}/job/?format=json"
    following = client.get(f"{root}/job/?format=json").get_json()["next"]
    assert following == f"http://localhost{here}/job/?format=json&page=2"
    missing = send(f"{root}/submission.json").get_json()["error"]
    assert f"GET {here}/endpoints to discover" in missing


@pytest.mark.parametrize("roots", ["/", "analytics", "/a b", "", "/a//b", "/..", "/ü"])
def test_it_refuses_a_root_that_is_no_path(data: Path, monkeypatch: pytest.MonkeyPatch, roots: str) -> None:
    monkeypatch.setenv("PORTAL_REST_ROOTS", roots)
    settings.cache_clear()
    with pytest.raises(WrongSetting, match="PORTAL_REST_ROOTS"):
        settings()


@pytest.mark.parametrize("root", ["/jobs", "/static", "/api", "/api/v1"])
def test_it_refuses_a_root_that_is_the_portals_own(data: Path, monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    monkeypatch.setenv("PORTAL_REST_ROOTS", root)
    settings.cache_clear()
    with pytest.raises(WrongSetting, match=f"{root} is the portal's own"):
        create_app()


class Links(HTMLParser):
    """Where a page leads, and what it loads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src", "action", "formaction", "hx-get", "hx-post", "hx-delete") and value:
                self.found.append((name, value))


def test_every_page_below_a_path_leads_to_pages_below_it_only(
    below: FlaskClient, signed_in: FlaskClient, session: Session, examples: Loaded
) -> None:
    submitted(session, "word_count")
    seen, waiting = set[str](), deque([f"{PREFIX}/"])
    while waiting:
        address = urlsplit(waiting.popleft())
        answer = below.get(address.path.removeprefix(PREFIX), query_string=address.query)
        assert answer.status_code in (200, 302, 303), address
        links = Links(answer.text).found if answer.mimetype == "text/html" else []
        if answer.status_code != 200:
            links = [("href", answer.headers["Location"])]
        for name, link in links:
            if not link.startswith("/"):
                assert urlsplit(link).scheme or link.startswith(("#", "?")), link
                continue
            assert link.startswith(f"{PREFIX}/"), (address.path, name, link)
            plain = link.partition("#")[0]
            if name in ("href", "src", "hx-get") and plain not in seen:
                seen.add(plain)
                waiting.append(plain)
    assert len(seen) > 20


def test_who_signs_in_below_a_path_comes_back_to_what_was_asked(
    below: FlaskClient, admin: object, session: Session
) -> None:
    asked = below.get("/runs?state=ERROR")
    assert asked.headers["Location"].startswith(f"{PREFIX}/sign-in?next={PREFIX}/runs")
    query = urlsplit(asked.headers["Location"]).query
    answer = below.post(f"/sign-in?{query}", data={"name": "admin", "password": PASSWORD})
    assert answer.headers["Location"] == f"{PREFIX}/runs?state=ERROR"


def test_a_proxy_that_is_not_trusted_moves_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_TRUSTED_PROXIES", "0")
    settings.cache_clear()
    answer = create_app().test_client().get("/runs", headers={"X-Forwarded-Prefix": "/elsewhere"})
    assert answer.headers["Location"].startswith("/sign-in")


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("path", ["/nothing", "/submission/a/b/c", "/job/a/b.json"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_address_is_not_found_in_json(client: FlaskClient, root: str, path: str, method: str) -> None:
    answer = client.open(root + path, method=method, headers={"Accept": "application/json"})

    assert (answer.status_code, answer.mimetype) == (404, "application/json")
    assert answer.data == b'{"detail":"Not found."}'
    assert "Accept" in answer.headers["Vary"]


def test_an_unknown_address_is_answered_in_the_form_that_was_asked_for(client: FlaskClient) -> None:
    page = client.get(f"{A}/nothing")

    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert "&quot;detail&quot;: &quot;Not found.&quot;" in page.text
    assert client.get(f"{A}/nothing.json").get_json() == {"detail": "Not found."}
    assert client.get(f"{A}/nothing", headers={"Accept": "application/xml"}).status_code == 406
    assert client.get("/nothing", headers={"Accept": "application/json"}).mimetype == "text/html"
