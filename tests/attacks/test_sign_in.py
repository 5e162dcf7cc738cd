"""Attacks on accounts: on passwords, sessions, tokens and links, and on what stands before them."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app import create_app
from portal.database import now, transaction
from portal.domain.policy import Role
from portal.models import Account, Audit, Token
from portal.services import accounts, letters, resets, roster, throttle
from portal.services.roster import AccountDraft
from portal.settings import Settings, WrongSetting, settings
from portal.web import Cookies
from tests import servers
from tests.api.signing import basic, bearer, token
from tests.conftest import PASSWORD
from tests.making import make_job, make_task
from tests.pages.test_accounts_page import without_tokens

RIGHT = {"name": "admin", "password": PASSWORD}
NEW = "a mare's nest of owls"


def sign_in(app: Flask, name: str = "admin", password: str = PASSWORD) -> FlaskClient:
    client = app.test_client()
    assert client.post("/sign-in", data={"name": name, "password": password}).status_code == 302
    return client


def is_in(client: FlaskClient) -> bool:
    return client.get("/runs").status_code == 200


@pytest.fixture
def ann(session: Session) -> Account:
    with transaction(session):
        return accounts.create(session, "ann", PASSWORD, Role.ANALYST, "ann@example.org")


@pytest.fixture
def guarded(admin: Account) -> Flask:
    """A portal that looks for the tokens of its forms."""
    return create_app()


def form_token(client: FlaskClient, path: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(path).text)
    assert found
    return found[1]


# Tokens


@pytest.mark.attack("AU-02")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda secret: secret[:-1],
        lambda secret: secret[:-1] + ("A" if secret[-1] != "A" else "B"),
        lambda secret: secret.swapcase(),
        lambda secret: f"{secret},Bearer {secret}",
        lambda secret: f"{secret} {secret}",
        lambda secret: secret * 200,
        lambda secret: f"{secret}\u0000",
        lambda secret: f"' OR 1=1 --{secret}",
        lambda secret: "",
        lambda secret: "aa_",
    ],
)
def test_it_takes_no_token_but_the_very_one(
    client: FlaskClient, session: Session, admin: Account, spoil: Callable[[str], str]
) -> None:
    secret = token(session, admin, "read")["Authorization"].removeprefix("Bearer ")

    assert client.get("/api/v1/me", headers=bearer(secret)).status_code == 200
    assert client.get("/api/v1/me", headers=bearer(spoil(secret))).status_code == 401


@pytest.mark.attack("AU-02")
@pytest.mark.parametrize("change", [{"expires": now(-1)}, {"revoked": now(-1)}])
def test_it_takes_no_token_after_its_time(
    client: FlaskClient, session: Session, admin: Account, change: dict[str, object]
) -> None:
    header = token(session, admin, "read", days=1)
    with transaction(session):
        session.execute(update(Token).values(**change))

    assert client.get("/api/v1/me", headers=header).status_code == 401


@pytest.mark.attack("AU-02")
def test_it_takes_no_token_of_an_account_that_is_switched_off(
    client: FlaskClient, session: Session, admin: Account, ann: Account
) -> None:
    header = token(session, ann, "read")
    with transaction(session):
        roster.change(session, admin, ann, AccountDraft("ann", Role.ANALYST, active=False))

    assert client.get("/api/v1/me", headers=header).status_code == 401


@pytest.mark.attack("AU-02")
@pytest.mark.parametrize("ask", ["/api/v1/me?token={0}", "/api/v1/me?access_token={0}", "/api/v1/me?Authorization={0}"])
def test_it_takes_no_token_from_an_address(client: FlaskClient, session: Session, admin: Account, ask: str) -> None:
    secret = token(session, admin, "read")["Authorization"].removeprefix("Bearer ")

    assert client.get(ask.format(secret)).status_code == 401


@pytest.mark.attack("AU-02")
def test_a_token_for_one_job_reads_nothing_else_and_changes_nothing(
    client: FlaskClient, session: Session, admin: Account
) -> None:
    make_task(session, "t", "command", "true")
    make_job(session, "one", [(1, "t")])
    make_job(session, "other", [(1, "t")])
    header = token(session, admin, "job:one")

    assert client.get("/api/v1/tokens", headers=header).status_code == 403
    assert client.post("/api/v1/tokens", json={"name": "x", "scopes": ["edit"]}, headers=header).status_code == 403
    whole = client.get("/api/v1/jobs/one", headers=basic()).get_json()["draft"]
    assert client.put("/api/v1/jobs/one", json=whole, headers=header | {"If-Match": "*"}).status_code == 403
    data = {"job": "other", "submission_name": "x", "email": "a@b.org"}
    assert client.post("/analytics_automated/submission", data=data, headers=header).status_code == 403


@pytest.mark.attack("AU-02")
@pytest.mark.parametrize("scope", ["read", "run"])
def test_a_token_that_may_not_edit_makes_nothing(
    client: FlaskClient, session: Session, admin: Account, scope: str
) -> None:
    make_task(session, "t", "command", "true")
    header = token(session, admin, scope)
    draft = client.get("/api/v1/tasks/t", headers=basic()).get_json()["draft"]

    assert client.put("/api/v1/tasks/t", json=draft, headers=header | {"If-Match": "*"}).status_code == 403
    assert client.delete("/api/v1/tokens/1", headers=header).status_code == 403


@pytest.mark.attack("AU-02")
def test_no_table_holds_a_token_or_a_password(session: Session, data: Path, admin: Account) -> None:
    secret = token(session, admin, "read")["Authorization"].removeprefix("Bearer ")
    session.rollback()

    kept = b"".join(file.read_bytes() for file in data.glob("portal.db*"))

    assert secret.encode() not in kept and PASSWORD.encode() not in kept


# Guessing


@pytest.fixture
def patient(admin: Account) -> FlaskClient:
    """A portal whose limit of requests is out of the way, so that only failures count."""
    app = create_app(Settings(portal_sign_in_limit="1000 per minute"))
    app.config["WTF_CSRF_ENABLED"] = False
    return app.test_client()


def guesses(client: FlaskClient, names: list[str]) -> list[int]:
    """The answers to a wrong password for each name, each from another address."""
    return [
        client.post(
            "/sign-in", data={"name": name, "password": f"guess {n}"}, environ_base={"REMOTE_ADDR": f"10.0.0.{n}"}
        ).status_code
        for n, name in enumerate(names)
    ]


@pytest.mark.attack("AU-03")
@pytest.mark.parametrize("name", ["admin", "nobody"])
def test_it_makes_guessing_at_one_account_wait_wherever_it_comes_from(patient: FlaskClient, name: str) -> None:
    answers = guesses(patient, [name] * 30)

    assert answers[:6] == [422] * 6 and answers.count(422) < 12
    for _ in range(10):
        throttle.count([throttle.of_name(name)])
    right = patient.post("/sign-in", data=RIGHT | {"name": name.upper()})
    assert right.status_code == 429 and int(right.headers["Retry-After"]) > 0


@pytest.mark.attack("AU-03")
def test_it_makes_an_address_wait_that_tries_one_password_on_many_names(patient: FlaskClient) -> None:
    tried = [patient.post("/sign-in", data={"name": f"ann{n}", "password": PASSWORD}).status_code for n in range(30)]

    assert tried[:20] == [422] * 20 and 429 in tried


@pytest.mark.attack("AU-03")
def test_it_makes_guessing_through_the_api_wait_as_well(patient: FlaskClient) -> None:
    tried = [patient.get("/api/v1/me", headers=basic(password=f"guess {n}")).status_code for n in range(20)]

    assert tried[:6] == [401] * 6 and tried.count(401) < 12


@pytest.mark.attack("AU-03")
def test_each_failure_doubles_the_wait_up_to_a_bound(data: Path) -> None:
    culprit = throttle.of_name("ann")
    waits = []
    for _ in range(20):
        throttle.count([culprit])
        waits.append(round(throttle.wait(culprit)))
        throttle._counts().answering.clear(f"wait:{culprit.key}")

    assert waits == [0] * 5 + [2, 4, 8, 16, 32, 64, 128, 256] + [300] * 7


@pytest.mark.attack("AU-03")
def test_it_says_and_does_the_same_for_a_name_that_there_is_not(
    client: FlaskClient, admin: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work is the same when as many hashes are compared; a clock would measure the machine."""
    compared: list[str] = []

    class Counting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:
            compared.append(str(hash)[:40])
            return super().verify(hash, password)

    monkeypatch.setattr(accounts, "hasher", Counting(time_cost=1, memory_cost=8, parallelism=1))
    said = set()
    for name in ("admin", "nobody", "admin'--", "Admin"):
        answer = client.post("/sign-in", data={"name": name, "password": "wrong horse battery"})
        said.add((answer.status_code, re.findall(r"The name or the password is wrong\.", answer.text)[0]))

    assert len(said) == 1 and len(compared) == 4


@pytest.mark.attack("AU-03")
def test_it_keeps_counting_while_the_broker_is_away_and_for_all_processes_while_it_is_there(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with servers.redis() as url:
        monkeypatch.setenv("BROKER_URL", url)
        settings.cache_clear()
        culprit = throttle.of_name("ann")
        for _ in range(6):
            throttle.count([culprit])
        throttle._counts_of.cache_clear()  # as another process, which has counted nothing
        assert throttle.wait(culprit) > 0

    for _ in range(7):
        throttle.count([culprit])
    assert throttle.wait(culprit) > 0


@pytest.mark.attack("AU-03")
def test_what_was_typed_as_a_name_is_not_written_down(client: FlaskClient, session: Session, admin: Account) -> None:
    client.post("/sign-in", data={"name": PASSWORD, "password": "x"})
    client.post("/sign-in", data={"name": "admin", "password": "a wrong one of mine"})

    lines = session.scalars(select(Audit).where(Audit.action == "failed to sign in")).all()

    assert [line.object for line in lines] == ["an unknown name", "admin"]


# Sessions


@pytest.mark.attack("AU-04")
def test_a_session_from_before_signing_in_stays_nobodys(app: Flask, admin: Account) -> None:
    victim, thief = app.test_client(), app.test_client()
    with thief.session_transaction() as planted:
        planted["csrf_token"] = "known to the thief"
    before = thief.get_cookie("session")
    assert before is not None
    victim.set_cookie("session", before.value)

    assert victim.post("/sign-in", data=RIGHT).status_code == 302

    after = victim.get_cookie("session")
    assert after is not None and after.value != before.value
    assert not is_in(thief)
    with victim.session_transaction() as mine:
        assert mine.get("csrf_token") != "known to the thief"


def changed_password(client: FlaskClient, session: Session, ann: Account) -> None:
    answer = client.post("/account", data={"present": PASSWORD, "password": NEW, "again": NEW})
    assert answer.status_code == 303


def signed_out(client: FlaskClient, session: Session, ann: Account) -> None:
    client.post("/sign-out")


def other_role(client: FlaskClient, session: Session, ann: Account) -> None:
    with transaction(session):
        roster.change(session, None, session.get_one(Account, ann.id), AccountDraft("ann", Role.SUBMITTER))


def switched_off(client: FlaskClient, session: Session, ann: Account) -> None:
    with transaction(session):
        roster.change(session, None, session.get_one(Account, ann.id), AccountDraft("ann", Role.ANALYST, active=False))


def renewed(client: FlaskClient, session: Session, ann: Account) -> None:
    with transaction(session):
        roster.renew(session, None, session.get_one(Account, ann.id))


def reset_by_mail(client: FlaskClient, session: Session, ann: Account) -> None:
    secret = resets.new_link(ann.id).rpartition("/")[2]
    with transaction(session):
        resets.use(session, secret, NEW)


@pytest.mark.attack("AU-04")
@pytest.mark.parametrize("deed", [changed_password, signed_out, other_role, switched_off, renewed, reset_by_mail])
def test_a_stolen_session_ends_with(
    deed: Callable[[FlaskClient, Session, Account], None], app: Flask, session: Session, admin: Account, ann: Account
) -> None:
    victim, thief = sign_in(app, "ann"), app.test_client()
    stolen = victim.get_cookie("session")
    assert stolen is not None
    thief.set_cookie("session", stolen.value)
    assert is_in(thief)

    deed(victim, session, ann)

    assert not is_in(thief)


@pytest.mark.attack("AU-04")
@pytest.mark.parametrize("deed", [changed_password, renewed, reset_by_mail])
def test_a_token_that_a_thief_made_ends_with(
    deed: Callable[[FlaskClient, Session, Account], None], app: Flask, session: Session, ann: Account
) -> None:
    victim = sign_in(app, "ann")
    header = token(session, ann, "read")

    deed(victim, session, ann)

    assert app.test_client().get("/api/v1/me", headers=header).status_code == 401


@pytest.mark.attack("AU-04")
@pytest.mark.parametrize(("began", "seen"), [(169, 1), (13, 13), (10_000, 0), (None, 0), (0, None)])
def test_a_session_of_long_ago_is_nobodys(app: Flask, admin: Account, began: int | None, seen: int | None) -> None:
    client = sign_in(app)
    with client.session_transaction() as mine:
        for name, hours in (("began", began), ("seen", seen)):
            if hours is None:
                del mine[name]
            else:
                mine[name] = int(time.time()) - hours * 3600

    assert not is_in(client)


@pytest.mark.attack("AU-04")
def test_a_password_that_somebody_else_made_opens_nothing_but_the_page_for_a_new_one(
    app: Flask, session: Session, admin: Account
) -> None:
    with transaction(session):
        made = roster.add(session, admin, AccountDraft("bob", Role.ADMINISTRATOR))
    client = sign_in(app, "bob", made.password)

    for path in ("/", "/runs", "/tasks", "/accounts", "/tokens", "/api/v1/me", "/analytics_automated/job/"):
        answer = client.get(path)
        assert (answer.status_code, answer.location) == (303, "/account")
    assert client.post("/tokens", data={"name": "x", "scopes": ["edit"]}).status_code == 303
    assert app.test_client().get("/api/v1/me", headers=basic("bob", made.password)).status_code == 403
    same = {"present": made.password, "password": made.password, "again": made.password}
    assert client.post("/account", data=same).status_code == 422
    assert client.post("/account", data={"present": made.password, "password": NEW, "again": NEW}).status_code == 303
    assert is_in(client) and not session.scalars(select(Token)).all()


# Settings


@pytest.mark.attack("AU-05")
@pytest.mark.parametrize(
    "key",
    [
        "dev", "changeme", "x" * 31, "x" * 64, "changeme" * 8, "0123456789" * 5, "abc" * 12,
        "this-is-a-very-insecure-key-for-the-portal", "django-secret-key-please-change-it-soon",
        "my super long password that is known to all",
    ],
)  # fmt: skip
def test_it_does_not_start_with_the_key(key: str, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", key)
    settings.cache_clear()

    with pytest.raises(WrongSetting, match="SECRET_KEY"):
        create_app()


@pytest.mark.attack("AU-05")
@pytest.mark.parametrize(
    "password",
    [
        "admin", "password", "changeme1234", "Administrator1", "P@ssw0rd1234", "123456789012", "aaaaaaaaaaaaaa",
        "qwertyuiop123", "Welcome-2026!!", "letmein!!!!!!", "abababababab",
    ],
)  # fmt: skip
def test_it_makes_no_administrator_with_the_password(
    password: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_ADMIN_PASSWORD", password)
    settings.cache_clear()

    with pytest.raises(WrongSetting, match="PORTAL_ADMIN_PASSWORD"):
        settings()


@pytest.mark.attack("AU-05")
@pytest.mark.parametrize("reached", [{"HOST": "::"}, {"PORTAL_URL": "https://portal.example.org"}])
def test_it_shows_no_debugger_to_others(reached: dict[str, str], data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (reached | {"FLASK_DEBUG": "1"}).items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()

    with pytest.raises(WrongSetting, match="FLASK_DEBUG"):
        create_app()


@pytest.mark.attack("AU-05")
def test_a_process_with_a_weak_key_ends_at_once_with_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app", "setup"], cwd=servers.ROOT, capture_output=True, text=True,
        env=servers.environment({"PORTAL_DATA": str(tmp_path), "SECRET_KEY": "changeme" * 5}), check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert "SECRET_KEY" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.attack("AU-06")
def test_it_takes_no_session_that_is_signed_with_a_common_key(app: Flask, admin: Account) -> None:
    words = "dev secret key changeme test flask password default admin production supersecret 123456 portal analytics"
    client = app.test_client()
    shapes = ("{0}", "{0}-key", "{0}_key", "my-{0}", "{0}123", "{0}!", "{0}" * 8)
    keys = [shape.format(word) for word in words.split() for shape in shapes]
    moment = int(time.time())
    claims = {"_user_id": admin.session_key, "_fresh": True, "began": moment, "seen": moment}
    forger = Flask("forger")

    def forge(key: str) -> str:
        forger.secret_key = key
        signer = Cookies().get_signing_serializer(forger)
        assert signer
        return str(signer.dumps(claims))

    client.set_cookie("session", forge(str(app.secret_key)))
    assert is_in(client)
    got_in = []
    for key in keys:
        client.set_cookie("session", forge(key))
        got_in += [key] if is_in(client) else []
    assert got_in == [] and len(keys) == 98


# Other sites


@pytest.mark.attack("AU-07")
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example", ""])
def test_another_site_changes_nothing(guarded: Flask, session: Session, origin: str) -> None:
    client = guarded.test_client()
    client.post("/sign-in", data=RIGHT | {"csrf_token": form_token(client, "/sign-in")})
    before = session.scalars(select(Account.password_hash)).one()
    session.rollback()
    headers = {"Origin": origin} if origin else {}

    for path in ("/sign-out", "/tokens", "/account", "/accounts/new", "/accounts/1/password", "/sign-in"):
        assert client.post(path, data={"name": "eve", "scopes": "edit"}, headers=headers).status_code == 400

    assert is_in(client)
    assert session.scalars(select(Account.password_hash)).one() == before
    assert session.scalars(select(Token)).all() == []


@pytest.mark.attack("AU-07")
def test_the_token_of_another_session_is_worth_nothing(guarded: Flask, session: Session) -> None:
    eve, victim = guarded.test_client(), guarded.test_client()
    victim.post("/sign-in", data=RIGHT | {"csrf_token": form_token(victim, "/sign-in")})
    eves = form_token(eve, "/sign-in")

    for data in ({"csrf_token": eves}, {"csrf_token": ""}, {"csrf_token": "x" * 10_000}, {}):
        assert victim.post("/sign-out", data=data).status_code == 400
    assert is_in(victim)


@pytest.mark.attack("AU-07")
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json"])
def test_json_in_a_disguise_makes_no_token(guarded: Flask, session: Session, content_type: str) -> None:
    client = guarded.test_client()
    client.post("/sign-in", data=RIGHT | {"csrf_token": form_token(client, "/sign-in")})

    answer = client.post("/api/v1/tokens", data='{"name": "x", "scopes": ["edit"]}', content_type=content_type)

    assert answer.status_code in (400, 403, 415)
    assert session.scalars(select(Token)).all() == []


@pytest.mark.attack("AU-07")
@pytest.mark.parametrize("path", ["/sign-out", "/tokens/1/revoke", "/accounts/1/password", "/accounts/1/letter"])
def test_a_link_or_a_picture_changes_nothing(app: Flask, admin: Account, path: str) -> None:
    client = sign_in(app)

    assert client.get(path).status_code == 405
    assert is_in(client)


TARGETS = [
    "//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example", "https:evil.example",
    "javascript:alert(1)", "/\t/evil.example", "/\n/evil.example", "/\r\nX: y", "////evil.example/..", "/\u2028/evil",
    "http:/evil", "data:,x", " //evil.example", "evil.example", "@evil.example", "",
]  # fmt: skip


@pytest.mark.attack("AU-08")
@pytest.mark.parametrize("target", TARGETS)
def test_it_stays_here_instead_of_going_to(target: str, client: FlaskClient, admin: Account) -> None:
    for answer in (
        client.post("/sign-in", query_string={"next": target}, data=RIGHT),
        client.get("/sign-in", query_string={"next": target}),
    ):
        assert (answer.status_code, answer.location) == (302, "/")
        assert "X" not in answer.headers


# Lost passwords


def link(letter: Message) -> str:
    found = re.search(r"(http\S+/reset/)(\S+)", str(letter.get_payload()))
    assert found
    return found[0]


@pytest.fixture
def asked(client: FlaskClient, ann: Account, postbox: list[Message]) -> str:
    """The link that ann was written."""
    evil = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.example"}
    client.post("/forgotten", data={"who": "ann"}, headers=evil)
    letters.send_due()
    return link(postbox[-1])


@pytest.mark.attack("AU-09")
def test_the_link_leads_to_the_portal_whatever_host_was_named(asked: str, postbox: list[Message]) -> None:
    assert asked.startswith(f"{settings().address}/reset/")
    assert "evil.example" not in str(postbox[-1])


@pytest.mark.attack("AU-09")
def test_it_writes_no_link_for_a_host_that_it_is_not(client: FlaskClient, ann: Account, postbox: list[Message]) -> None:
    answer = client.post("/forgotten", data={"who": "ann"}, headers={"Host": "evil.example"})
    letters.send_due()

    assert answer.status_code == 400 and not postbox


@pytest.mark.attack("AU-09")
def test_no_log_holds_the_link(asked: str, capfd: pytest.CaptureFixture[str]) -> None:
    client = create_app(Settings(portal_log_level="info")).test_client()
    path = asked.removeprefix(settings().address)

    for _ in range(12):
        client.get(path)

    log = capfd.readouterr().err
    assert "answered 200" in log and "answered 429" in log and "/reset/***" in log
    assert path.removeprefix("/reset/") not in log


@pytest.mark.attack("AU-09")
def test_the_link_is_good_once(client: FlaskClient, asked: str, session: Session) -> None:
    path, form = asked.removeprefix(settings().address), {"password": NEW, "again": NEW}

    assert client.get(path).status_code == client.get(path).status_code == 200
    assert client.post(path, data=form).status_code == 303
    assert accounts.authenticate(session, "ann", NEW)
    again = client.post(path, data={"password": PASSWORD, "again": PASSWORD})
    assert again.status_code == 404 and "not good any more" in again.text
    assert accounts.authenticate(session, "ann", NEW)


@pytest.mark.attack("AU-09")
def test_the_link_is_good_once_though_many_use_it_at_one_moment(app: Flask, asked: str, session: Session) -> None:
    path = asked.removeprefix(settings().address)

    def use(number: int) -> int:
        password = f"owls number {number} here"
        return app.test_client().post(path, data={"password": password, "again": password}).status_code

    with ThreadPoolExecutor(6) as threads:
        statuses = sorted(threads.map(use, range(6)))

    assert statuses == [303] + [404] * 5


@pytest.mark.attack("AU-09")
def test_the_link_is_over_after_its_time_or_when_a_newer_one_was_sent(
    client: FlaskClient, asked: str, ann: Account, session: Session
) -> None:
    path = asked.removeprefix(settings().address)
    with transaction(session):
        session.execute(update(Account).values(reset_until=now(900 - 16 * 60)))
    assert client.get(path).status_code == 404

    resets.new_link(ann.id)
    assert client.post(path, data={"password": NEW, "again": NEW}).status_code == 404


@pytest.mark.attack("AU-09")
def test_the_link_changes_its_own_account_only(
    client: FlaskClient, asked: str, admin: Account, session: Session
) -> None:
    path = asked.removeprefix(settings().address)

    client.post(path, data={"password": NEW, "again": NEW, "name": "admin", "account_id": "1", "id": "1"})

    assert accounts.authenticate(session, "admin", PASSWORD)


@pytest.mark.attack("AU-09")
@pytest.mark.parametrize("secret", ["x" * 43, "None", "%00", "..", "x" * 5000, "' OR '1'='1", "%F0%9F%98%80"])
def test_no_other_link_is_good(client: FlaskClient, asked: str, secret: str) -> None:
    assert client.get(f"/reset/{secret}").status_code == 404


@pytest.mark.attack("AU-09")
def test_asking_tells_nothing_and_writes_to_nobody_again_and_again(
    client: FlaskClient,
    ann: Account,
    session: Session,
    postbox: list[Message],
) -> None:
    said = {
        without_tokens(client.post("/forgotten", data={"who": who}).text)
        for who in (
            "ann",
            "ANN@example.org",
            "ann",
            "nobody",
            "nobody@example.org",
            "a\u0001b",
            "'; drop table account",
        )
    }
    letters.send_due()

    assert len(said) == 1
    assert [letter["To"] for letter in postbox] == ["ann@example.org"]


@pytest.mark.attack("AU-09")
def test_the_page_of_a_link_is_kept_nowhere(client: FlaskClient, asked: str) -> None:
    answer = client.get(asked.removeprefix(settings().address))

    assert (answer.headers["Referrer-Policy"], answer.headers["Cache-Control"]) == ("no-referrer", "no-store")


# More than one is


MORE = {"role": "administrator", "active": "y", "id": "1", "must_change": "", "subject": "x", "name": "admin"}


@pytest.mark.attack("AU-10")
def test_no_field_makes_an_analyst_more(app: Flask, session: Session, admin: Account, ann: Account) -> None:
    client = sign_in(app, "ann")

    client.post("/account", data={"present": PASSWORD, "password": NEW, "again": NEW, **MORE})

    session.rollback()
    assert (ann.role, ann.name, ann.subject, admin.role) == (Role.ANALYST, "ann", None, Role.ADMINISTRATOR)
    assert client.patch("/api/v1/me", json=MORE).status_code == client.put("/api/v1/me", json=MORE).status_code == 405


@pytest.mark.attack("AU-10")
def test_the_roster_is_for_administrators(app: Flask, session: Session, ann: Account) -> None:
    client = sign_in(app, "ann")

    for path in ("/accounts", "/accounts/new", "/accounts/1", "/accounts/1/password", "/accounts/1/letter"):
        assert client.post(path, data=MORE).status_code in (403, 405)
        assert client.get(path).status_code in (403, 405)

    session.rollback()
    assert ann.role is Role.ANALYST


@pytest.mark.attack("AU-10")
def test_an_administrators_form_changes_what_it_shows_and_no_more(
    app: Flask, session: Session, admin: Account, ann: Account
) -> None:
    client, before = sign_in(app), ann.password_hash

    form = {"role": "analyst", "active": "y", "name": "eve", "password_hash": "x", "session_key": "y", "subject": "z"}
    assert client.post(f"/accounts/{ann.id}", data=form).status_code == 303
    assert client.post(f"/accounts/{ann.id}", data={"role": "god", "active": "y"}).status_code == 422

    session.rollback()
    assert (ann.name, ann.password_hash, ann.subject, ann.role) == ("ann", before, None, Role.ANALYST)


@pytest.mark.attack("AU-11")
def test_a_thousand_forwarded_addresses_are_one_client(admin: Account, session: Session) -> None:
    app = create_app(Settings(portal_sign_in_limit="10 per hour"))
    app.config["WTF_CSRF_ENABLED"] = False
    client = app.test_client()

    statuses = [
        client.post(
            "/sign-in", data={"name": f"ann{n}", "password": "x"},
            headers={"X-Forwarded-For": f"10.0.{n // 250}.{n % 250}", "Forwarded": f"for=10.0.{n // 250}.{n % 250}"},
        ).status_code
        for n in range(1000)
    ]  # fmt: skip

    assert statuses == [422] * 10 + [429] * 990


# The first administrator


def set_up(extra: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app", "setup"],
        cwd=servers.ROOT, env=servers.environment(extra), capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The settings of a portal that was never set up."""
    if request.param == "sqlite":
        yield {"PORTAL_DATA": str(tmp_path)}
        return
    with servers.postgresql() as url:
        yield {"PORTAL_DATA": str(tmp_path), "DATABASE_URL": url}


@pytest.mark.attack("AU-12")
def test_of_many_that_set_up_one_portal_one_makes_the_administrator(empty: dict[str, str]) -> None:
    with ThreadPoolExecutor(3) as threads:
        done = list(threads.map(set_up, [empty] * 2))
    later = set_up(empty | {"PORTAL_ADMIN_NAME": "eve"})

    assert [each.returncode for each in (*done, later)] == [0] * 3, [each.stderr for each in done]
    assert sum("Sign in as" in each.stdout for each in (*done, later)) == 1
    names = servers.flask("account", "list", extra=empty)
    assert names == "admin\tadministrator\n"


@pytest.mark.attack("AU-12")
def test_no_page_makes_an_administrator_for_a_stranger(client: FlaskClient, session: Session) -> None:
    form = {"name": "eve", "password": NEW, "again": NEW, "role": "administrator", "active": "y"}

    for path in ("/setup", "/install", "/register", "/sign-up", "/accounts/new", "/first", "/api/v1/accounts"):
        client.post(path, data=form)
        client.post(path, json=form)

    assert session.scalars(select(Account)).all() == []


@pytest.mark.attack("AU-12")
def test_of_two_administrators_who_demote_each_other_one_stays(app: Flask, session: Session, admin: Account) -> None:
    with transaction(session):
        other = accounts.create(session, "zoe", PASSWORD, Role.ADMINISTRATOR)
    demotions = [(sign_in(app), other.id), (sign_in(app, "zoe"), admin.id)]

    def demote(client: FlaskClient, account_id: int) -> int:
        return client.post(f"/accounts/{account_id}", data={"role": "submitter", "active": "y"}).status_code

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(demote, *zip(*demotions, strict=True)))

    session.rollback()
    assert Role.ADMINISTRATOR in (admin.role, other.role)
