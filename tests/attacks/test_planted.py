"""Secrets planted in a real portal of many processes, and sought wherever words of it come out or lie."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet

from tests import servers
from tests.servers import Portal, eventually

A = "/analytics_automated"
CODE = """
touch begun; until [ -e go ]; do sleep 0.1; done
env; tr '\\0' '\\n' < /proc/self/environ; ps -ewwo args; ps eww; ls -la . ..; cat ../../launch.json
echo "$API_KEY" >&2; test -n "$API_KEY"
"""
TASK = {"name": "telling", "language": "command", "backend": "localhost", "code": CODE, "secrets": [["API_KEY", "key"]]}
JOB = {"name": "telling", "public": True, "steps": [{"order": 1, "task": "telling"}]}
PAGES = [
    "/", "/tasks", "/tasks/telling", "/jobs/telling", "/runs", "/backends", "/secrets", "/secrets/key", "/tokens",
    "/audit", "/audit.csv", "/account", "/people", "/nowhere", "/runs/x", "/api/v1/tasks/telling", "/api/v1/tokens",
    "/api/v1/nowhere", f"{A}/endpoints/", f"{A}/submission/x",
]  # fmt: skip


def planted() -> str:
    return uuid4().hex + uuid4().hex


class Visitor:
    """A browser of few talents; it notes all that it was told."""

    def __init__(self, url: str) -> None:
        self.url, self.cookies, self.told = url, CookieJar(), ""
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> str:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            answer = self._opener.open(urllib.request.Request(self.url + path, body, named), timeout=60)
        except urllib.error.HTTPError as refusal:
            answer = refusal
        with answer:
            words = str(answer.read().decode(errors="replace"))
        self.told += f"{answer.headers}\n{words}\n"
        return words

    def fill_in(self, path: str, **fields: str) -> str:
        """Send a page's form."""
        [token, *_] = re.findall(r'name="csrf_token"[^>]* value="([^"]+)"', self.ask(path))
        return self.ask(path, urlencode({"csrf_token": token, **fields}).encode(), Referer=self.url + path)

    def send(self, path: str, what: Any, authorization: str) -> Any:
        kind = {"Content_Type": "application/json", "Authorization": authorization}
        return json.loads(self.ask(f"/api/v1/{path}", json.dumps(what).encode(), **kind))


@dataclass
class House:
    """The portal, what is planted in it, and a run of it that waits to be let go."""

    portal: Portal
    cluster: str
    database: str
    settings: dict[str, str]
    visitor: Visitor
    secret: str
    token: str = ""
    run: str = ""

    @property
    def everything(self) -> dict[str, str]:
        session = next((each.value for each in self.visitor.cookies), None) or ""
        return {**self.settings, "a task's secret": self.secret, "a token": self.token, "a session": session}

    def found_in(self, words: str | bytes, but: str = "") -> list[str]:
        """Which of them stand there, by name."""
        text = words if isinstance(words, bytes) else words.encode()
        return [name for name, value in self.everything.items() if name != but and value.encode() in text]

    def furnish(self) -> None:
        """What people would do: sign in, keep a secret, write a task of it, make a token, mistype a password."""
        password = self.settings["PORTAL_ADMIN_PASSWORD"]
        self.visitor.fill_in("/sign-in", name="nobody", password=password)
        self.visitor.fill_in("/sign-in", name="admin", password=password)
        self.visitor.fill_in("/secrets", name="key", value=self.secret)
        self.visitor.fill_in("/secrets", name="no name\0", value=self.secret)
        basic = f"Basic {base64.b64encode(f'admin:{password}'.encode()).decode()}"
        stranger = Visitor(self.portal.url)
        self.token = stranger.send("tokens", {"name": "t", "scopes": ["read", "edit"]}, basic)["secret"]
        for path, what in (("tasks", TASK), ("jobs", JOB), ("tasks", {**TASK, "name": "\0"})):
            self.visitor.send(path, what, f"Bearer {self.token}")

    def submit(self) -> None:
        boundary = "b0undary"
        fields = {"job": "telling", "submission_name": "a run", "email": "ann@example.org"}
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'
            for name, value in fields.items()
        ]
        parts += [f'--{boundary}\r\nContent-Disposition: form-data; name="input_data"; filename="x"\r\n\r\nx']
        body = "\r\n".join([*parts, f"--{boundary}--", ""]).encode()
        told = self.visitor.ask(f"{A}/submission.json", body, Content_Type=f"multipart/form-data; boundary={boundary}")
        batch = json.loads(told)["UUID"]
        self.run = json.loads(self.visitor.ask(f"{A}/submission/{batch}.json"))["submissions"][0]["UUID"]

    @property
    def work(self) -> Path:
        """Where the run has begun."""
        return Path(str(eventually(lambda: next(self.portal.data.rglob("begun"), None)))).parent


@pytest.fixture(scope="module")
def house(cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    data = tmp_path_factory.mktemp("planted") / "data"
    with servers.new_database(cluster) as url:
        settings = {
            "PORTAL_SECRETS_KEY": Fernet.generate_key().decode(),
            **{name: planted() for name in ("SECRET_KEY", "PORTAL_ADMIN_PASSWORD", "MAIL_PASSWORD")},
            "PORTAL_OIDC_CLIENT_SECRET": planted(),
        }
        password = planted()
        chosen = {
            **settings,
            "DATABASE_URL": url.replace("portal@", f"portal:{password}@"),
            "PORTAL_LOG_LEVEL": "debug",
        }
        with servers.portal_in_one(data, chosen) as portal:
            known = {**settings, "DATABASE_URL": password}
            made = House(portal, cluster, url.rpartition("/")[2], known, Visitor(portal.url), planted())
            made.furnish()
            made.submit()
            yield made


def told_of(pid: int, what: str) -> bytes:
    """Nothing of one that has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/{what}").read_bytes()
    return b""


def family(pid: int) -> list[int]:
    """A process, and all that it started."""
    children = [int(each) for each in told_of(pid, f"task/{pid}/children").split()]
    return [pid, *(further for each in children for further in family(each))]


@pytest.mark.attack("LG-02")
def test_no_planted_secret_stands_where_a_run_happens(house: House) -> None:
    """In the words that every process was started with, the run's environment, its directory, the launcher's own."""
    place = house.work
    space = next(each for each in place.parents if (each / "launch.json").exists())
    [launcher, *inside] = family(json.loads((space / "launched.json").read_text())["pid"])

    processes = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, check=True).stdout
    environments = [told_of(pid, "environ") for pid in inside]
    files = {file: file.read_bytes() for file in house.portal.data.rglob("*") if file.is_file()}

    assert house.found_in(processes) == []
    assert house.found_in(told_of(launcher, "environ")) == []
    assert any(house.secret.encode() in each for each in environments), "the run itself has its secret"
    assert house.found_in(b"".join(environments), but="a task's secret") == []
    assert {str(file): found for file, words in files.items() if (found := house.found_in(words))} == {}


@pytest.mark.attack("LG-02")
def test_no_planted_secret_is_printed_shown_or_kept(house: House) -> None:
    (house.work / "go").touch()
    eventually(lambda: "Complete" in house.visitor.ask(f"{A}/submission/single/{house.run}.json"))
    told = house.visitor.told
    pages = {path: house.visitor.ask(path) for path in (*PAGES, f"/runs/{house.run}")}

    assert "API_KEY=***" in pages[f"/runs/{house.run}"]
    assert house.found_in("".join(pages.values())) == []
    assert house.found_in(re.sub(r"(?i)set-cookie: .*", "", told)) == []
    assert house.found_in(servers.flask("doctor", extra=house.portal.settings)) == []
    files = [file for file in house.portal.data.rglob("*") if file.is_file()]
    assert {str(file): found for file in files if (found := house.found_in(file.read_bytes()))} == {}


@pytest.mark.attack("LG-02")
def test_no_planted_secret_is_told_when_the_database_refuses(house: House) -> None:
    """Last, for it takes the database away."""
    servers.execute(house.cluster, f"ALTER DATABASE {house.database} ALLOW_CONNECTIONS false")
    servers.execute(
        house.cluster, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{house.database}'"
    )

    told = "".join(house.visitor.ask(path, Authorization=f"Bearer {house.token}") for path in PAGES)
    log = house.portal.log.read_text()

    assert '"answered 503"' in log, told[-3000:] + log[-3000:]
    assert house.found_in(told) == [] and house.found_in(log) == []
