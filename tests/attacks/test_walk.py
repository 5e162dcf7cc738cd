"""Every route of the portal, asked for by every role, with things of its own, of others, and with none that is there.

What each may get stands in access.txt, a line for each endpoint and method. A new route needs a line there.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import sessionmaker
from werkzeug.routing import Rule

from app import create_app
from portal import database, web
from portal.api import contract
from portal.domain.policy import Role
from tests.attacks import world
from tests.attacks.world import NOBODY, ROLES, Situation, World
from tests.conftest import PASSWORD, forget_settings, lift_limits
from tests.once import templates

TABLE = Path(__file__).parent / "access.txt"
CHANGING = re.compile(rb'(nonce|csrf[-_]token|value|content)="[^"]*"|\b[0-9a-f]{16}\b')
PORTALS_OWN = ("group", "backend", "account", "link")
BODIES: dict[str, dict[str, Any]] = {
    "v1.create_job": {},
    "v1.change_job": {},
    "v1.create_task": {"language": "command", "backend": world.QUEUE, "code": "true"},
    "v1.change_task": {"language": "command", "backend": world.QUEUE, "code": "true"},
    "v1.create_token": {"scopes": ["read"]},
}
ASKED_ANYWAY = frozenset({"OPTIONS", "HEAD"})


@dataclass(frozen=True)
class Line:
    """What the roles get at one endpoint by one method: a status for each situation of the thing that it is about."""

    endpoint: str
    method: str
    kind: str
    cells: tuple[str, ...]

    @property
    def situations(self) -> tuple[Situation, ...]:
        """What is the portal's own is there for all, or is not."""
        if self.kind == "-":
            return (Situation.OWN,)
        return (Situation.OWN, Situation.MISSING) if self.kind in PORTALS_OWN else tuple(Situation)

    def expected(self, role: str) -> list[int]:
        """One status in a cell stands for all situations."""
        statuses = [int(each) for each in self.cells[ROLES.index(role)].split("/")]
        return statuses * len(self.situations) if len(statuses) == 1 else statuses

    def __str__(self) -> str:
        return f"{self.endpoint} {self.method}"


def read() -> dict[str, Line]:
    rows = [line.split() for line in TABLE.read_text("utf-8").splitlines() if line.strip() and not line.startswith("#")]
    lines = [Line(endpoint, method, kind, tuple(cells)) for endpoint, method, kind, *cells in rows]
    assert all(len(line.cells) == len(ROLES) for line in lines), "a line of access.txt has a cell for each role"
    return {str(line): line for line in lines}


LINES = read()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Path]:
    """A data directory for all of this module."""
    data = tmp_path_factory.mktemp("walk")
    shutil.copy(migrated, data / "portal.db")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DATABASE_URL", "BROKER_URL", "SECRET_KEY"):
            patch.delenv(name, raising=False)
        patch.setenv("MAIL_SERVER", "mail.example.org")
        patch.setenv("PORTAL_DATA", str(data))
        forget_settings()
        yield data
    forget_settings()


@dataclass(frozen=True)
class Walk:
    """A portal with a world in it, and clients of every role."""

    app: Flask
    directory: Path
    world: World
    cookies: Mapping[str, str]

    def client(self, role: str) -> FlaskClient:
        client = self.app.test_client()
        if role != NOBODY:
            client.set_cookie("session", self.cookies[role])
        return client

    def ask(self, line: Line, role: str, situation: Situation) -> Any:
        parts = self.world.things[role][situation].parts(line.kind)
        body = {"name": parts.get("name", f"of_{role}"), **BODIES[line.endpoint]} if line.endpoint in BODIES else None
        where = address(self.app, line, parts)
        return self.client(role).open(where, method=line.method, json=body, headers={"If-Match": "*"})

    def keep(self) -> None:
        """The world's database, to begin each line with."""
        self._let_go()
        shutil.copy(self.directory / "portal.db", self.directory / "world.db")

    def begin_anew(self) -> None:
        self._let_go()
        shutil.copy(self.directory / "world.db", self.directory / "portal.db")

    def _let_go(self) -> None:
        database.engine().dispose()
        with self.app.app_context():
            web.db.engine.dispose()


def sign_in(app: Flask, role: str) -> str:
    client = app.test_client()
    answer = client.post("/sign-in", data={"name": role, "password": PASSWORD})
    cookie = client.get_cookie("session")
    assert cookie, f"{role} cannot sign in: {answer.status}"
    return cookie.value


def built(directory: Path) -> Walk:
    with sessionmaker(database.engine())() as session:
        made = world.build(session)
    app = create_app()
    app.config.update(TESTING=False, WTF_CSRF_ENABLED=False)
    app.jinja_env.bytecode_cache = templates
    lift_limits(app)
    return Walk(app, directory, made, {role: sign_in(app, role) for role in ROLES if role != NOBODY})


@pytest.fixture(scope="module")
def whole(directory: Path) -> Walk:
    walk = built(directory)
    walk.keep()
    return walk


@pytest.fixture
def walk(whole: Walk) -> Walk:
    """The portal as it was at first."""
    whole.begin_anew()
    return whole


def rules(app: Flask) -> dict[str, Rule]:
    """By endpoint and method, one address, one that answers in JSON where there is one.

    The first system's routes also hear methods that they only refuse.
    """
    found: dict[str, Rule] = {}
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: not rule.rule.endswith(".json")):
        for method in sorted((rule.methods or set()) - ASKED_ANYWAY):
            if method in contract.allowed.get(rule.endpoint, method):
                found.setdefault(f"{rule.endpoint} {method}", rule)
    return found


def address(app: Flask, line: Line, parts: dict[str, Any]) -> str:
    rule = rules(app)[str(line)]
    given = {name: parts.get(name, "portal.css") for name in rule.arguments}
    with app.test_request_context():
        built = rule.build(given, append_unknown=False)
    assert built is not None, f"no address for {line} of {given}"
    return str(built[1])


def test_it_has_a_line_for_every_route(whole: Walk) -> None:
    routes = rules(whole.app).keys()
    missing, gone = sorted(routes - LINES.keys()), sorted(LINES.keys() - routes)

    assert not missing, f"Say in tests/attacks/access.txt what each role gets at: {', '.join(missing)}."
    assert not gone, (
        f"Take these lines out of tests/attacks/access.txt, the portal has no such routes: {', '.join(gone)}."
    )


@pytest.mark.attack("AZ-01")
@pytest.mark.parametrize("line", LINES.values(), ids=str)
def test_it_gives_every_role_what_the_table_says(line: Line, walk: Walk) -> None:
    found = {role: [walk.ask(line, role, each).status_code for each in line.situations] for role in ROLES}

    assert found == {role: line.expected(role) for role in ROLES}


HIDDEN = [line for line in LINES.values() if Situation.CLOSED in line.situations]


@pytest.mark.attack("AZ-01")
@pytest.mark.parametrize("line", HIDDEN, ids=str)
def test_it_says_the_same_of_what_is_hidden_as_of_what_is_not_there(line: Line, walk: Walk) -> None:
    for role in (NOBODY, Role.SUBMITTER, Role.ANALYST):
        hidden, missing = (walk.ask(line, role, each) for each in (Situation.CLOSED, Situation.MISSING))
        assert told(hidden, walk.world, role) == told(missing, walk.world, role), f"{role} can tell them apart"


def told(answer: Any, world: World, role: str) -> bytes:
    """An answer without what it is called, and without what is new in every answer."""
    said: bytes = f"{answer.status} {answer.location} {answer.mimetype} ".encode() + answer.get_data()
    body = CHANGING.sub(b"", said)
    for situation in (Situation.CLOSED, Situation.MISSING):
        for value in {str(part) for part in vars(world.things[role][situation]).values()}:
            body = body.replace(value.encode(), b"?")
    return body


@pytest.mark.attack("AU-01")
@pytest.mark.parametrize("line", LINES.values(), ids=str)
def test_it_opens_to_nobody_only_what_is_for_everybody(line: Line, walk: Walk) -> None:
    """Whoever has not signed in gets a page, or a refusal for a reason other than that, at these endpoints only."""
    answers = [walk.ask(line, NOBODY, situation) for situation in line.situations]

    assert all(refused(each) for each in answers) != (line.endpoint in FOR_EVERYBODY)


def refused(answer: Any) -> bool:
    to_sign_in = answer.status_code in (302, 303) and "/sign-in" in (answer.location or "")
    return to_sign_in or answer.status_code in (401, 403, 404)


FOR_EVERYBODY = frozenset(
    (
        "accounts.sign_in", "accounts.sign_out", "passwords.forgotten", "passwords.reset", "health.show",
        "home.index", "static", "jobs.run", "batches.show", "batches.progress",
        "submissions.show", "submissions.progress", "submissions.log", "submissions.download", "submissions.preview",
        "contract.submit", "contract.batch", "contract.single", "contract.endpoints", "contract.job",
        "contract.job_list", "contract.job_times", "files.file",
        "v1.docs", "v1.openapi", "v1.list_jobs", "v1.show_job", "v1.submit", "v1.show", "v1.list_results",
        "v1.download_result", "v1.download_results", "v1.show_log",
    )
)  # fmt: skip
