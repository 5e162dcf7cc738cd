"""Bodies, addresses, names and keys: what is odd is refused or kept as it is, whoever comes at once."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2
import pytest
from sqlalchemy import func, select

from portal.database import transaction
from portal.models import Backend, Batch, Job, Submission, Task
from portal.services import tokens
from tests import servers
from tests.attacks.hostile import MARKUP, V1, A, Site, cluster, form, portal_on, site, upload
from tests.conftest import PASSWORD
from tests.making import work_through

__all__ = ["site"]

TASK: dict[str, Any] = {"name": "odd", "language": "command", "backend": "here", "code": "true"}
DEEP = 100_000
BODIES: list[str | bytes] = [
    "[" * DEEP + "]" * DEEP,
    '{"a":' * DEEP + "1" + "}" * DEEP,
    "[]",
    "null",
    "1",
    '"x"',
    "",
    "{",
    "{}",
    "NaN",
    "\ufeff{}",
    json.dumps(TASK).encode("utf-16"),
    json.dumps(TASK).encode("utf-32"),
    b'{"name": "\xff"}',
    b"\x00" * 100,
    "true",
    json.dumps({**TASK, "parameters": [{"alias": "a", "kind": "decimal", "minimum": float("nan")}]}),
    json.dumps({**TASK, "parameters": [{"alias": "a", "kind": "decimal", "minimum": float("inf")}]}),
    json.dumps({**TASK, "name": {"a": 1}}),
    json.dumps({**TASK, "name": ["a"]}),
    json.dumps({**TASK, "name": 1}),
    json.dumps({**TASK, "name": None}),
    json.dumps({**TASK, "inputs": "abc"}),
    json.dumps({**TASK, "variables": [["a"]]}),
    json.dumps({**TASK, "variables": {"a": "b"}}),
    json.dumps({**TASK, "code": "a\0b"}),
    json.dumps({**TASK, "x": 1}),
    json.dumps({**TASK, "name": "a\ud800"}),
    json.dumps({**TASK, "code": "\udfff"}),
    json.dumps({**TASK, "__class__": 1}),
    json.dumps({**TASK, "self": 1}),
    json.dumps({**TASK, "id": 1}),
    json.dumps({**TASK, "owner_id": 1}),
    '{"name": "a", "language": "command", "backend": "here", "code": "true", "limits": {"files": ' + "9" * 5000 + "}}",
    '{"name": "a", "steps": [{"order": 1, "task": "x", "condition": {"parameter": "a", "is": ' + "9" * 5000 + "}}]}",
    json.dumps({**TASK, "parameters": [{"alias": "a"}] * 20_000}),
    json.dumps({**TASK, "variables": [["A", "b"]] * 50_000}),
    json.dumps({**TASK, "inputs": [".a"] * 50_000}),
    json.dumps({**TASK, "exit_statuses": [1] * 300_000}),
    json.dumps({**TASK, "parameters": [{"alias": "a", "kind": "choice", "choices": ["x"] * 100_000, "default": "x"}]}),
    json.dumps({"name": "a", "steps": [{"order": 1, "task": "x"}] * 50_000}),
    json.dumps({"name": "a", "validators": ["csv"] * 99_999}),
    json.dumps({"name": "a", "steps": [{"order": n, "task": "x", "needs": ["x"] * 1000} for n in range(150)]}),
    json.dumps({**TASK, "configurations": [{"kind": "Software", "name": "x"}] * 50_000}),
    "x" * 10_000_000,
]


@pytest.mark.attack("IN-01")
@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize("path", ["/tasks", "/jobs"])
def test_it_refuses_a_body_that_is_not_what_it_says(site: Site, path: str, body: str | bytes) -> None:
    before = site.counts()

    answer = site.json("POST", path, body)

    assert answer.status_code in (400, 413, 415, 422)
    assert answer.mimetype == "application/problem+json"
    assert site.counts() == before


@pytest.mark.attack("IN-01")
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "multipart/form-data", "application/x-www-form-urlencoded", ""]
)
def test_it_reads_no_body_of_another_kind(site: Site, kind: str) -> None:
    answer = site.ask("POST", f"{V1}/tasks", data=json.dumps(TASK), content_type=kind)

    assert answer.status_code == 415


HUGE = [2**31, 2**63, 2**64, -(2**63) - 1, 10**30, 10**4000]
NUMBERS = [
    "steps.order",
    "keep_days",
    "limits.wall_seconds",
    "limits.files",
    "exit_statuses",
    "retries.most",
    "retries.wait_seconds",
]


@pytest.mark.attack("IN-02")
@pytest.mark.parametrize("number", HUGE, ids=range(len(HUGE)))
@pytest.mark.parametrize("place", NUMBERS)
def test_it_keeps_no_number_that_the_database_has_no_room_for(site: Site, place: str, number: int) -> None:
    outer, _, inner = place.partition(".")
    value: Any = {inner: number} if inner else number
    is_job = outer in ("steps", "keep_days")
    body = {"name": site.name()} if is_job else {**TASK, "name": site.name()}
    before = site.counts()

    answer = site.json(
        "POST",
        "/jobs" if is_job else "/tasks",
        {**body, outer: [value] if outer in ("steps", "exit_statuses") else value},
    )

    assert answer.status_code in (400, 422) or (place == "limits.files" and number < 2**60)
    assert site.counts() == before or answer.status_code == 201


@pytest.mark.attack("IN-02")
@pytest.mark.parametrize("number", [str(2**63), "9" * 5000, "-1", str(-(2**63)), "١٢", "1e3", "NaN"])
@pytest.mark.parametrize(
    "path", ["/backends/{}", "/tokens/{}/revoke", "/tasks/{t}/revisions/{}", "/runs/{u}/steps/{}/stdout"]
)
def test_a_number_in_an_address_finds_nothing(site: Site, path: str, number: str) -> None:
    address = path.replace("{t}", "service1").replace("{u}", site.others).format(number)

    for method in ("GET", "POST"):
        assert site.ask(method, address).status_code in (302, 303, 400, 404, 405, 422)


TWINS = [
    ("Café", "Cafe\u0301"),
    ("Count", "count"),
    ("straße", "STRASSE"),
    ("ﬁt", "fit"),
    ("x²", "x2"),
    ("İx", "i̇x"),
    ("a b", "a  b"),
    ("Ω", "\u2126"),
    ("ａｂｃ", "abc"),
]
UNSEEN = [
    "a\u200bb",
    "a\u200db",
    "a\u2060b",
    "\ufeffab",
    "a\u00adb",
    "a\u202eb",
    "a\u034fb",
    "ab\u3164",
    "a\ufe0fb",
    "a\u2028b",
]


@pytest.mark.attack("IN-03")
@pytest.mark.parametrize(("first", "second"), TWINS)
def test_two_names_that_read_alike_are_one(site: Site, first: str, second: str) -> None:
    for path, body in (("/tasks", TASK), ("/jobs", {})):
        assert site.json("POST", path, {**body, "name": first}).status_code == 201

        answer = site.json("POST", path, {**body, "name": second})

        assert answer.status_code == 422
        assert "name" in answer.json["fields"]
    fields = {"name": first, "runner": "local", "queue": "q", "languages": "command"}
    assert site.ask("POST", "/backends/new", data=fields).status_code in (302, 303)
    assert site.ask("POST", "/backends/new", data={**fields, "name": second}).status_code == 422


@pytest.mark.attack("IN-03")
@pytest.mark.parametrize(
    "name", [*UNSEEN, "a\nb", "a\0b", " a", "a/b", "..", "a\x1b[0m", "<b>", "a,b", "%00", "new", "a" * 81, ""]
)
def test_no_name_holds_what_nobody_sees(site: Site, name: str) -> None:
    before = site.counts()

    for path, body in (("/tasks", TASK), ("/jobs", {})):
        assert site.json("POST", path, {**body, "name": name}).status_code == 422
    assert site.counts() == before


SQL = [
    "' OR 1=1--",
    '"};--',
    "$$; DROP TABLE task; $$",
    "\\\\'",
    "$.a' || '",
    "'; DELETE FROM submission; --",
    "%' ESCAPE '",
    "x') UNION SELECT password_hash FROM account --",
    '{"$gt": ""}',
    "1; SELECT pg_sleep(9)",
    "%s%(a)s:name ?",
    MARKUP,
    "{{config}}",
    "{{''.__class__.__mro__}}",
    "{% include '/etc/passwd' %}",
    "{#",
    "<script>alert(1)</script>",
    "${7*7}",
]


@pytest.mark.attack("IN-06", "CE-14")
@pytest.mark.parametrize("words", SQL)
def test_words_of_sql_and_of_templates_are_kept_as_they_are(site: Site, words: str) -> None:
    name = site.name("words")
    parameter = {"alias": "v", "label": words, "help": words, "default": words, "flag": words}
    configuration = {"kind": "Software", "name": words, "version": words, "parameters": words}
    body = {
        **TASK,
        "name": name,
        "description": words,
        "code": f"cat <<'E'\n{words}\nE\n",
        "parameters": [parameter],
        "variables": [["V", words]],
        "configurations": [configuration],
    }

    answer = site.json("POST", "/tasks", body)
    made = site.json(
        "POST", "/jobs", {"name": name, "description": words, "public": True, "steps": [{"order": 1, "task": name}]}
    )

    assert (answer.status_code, made.status_code) == (201, 201), (answer.json, made.json)
    with site.session() as session:
        kept = session.scalars(select(Task).where(Task.name == name)).one().current
        texts = (kept.description, kept.parameters[0].default, kept.variables[0].value, kept.configurations[0].name)
        assert texts == (words, words, words, words)
    sent = site.ask("POST", f"{A}/submission.json", site.nobody, data=form(name, submission_name=words[:64]))
    assert sent.status_code == 201
    with site.session() as session:
        uuid = session.scalars(select(Submission.uuid).where(Submission.batch.has(uuid=sent.json["UUID"]))).one()
    for path in (
        "/",
        "/tasks",
        f"/tasks/{name}",
        f"/tasks/{name}/revisions/1",
        f"/jobs/{name}",
        f"/jobs/{name}/run",
        "/jobs",
        "/runs",
        f"/runs/{uuid}",
        f"/batches/{sent.json['UUID']}",
        f"{A}/job/{name}",
        f"{A}/submission/{sent.json['UUID']}",
        f"{A}/endpoints/",
    ):
        page = site.ask("GET", path, headers={"Accept": "text/html"})
        assert page.status_code in (200, 404), path
        assert "argon2" not in page.get_data(as_text=True)
        assert "root:x:0" not in page.get_data(as_text=True)


@pytest.mark.attack("PN-01", "PN-04")
@pytest.mark.parametrize(
    "value", ["abc", "9" * 5000, "-1", "0", "١٢", "1e9", "1__0", "NaN", "' OR 1=1--", str(2**63), "", "[]"]
)
@pytest.mark.parametrize(
    "path",
    [
        "/runs?before={}",
        "/runs.json?before={}",
        "/runs.csv?before={}",
        A + "/job/?page={}",
        V1 + "/jobs?limit={}",
        V1 + "/tasks?after={}",
        V1 + "/submissions?after={}",
        V1 + "/submissions?limit={}",
        V1 + "/submissions/{u}?wait={}",
        "/tasks/service1?revision={}",
    ],
)
def test_an_odd_place_in_a_list_is_refused_or_bounded(site: Site, path: str, value: str) -> None:
    address = path.replace("{u}", site.others).format(value.replace("'", "%27").replace(" ", "%20"))

    answer = site.ask("GET", address)

    assert answer.status_code in (200, 400, 404, 422)
    assert len(answer.data) < 5_000_000


@pytest.mark.attack("PN-01")
def test_a_page_has_no_more_rows_than_it_may(site: Site) -> None:
    for path in ("/jobs", "/tasks", "/submissions"):
        assert site.ask("GET", f"{V1}{path}?limit=1000000000").status_code == 422


@pytest.mark.attack("PN-02")
@pytest.mark.parametrize(
    "query",
    [
        "sort=password_hash",
        "sort=id;drop",
        "filter[__class__]=x",
        "order_by=1",
        "fields=secret_hash",
        "expand=account",
        "include=account",
        "per_page=1000000000",
        "q[$ne]=1",
    ],
)
@pytest.mark.parametrize("path", ["/runs", "/tasks", V1 + "/jobs", V1 + "/submissions", A + "/job/"])
def test_nobody_sorts_or_picks_by_what_they_may_not_see(site: Site, path: str, query: str) -> None:
    plain, asked = site.ask("GET", path), site.ask("GET", f"{path}?{query}")

    assert asked.status_code in (200, 400, 422)
    assert "argon2id" not in asked.get_data(as_text=True)
    if asked.is_json and asked.status_code == 200:
        assert asked.json.keys() == plain.json.keys()


@pytest.mark.attack("PN-03")
@pytest.mark.parametrize(
    "words", ["%", "_" * 1000, "'", '"', "NEAR(", "\\", "x" * 10_000, "[", "*", "%" * 5000, "a\0", "\ud7ff%"]
)
def test_a_search_finds_its_words_and_no_pattern(site: Site, words: str) -> None:
    answer = site.ask("GET", "/runs.json", query_string={"text": words})

    assert answer.status_code in (200, 400)
    if answer.status_code == 200:
        assert all(words.strip()[:200] in each["name"] for each in answer.json["runs"])


@pytest.mark.attack("PN-04")
def test_somebody_elses_place_in_a_list_shows_nothing_of_theirs(site: Site) -> None:
    with site.session() as session:
        last = session.scalar(select(func.max(Submission.id))) or 0
    bob = site.app.test_client()
    bob.post("/sign-in", data={"name": "bob", "password": PASSWORD})

    told = site.ask("GET", f"{V1}/submissions?after={last + 1}", bob).json

    assert {each["uuid"] for each in told["submissions"]} == {site.others}


@pytest.mark.attack("IN-05")
@pytest.mark.parametrize("path", [f"{A}/submission.json", f"{V1}/submissions"])
def test_a_key_makes_one_submission_however_many_send_it(site: Site, path: str) -> None:
    job, key = site.service(), site.name("key")
    with site.session() as session:
        before = session.scalar(select(func.count(Batch.id)))

    answers = at_once(50, lambda n: send(site, path, job, key))

    assert {each.status_code for each in answers} <= {201, 202, 503, 409}
    assert sum(each.status_code in (201, 202) for each in answers) >= 1
    with site.session() as session:
        assert session.scalar(select(func.count(Batch.id))) == (before or 0) + 1
    assert send(site, path, job, key, content=b"other\n").status_code == 409
    site.alarm()


def send(site: Site, path: str, job: str, key: str, content: bytes = b"x\n") -> Any:
    fields = {"job": job, "email": "a@b.org", "input_data": upload(content)}
    fields["name" if path.startswith(V1) else "submission_name"] = "probe"
    return site.app.test_client().post(
        path, data=fields, headers={"Idempotency-Key": key}, content_type="multipart/form-data"
    )


def at_once(count: int, do: Any) -> list[Any]:
    """What this gives when so many threads begin it at one moment."""
    gate = threading.Barrier(count)

    def one(number: int) -> Any:
        gate.wait()
        return do(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@pytest.mark.attack("CE-12", "IN-03")
@pytest.mark.parametrize("kind", ["task", "job", "page"])
def test_one_of_fifty_that_save_a_name_at_once_gets_it(site: Site, kind: str) -> None:
    name = site.name("race")
    twins = [name, name.upper(), name.title()]
    with site.session() as session, transaction(session):
        admin = session.get_one(Backend, 1) and tokens_of_admin(session)

    def save(number: int) -> Any:
        body = {"name": twins[number % 3]} | (
            {} if kind == "job" else {each: TASK[each] for each in ("language", "backend", "code")}
        )
        if kind == "page":
            browser = site.app.test_client()
            browser.set_cookie("session", site.admin.get_cookie("session").value)  # type: ignore[union-attr]
            return browser.post("/tasks/new", data=body)
        return site.app.test_client().post(f"{V1}/{kind}s", json=body, headers={"Authorization": f"Bearer {admin}"})

    statuses = Counter(each.status_code for each in at_once(50, save))

    assert sum(statuses[each] for each in (201, 302, 303)) == 1, statuses
    assert set(statuses) <= {201, 302, 303, 409, 422, 503}
    table = Job if kind == "job" else Task
    with site.session() as session:
        assert len(session.scalars(select(table.id).where(func.lower(table.name) == name)).all()) == 1


def tokens_of_admin(session: Any) -> str:
    from portal.services import accounts

    return tokens.create(
        session, accounts.named(session, "admin"), tokens.TokenDraft("racing", ("read", "edit"))
    ).secret


CHARACTERS = [
    "\0",
    "\ud7ff",
    "\n",
    "'",
    '"',
    "<",
    "%",
    "\\",
    "{{",
    "\u202e",
    "é",
    "日",
    "9" * 400,
    "-",
    "..",
    "/",
    "\x1b",
    "None",
    " ",
]


def something(chance: random.Random, depth: int = 0) -> Any:
    """Any JSON, mostly odd."""
    kinds = [
        lambda: "".join(chance.choices(CHARACTERS, k=chance.randrange(4))),
        lambda: chance.choice([None, True, False, -1, 0, 2**65]),
        lambda: chance.uniform(-1e308, 1e308),
        lambda: chance.choice(["command", "here", "true", ".csv", "integer", "service1"]),
        lambda: [something(chance, depth + 1) for _ in range(chance.randrange(3))],
        lambda: {chance.choice(KEYS): something(chance, depth + 1) for _ in range(chance.randrange(3))},
    ]
    return chance.choice(kinds[: 4 if depth > 3 else 6])()


KEYS = [
    "alias",
    "kind",
    "default",
    "order",
    "task",
    "job",
    "needs",
    "condition",
    "is",
    "file",
    "parameter",
    "most",
    "files",
    "name",
]
FIELDS = {
    "tasks": [
        "name",
        "language",
        "backend",
        "code",
        "description",
        "inputs",
        "outputs",
        "stdout",
        "exit_statuses",
        "limits",
        "retries",
        "parameters",
        "variables",
        "configurations",
        "on_exit_status",
    ],
    "jobs": ["name", "description", "public", "enabled", "validators", "steps", "keep_days"],
}


@pytest.mark.attack("IN-08")
@pytest.mark.parametrize("seed", range(10))
def test_no_body_at_all_is_answered_with_a_fault(site: Site, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(100):
        path = chance.choice(["tasks", "jobs"])
        sound = {**TASK, "name": site.name()} if path == "tasks" else {"name": site.name()}
        body = {**sound, **{each: something(chance) for each in chance.sample(FIELDS[path], chance.randrange(1, 4))}}

        answer = site.json("POST", f"/{path}", body)

        assert answer.status_code in (201, 400, 409, 422)


@pytest.mark.attack("DB-01")
def test_the_portal_needs_no_right_to_change_tables(
    tmp_path: Any, migrated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once migrated, it works as a role that reads and writes rows and no more."""
    with portal_on("postgresql", tmp_path, migrated) as owner:
        url = str(owner.app.config["SQLALCHEMY_DATABASE_URI"]).replace("+psycopg2", "")
        for statement in (
            "DO $$ BEGIN CREATE ROLE plain LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
            "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO plain",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO plain",
        ):
            servers.execute(url, statement)
        as_plain = url.replace("portal@", "plain@")
        job = owner.service()
        with owner.app.app_context():
            monkeypatch.setenv("DATABASE_URL", as_plain)
            from tests.conftest import forget_settings

            forget_settings()
            from app import create_app

            plain = create_app()
            plain.config.update(WTF_CSRF_ENABLED=False)
        browser = plain.test_client()
        assert browser.post("/sign-in", data={"name": "admin", "password": PASSWORD}).status_code in (302, 303)
        assert browser.post(f"{V1}/tasks", json={**TASK, "name": "by plain"}).status_code == 201
        assert browser.post(f"{A}/submission.json", data=form(job)).status_code == 201
        work_through()
        for statement in (
            "CREATE TABLE mine (a int)",
            "DROP TABLE task",
            "ALTER TABLE account ADD x int",
            "TRUNCATE audit",
        ):
            with pytest.raises(psycopg2.Error):
                servers.execute(as_plain, statement)
    assert cluster()


@pytest.mark.attack("DB-01")
def test_no_answer_holds_a_hash(site: Site) -> None:
    made = site.json("POST", "/tokens", {"name": "seen", "scopes": ["read"]})
    assert made.status_code == 201
    with site.session() as session:
        hashes = [text for table in ("account", "token") for text in _hashes(session, table)]

    for path in ("/tokens", "/tasks", "/jobs", "/submissions", f"/submissions/{site.others}", "/openapi.json"):
        words = site.ask("GET", V1 + path).get_data(as_text=True)
        assert not [each for each in hashes if each in words]
    for path in ("/tokens", "/tasks.json", "/jobs.json", "/runs.json", "/tasks.csv", "/runs.csv", "/backends"):
        assert not [each for each in hashes if each in site.ask("GET", path).get_data(as_text=True)]


def _hashes(session: Any, table: str) -> list[str]:
    from sqlalchemy import text

    column = {"account": "password_hash", "token": "secret_hash"}[table]
    return [str(each) for each in session.scalars(text(f"SELECT {column} FROM {table}"))]
