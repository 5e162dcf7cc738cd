"""The portal's edge: names it does not go by, requests that are none, and what its answers tell or allow."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import create_app
from portal import journal
from portal.models import Account, Batch, Submission
from portal.services import letters, submissions
from portal.settings import Settings, settings
from tests.attacks import raw
from tests.attacks.raw import FIELDS, MULTIPART, SUBMIT, form, part
from tests.conftest import PASSWORD
from tests.making import make_job, make_task
from tests.servers import Portal, eventually

OURS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
POLICY = re.compile(
    r"default-src 'none'; script-src 'self'; style-src 'self' 'nonce-[\w-]{22}'; img-src 'self' data:; "
    r"connect-src 'self'; font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
PARTS = {"name": "word_count", "uuid": "x", "run": "x", "run_uuid": "x", "stream": "stdout", "filename": "portal.css"}
SECRET_PAGES = ("/runs", "/batches", "/submissions", "/analytics_automated", "/api/v1")


@pytest.fixture
def job(session: Session) -> None:
    make_task(session, "count", "command", "wc -w $I1", inputs=(".txt",), stdout=".count")
    make_job(session, "word_count", [(1, "count")])


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with raw.web_server(tmp_path_factory.mktemp("edges") / "var", {"PORTAL_LOG_LEVEL": "info"}) as running:
        yield running


def addresses(app: Flask) -> Iterator[tuple[str, str]]:
    """Each route once a method, with parts filled in."""
    adapter = app.url_map.bind("localhost")
    for rule in app.url_map.iter_rules():
        parts = {name: PARTS.get(name, 1) for name in rule.arguments}
        for method in sorted(rule.methods or ()):
            yield (
                method,
                adapter.build(rule.endpoint, parts, method) if rule.endpoint != "static" else "/static/portal.css",
            )


# Headers


@pytest.mark.attack("HD-01")
@pytest.mark.parametrize("signed", [False, True])
def test_every_route_s_answer_bears_the_headers(
    app: Flask, client: FlaskClient, admin: Account, job: object, signed: bool
) -> None:
    if signed:
        client.post("/sign-in", data={"name": "admin", "password": PASSWORD})
    for method, path in addresses(app):
        if path != "/sign-out":
            answer = client.open(path, method=method, base_url="https://localhost")
            assert faults(path, answer) == [], (method, path)


def faults(path: str, answer: Any) -> list[str]:
    headers = answer.headers
    found = [name for name, value in OURS.items() if headers.get(name) != value]
    if not POLICY.fullmatch(headers.get("Content-Security-Policy", "")):
        found.append(headers.get("Content-Security-Policy", "no policy"))
    private = path.startswith(SECRET_PAGES) and answer.status_code < 300 and not path.startswith("/runs.")
    if headers.get("Referrer-Policy") not in (["no-referrer"] if private else ["no-referrer", "same-origin"]):
        found.append("Referrer-Policy")
    if headers.get("Strict-Transport-Security") != "max-age=31536000":
        found.append("Strict-Transport-Security")
    if not path.startswith("/static") and not {"private", "no-store"} & set(headers["Cache-Control"].split(", ")):
        found.append("Cache-Control")
    for cookie in headers.getlist("Set-Cookie"):
        found += [word for word in ("Secure", "HttpOnly", "SameSite=Lax") if word not in cookie]
    return found


@pytest.mark.attack("HD-01")
def test_no_page_holds_what_its_policy_forbids(app: Flask, signed_in: FlaskClient, job: object) -> None:
    for method, path in addresses(app):
        answer = signed_in.get(path) if method == "GET" else None
        if answer and answer.mimetype == "text/html":
            for tag in re.findall(r"<[a-z][^>]*>", answer.text):
                assert not re.search(r"\son[a-z]+\s*=|javascript:|\sstyle\s*=", tag), (path, tag)
            assert not re.findall(r"<script(?![^>]*\bsrc=)[^>]*>(?!\s*</script>)", answer.text), path


@pytest.mark.attack("HD-01")
@pytest.mark.parametrize(
    ("settings_given", "base", "headers", "secure"),
    [
        ({}, "http://localhost", {}, False),
        ({"portal_url": "https://localhost"}, "http://localhost", {}, True),
        ({"portal_trusted_proxies": "127.0.0.1"}, "http://localhost", {"X-Forwarded-Proto": "https"}, True),
        ({}, "http://localhost", {"X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "on"}, False),
        ({}, "https://localhost", {}, True),
    ],
)
def test_behind_tls_cookies_stay_behind_it(
    data: Path, admin: Account, settings_given: dict[str, str], base: str, headers: dict[str, str], secure: bool
) -> None:
    client = create_app(Settings(**settings_given)).test_client()

    answer = client.get("/sign-in", base_url=base, headers=headers | {"X-Forwarded-For": "192.0.2.1"})

    assert all(("Secure" in cookie) is secure for cookie in answer.headers.getlist("Set-Cookie"))
    assert answer.headers.getlist("Set-Cookie")
    assert ("Strict-Transport-Security" in answer.headers) is (secure and "url" not in "".join(settings_given))


@pytest.mark.attack("HD-02")
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://friend.example.evil", "https://evilfriend.example",
    "http://friend.example",
               "https://friend.example:444", "https://sub.friend.example", "https://friend.example@evil.example"]
)  # fmt: skip
@pytest.mark.parametrize(
    "path", ["/analytics_automated/endpoints.json", "/api/v1/jobs", "/", "/submissions/x", "/healthz"]
)
def test_another_site_reads_nothing(data: Path, origin: str, path: str) -> None:
    client = create_app(Settings(portal_cors_origins="https://friend.example")).test_client()

    for method in ("GET", "OPTIONS"):
        answer = client.open(path, method=method, headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.attack("HD-02")
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(
    "path", ["/sign-in", "/sign-out", "/jobs/word_count/run", "/jobs/word_count/delete", "/tokens"]
)
def test_another_site_sends_no_form(signed_in: FlaskClient, job: object, path: str, site: str) -> None:
    answer = signed_in.post(path, headers={"Sec-Fetch-Site": site, "Origin": "https://evil.example"})

    assert answer.status_code == 403
    assert signed_in.get("/runs").status_code == 200


@pytest.mark.attack("HD-03")
@pytest.mark.parametrize(
    "path",
    ["/.git/config", "/.git/HEAD", "/.env", "/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py",
     "/static/../../var/secret_key", "/static//etc/passwd", "/static/%2fetc%2fpasswd", "/static/", "/static",
     "/static/vendor/",
     "/static/..%5capp.py", "/console", "/docs", "/debug", "/admin", "/server-status", "/metrics", "/flower",
     "/app.py", "/portal.db",
     "/var/portal.db", "/requirements.txt", "/wp-login.php", "/actuator/env",
     "/?__debugger__=yes&cmd=resource&f=debugger.js"],
)  # fmt: skip
def test_there_is_nothing_where_people_look(web: Portal, path: str) -> None:
    answers = raw.talk(web, raw.request(path=path))

    found = [404] if "?" not in path else [200]
    assert raw.statuses(answers) in (found, [308], [400])
    for word in (b"create_app", b"root:", b"SECRET", b"debugger.js", b"Index of", b"[core]"):
        assert word not in answers


@pytest.mark.attack("HD-03")
@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT", "PROPFIND", "DEBUG", "get", "X" * 30])
@pytest.mark.parametrize("path", ["/", SUBMIT, "/api/v1/jobs", "/static/portal.css", "/nothing"])
def test_odd_methods_are_refused(web: Portal, method: str, path: str) -> None:
    answers = raw.talk(web, raw.request(method, path, Cookie="session=secret-cookie"))

    assert raw.statuses(answers)[0] in (400, 404, 405)
    assert b"secret-cookie" not in answers


@pytest.mark.attack("HD-04")
def test_its_health_is_one_word(client: FlaskClient, data: Path) -> None:
    other = create_app().test_client()
    up = client.get("/healthz", headers={"Host": "10.1.2.3"})
    (data / "portal.db").rename(data / "elsewhere.db")
    (data / "portal.db").mkdir()
    down = other.get("/healthz")

    assert ((up.status_code, up.text), (down.status_code, down.text)) == ((200, "up\n"), (503, "down\n"))
    assert {"Server", "Set-Cookie", "X-Powered-By"}.isdisjoint(up.headers.keys())


@pytest.mark.attack("HD-04")
def test_the_server_names_no_version(web: Portal) -> None:
    for sent in (raw.request(path="/healthz"), raw.request(), b"nonsense\r\n\r\n"):
        answers = raw.talk(web, sent)
        assert answers and not re.search(
            rb"gunicorn/|werkzeug|flask|python|[0-9]+\.[0-9]+\.[0-9]+", answers.partition(b"\r\n\r\n")[0], re.IGNORECASE
        )


# Requests that are none


@pytest.mark.attack("IN-04")
@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (raw.request(path="/" + "a" * 65_536), {414}),
        (raw.request(path="/runs?" + "a=b&" * 16_384), {414}),
        (raw.request(X_Long="a" * 65_536), {431}),
        (raw.request(Cookie="; ".join(f"c{number}=x" for number in range(10_000))), {431}),
        (raw.request(**{f"X_{number}": "x" for number in range(500)}), {431}),
        (raw.request(User_Agent="a" * 2_000_000), {400, 414, 431}),
        (raw.request("A" * 100_000), {400, 414}),
    ],
)  # fmt: skip
def test_a_head_beyond_all_measure_is_refused(web: Portal, sent: bytes, expected: set[int]) -> None:
    found = set(raw.statuses(raw.talk(web, sent)))

    assert found <= expected
    assert raw.statuses(raw.talk(web, raw.request())) == [200]


@pytest.mark.attack("IN-04")
def test_many_cookies_are_read_or_refused(client: FlaskClient) -> None:
    crumbs = "; ".join(f"c{number}=x" for number in range(10_000))

    assert client.get("/", headers={"Cookie": crumbs}).status_code == 200


@pytest.mark.attack("IN-04")
@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "_method"])
def test_no_header_makes_another_method_of_a_request(signed_in: FlaskClient, job: object, name: str) -> None:
    for method in ("DELETE", "PUT", "PATCH"):
        signed_in.get("/api/v1/jobs/word_count", headers={name: method})
        signed_in.get(f"/api/v1/jobs/word_count?{name}={method}")
        signed_in.post("/jobs/word_count/run", headers={name: method}, data={name: method})

    assert signed_in.get("/api/v1/jobs/word_count").status_code == 200


@pytest.mark.attack("IN-07")
@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "evil.example:80", "localhost@evil.example", "127.0.0.1.evil.example",
     "localhost, evil.example", "localhost evil.example", "localhost/evil", "localhost#", "localhost?", "",
     "*", ".", "10.0.0.1",
     "[::2]", "[::1", "localhost:99999999", "localhost:80:80", "localhost\x00", "localhost\tx", "\x01",
     "l\xf6calhost", "2130706433"],
)  # fmt: skip
def test_it_answers_to_its_own_names_only(web: Portal, host: str) -> None:
    answers = raw.talk(web, raw.request(Host=host))

    assert raw.statuses(answers)[0] == 400
    assert b"evil" not in answers.partition(b"\r\n\r\n")[0]


@pytest.mark.attack("IN-07")
@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]", "[::1]:8000"])
def test_it_answers_to_its_own_names(web: Portal, host: str) -> None:
    assert raw.statuses(raw.talk(web, raw.request(Host=host))) == [200]


@pytest.mark.attack("IN-07")
@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A\x00: b\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET /\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\nHost: localhost\n\n\r\n\r\n",
        b"\r\n" * 1000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_request_of_ours_is_refused(web: Portal, sent: bytes) -> None:
    assert set(raw.statuses(raw.talk(web, sent))) <= {400, 403, 505}


HEAD = f"POST {SUBMIT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {raw.URLENCODED}\r\n"
HIDDEN = "GET /tokens HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.attack("IN-07")
@pytest.mark.parametrize(
    "sent",
    [
        f"{HEAD}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}",
        f"{HEAD}Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n{HIDDEN}",
        f"{HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{HIDDEN}",
        f"{HEAD}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{HIDDEN}",
        f"{HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n{HIDDEN}",
        f"{HEAD}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{HIDDEN}",
        f"{HEAD}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n{HIDDEN}",
        f"{HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n{HIDDEN}",
        f"{HEAD}Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n{HIDDEN}",
        f"{HEAD}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff0\r\nx\r\n0\r\n\r\n{HIDDEN}",
        f"{HEAD}Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n{HIDDEN}",
        f"{HEAD}Transfer-Encoding: chunked\r\n\r\n1{';x' * 10_000}\r\na\r\n0\r\n\r\n{HIDDEN}",
    ],
)
def test_no_request_hides_in_another(web: Portal, sent: str) -> None:
    found = raw.statuses(raw.talk(web, sent.encode("latin-1")))

    assert len(found) <= 1 and set(found) <= {400, 408, 415, 501}


@pytest.mark.attack("IN-07")
@pytest.mark.parametrize(
    "lies",
    [{"X_Forwarded_Proto": "https"}, {"X_Forwarded_Host": "evil.example"}, {"X_Forwarded_Prefix": "/evil"},
     {"X_Forwarded_Ssl": "on"}, {"X_Forwarded_Protocol": "ssl"}, {"Forwarded": "host=evil.example;proto=https"},
     {"X_Original_URL": "/tokens"}, {"X_Rewrite_URL": "/tokens"}, {"X_Forwarded_For": "127.0.0.1, evil.example"}],
)  # fmt: skip
def test_nobody_but_a_trusted_proxy_says_where_the_portal_is(web: Portal, lies: dict[str, str]) -> None:
    answers = raw.talk(web, raw.request(path="/sign-in", **lies))

    assert raw.statuses(answers) == [200]
    assert (
        b"evil" not in answers
        and b"Strict-Transport-Security" not in answers
        and b"https://" not in answers.partition(b"\r\n\r\n")[0]
    )


@pytest.mark.attack("IN-07")
@pytest.mark.parametrize(
    "name", ["SCRIPT_NAME", "PATH_INFO", "REMOTE_USER", "Content_Length", "X_Forwarded_Host", "wsgi.url_scheme"]
)
def test_a_header_is_no_variable_of_the_server(web: Portal, name: str) -> None:
    head = f"GET /sign-in HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{name}: /evil\r\n\r\n"

    answers = raw.talk(web, head.encode())

    assert raw.statuses(answers)[0] in (200, 400) and b"/evil/" not in answers


@pytest.mark.attack("IN-07")
def test_a_trusted_proxy_may_name_no_other_host_either(data: Path) -> None:
    client = create_app(Settings(portal_trusted_proxies="127.0.0.1")).test_client()

    assert (
        client.get("/", headers={"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Host": "evil.example"}).status_code == 400
    )


@pytest.mark.attack("IN-07")
@pytest.mark.parametrize(
    ("allowed", "host", "status"),
    [
        ("portal.example.org", "portal.example.org", 200),
        ("portal.example.org", "PORTAL.example.org:8443", 200),
        ("portal.example.org", "localhost", 400),
        (".example.org", "a.b.example.org", 200),
        (".example.org", "evilexample.org", 400),
        ("a.example, b.example", "b.example", 200),
        ("*", "evil.example", 200),
        ("*", "a b", 400),
    ],
)
def test_its_names_are_the_settings_to_say(data: Path, allowed: str, host: str, status: int) -> None:
    client = create_app(Settings(portal_allowed_hosts=allowed)).test_client()

    assert client.get("/sign-in", headers={"Host": host}).status_code == status


@pytest.mark.attack("IN-07")
def test_a_letter_names_the_portal_as_the_settings_do(
    client: FlaskClient, session: Session, job: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_URL", "https://portal.example.org")
    settings.cache_clear()
    body = form(part("input_data", b"x\n", b"a.txt"))
    assert client.post(SUBMIT, data=body, content_type=MULTIPART, headers={"Host": "localhost:1"}).status_code == 201
    [batch] = session.scalars(select(Batch)).all()

    assert "https://portal.example.org/" in told(session, batch) and "localhost" not in told(session, batch)


def told(session: Session, batch: Batch) -> str:
    """The letter of the batch, as if it had ended."""
    return letters._text(session, batch)


# Errors and the log


BROKEN = {"contract": SUBMIT, "v1": "/api/v1/submissions", "page": "/jobs/word_count/run"}
SECRET = "postgresql://portal:hunter2@db/portal"


@pytest.mark.attack("LG-03")
@pytest.mark.parametrize("mouth", BROKEN)
def test_a_fault_tells_its_id_and_nothing_else(
    client: FlaskClient, job: object, mouth: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(submissions, "accept", fail)
    name = "name" if mouth == "v1" else "submission_name"
    fields = {"job": "word_count", name: "a run", "email": "ann@example.org"}
    answer = client.post(
        BROKEN[mouth], data=form(part("input_data", b"x", b"a.txt"), fields=fields), content_type=MULTIPART
    )

    assert answer.status_code == 500
    identity = answer.headers["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{16}", identity) and identity in answer.text
    for word in (
        "Traceback",
        "RuntimeError",
        "hunter2",
        "portal/services",
        "submissions.py",
        "werkzeug",
        "__debugger__",
    ):
        assert word not in answer.text + str(answer.headers)
    assert any("hunter2" in str(record.exc_info) for record in caplog.records if record.exc_info)


@pytest.mark.attack("LG-03")
def test_every_answer_has_an_id_of_its_own(client: FlaskClient) -> None:
    paths = (
        "/",
        "/nothing",
        "/static/portal.css",
        "/api/v1/nothing",
        "/analytics_automated/nothing",
        "/runs",
        "/healthz",
    )
    found = [client.get(path, headers={"X-Request-ID": "mine"}).headers["X-Request-ID"] for path in paths]

    assert len(set(found)) == len(paths) and "mine" not in found


@pytest.mark.attack("LG-03")
@pytest.mark.parametrize("path", ["/runs?state=x%00", "/api/v1/jobs?limit=x", "/sign-in"])
def test_a_refusal_shows_the_id(client: FlaskClient, path: str) -> None:
    answer = client.post(path, data=b"x" * 5_000_000, content_type="application/x-www-form-urlencoded")

    assert answer.status_code >= 400
    assert answer.headers["X-Request-ID"] in answer.text


@pytest.mark.attack("LG-01")
@pytest.mark.parametrize(
    "evil", ["a\r\nb", "a\nb", "\x1b[2J\x1b[1;1H", "\x1b]8;;javascript:alert(1)\x07", "\u2028\u2029\x85",
    "x" * 1_000_000, "\u202e", "\0", "%s%n{0}"]
)  # fmt: skip
def test_a_line_of_the_log_stays_one(app: Flask, evil: str) -> None:
    record = logging.LogRecord("portal", logging.ERROR, "f.py", 1, "said %s", (evil,), None)
    with app.test_request_context("/", headers={"User-Agent": "x"}):
        line = journal.Lines().format(record)

    assert line.isascii() and line.isprintable() and len(line.splitlines()) == 1
    assert json.loads(line)["message"] == f"said {evil}"


@pytest.mark.attack("LG-01")
@pytest.mark.parametrize(
    "evil", ["%0a%0dINJECTED", "%1b[2JINJECTED", "%E2%80%A8INJECTED", "%ff%feINJECTED", "%00INJECTED"]
)
def test_no_client_writes_a_line_of_its_own(web: Portal, evil: str) -> None:
    sent = raw.request(path=f"/runs/{evil}?{evil}", User_Agent="\x1b[31mINJECTED\t\xff")
    assert raw.statuses(raw.talk(web, sent))[0] in (400, 404)

    eventually(lambda: "INJECTED" in web.log.read_text() or True)
    for line in web.log.read_bytes().splitlines():
        if b"INJECTED" in line:
            assert line.isascii() and b"\x1b" not in line and (line.startswith(b"{") or b"Invalid request" in line)


@pytest.mark.attack("LG-01")
def test_a_file_s_name_and_a_run_s_name_split_no_line(
    client: FlaskClient,
    session: Session,
    job: object,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fields = FIELDS | {"submission_name": "a\r\nINJECTED"}
    client.post(SUBMIT, data=form(part("input_data", b"x", b"a\r\nINJECTED"), fields=fields), content_type=MULTIPART)

    assert not [line for line in capsys.readouterr().err.splitlines() if line.startswith("INJECTED")]
    assert len(session.scalars(select(Submission)).all()) <= 1
