"""Configurations and dumps from anybody: nothing in them is run, fetched or unfolded; all is made or nothing."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select, text
from werkzeug.test import TestResponse

from portal.database import reading, transaction
from portal.domain.errors import Invalid
from portal.models import Account, Task
from portal.services import configuration
from tests import servers
from tests.attacks.hostile import Site, site

__all__ = ["site"]

BACKEND = "backends: [{name: %s, runner: local, queue: q, languages: [command]}]\n"


def imported(site: Site, *texts: str | bytes, name: str = "x.yaml") -> TestResponse:
    """What the import page says of these files; imported for real where its dry run allows it."""
    files = [(io.BytesIO(each if isinstance(each, bytes) else each.encode()), name) for each in texts]
    answer = site.ask("POST", "/import", data={"files": files}, content_type="multipart/form-data")
    if answer.status_code != 200:
        return answer
    token = answer.get_data(as_text=True).partition('name="token" value="')[2].partition('"')[0]
    return site.ask("POST", "/import/now", data={"token": token})


def refused(site: Site, *texts: str | bytes, name: str = "x.yaml") -> str:
    """The page of a refusal, after which everything is as it was."""
    before = site.counts()
    answer = imported(site, *texts, name=name)
    assert answer.status_code in (400, 413, 422), answer.get_data(as_text=True)[-2000:]
    assert site.counts() == before
    return answer.get_data(as_text=True)


TAGS = [
    "!!python/object/apply:os.system ['touch {canary}']",
    "!!python/object/new:os.system ['touch {canary}']",
    "!!python/name:os.system",
    "!!python/module:subprocess",
    "!!python/object:builtins.eval {{}}",
    "!exec id",
    "!!python/object/apply:subprocess.check_output [[touch, {canary}]]",
    "!include /etc/passwd",
    "!ENV ${{HOME}}",
]


@pytest.mark.attack("YL-01")
@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize(
    "around", ["tasks: [{{name: {}}}]", "- {{model: a, pk: 1, fields: {{x: {}}}}}", "{}", "tasks: {}"]
)
def test_it_makes_nothing_that_a_tag_names(site: Site, tag: str, around: str) -> None:
    refused(site, around.format(tag.format(canary=site.canary)))


def bomb(kind: str, levels: int = 9) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]" if kind == "list" else "a0: &a0 {k: x}"]
    for n in range(1, levels):
        inside = ", ".join([f"*a{n - 1}"] * 9) if kind == "list" else ", ".join(f"k{i}: *a{n - 1}" for i in range(9))
        lines.append(f"a{n}: &a{n} " + (f"[{inside}]" if kind == "list" else f"{{{inside}}}"))
    return "\n".join(lines) + "\n"


@pytest.mark.attack("YL-02")
@pytest.mark.parametrize("kind", ["list", "mapping"])
@pytest.mark.parametrize("place", ["name", "code", "inputs", "variables", "parameters", "description", "limits"])
def test_it_unfolds_no_references(site: Site, kind: str, place: str) -> None:
    lines = bomb(kind).replace("\n", "\n  ")
    entry = f"- {{name: t, language: command, backend: here, {place}: &b {{{lines.replace(chr(10), ',')} z: *a8}}}}"

    refused(
        site, "tasks:\n" + entry, f"- model: analytics_automated.task\n  pk: 1\n  fields:\n    {place}:\n      {lines}"
    )


@pytest.mark.attack("YL-02")
def test_it_merges_no_mappings_without_end(site: Site) -> None:
    merges = "\n".join(f"  m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}" for n in range(1, 9))

    refused(site, f"tasks:\n- name: t\n  m0: &m0 {{a: 1, b: 2}}\n{merges}\n")


@pytest.mark.attack("YL-03")
@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "? " * 200_000,
        "tasks: " + "[" * 60 + "]" * 60,
        "{a: " * 5000,
        "- " * 100_000,
        "[" * 200_000,
        "&a " * 9000,
        '[{"model": ' * 5000,
        "- model: a\n  pk: 1\n  fields: {x: " + "[" * 100 + "]" * 100 + "}",
    ],
)
def test_it_reads_nothing_that_is_too_deep(site: Site, text: str) -> None:
    refused(site, text)


@pytest.mark.attack("YL-04")
@pytest.mark.parametrize(
    "text",
    [
        "&a [*a]",
        "tasks: &a [*a]",
        "tasks: [&a {name: *a}]",
        "tasks: []\ntasks: []",
        "backends: [{name: a, name: b}]",
        "tasks: [{name: a, retries: {most: 1, most: 2}}]",
        "- {model: a, pk: 1, pk: 2, fields: {}}",
        '[{"model": "a", "pk": 1, "fields": {"name": "x", "name": "y"}}]',
        '- {model: a, pk: 1, fields: {"a": 1, a: 2}}',
        "tasks:\n- name: a\n  'name': b",
        "? {a: 1}\n: 2",
        "{[a]: 1}",
        "tasks: [{? [x] : 1, name: a}]",
    ],
)
def test_it_takes_nothing_that_holds_itself_or_says_a_name_twice(site: Site, text: str) -> None:
    refused(site, text)


@pytest.mark.attack("YL-05")
@pytest.mark.parametrize(
    "word", ["no", "12:30:45", "014", "1_000", "2001-01-01", "1e3", ".inf", "~", "0x1F", "on", "NaN"]
)
@pytest.mark.parametrize("place", ["description", "code", "stdout"])
def test_it_takes_no_text_for_what_yaml_reads_otherwise(site: Site, word: str, place: str) -> None:
    name = site.name("told")
    entry = f"tasks: [{{name: {name}, language: command, backend: here, code: 'true', {place}: {word}}}]"

    answer = imported(site, entry if place != "code" else entry.replace("code: 'true', ", ""))

    with site.session() as session:
        made = session.scalar(select(Task).where(Task.name == name))
        kept = getattr(made.current, place) if made else None
    assert answer.status_code == 422 or kept in ("", word, f".{word}")


@pytest.mark.attack("YL-05")
@pytest.mark.parametrize("number", ["1" + ":1" * 2_000_000, "-1" + ":59" * 500_000, "9" * 5000, "0b" + "1" * 50_000])
def test_it_reckons_no_number_that_nobody_writes(site: Site, number: str) -> None:
    refused(site, f"tasks: [{{name: a, retries: {number}}}]", f"- {{model: a, pk: {number}, fields: {{}}}}")


@pytest.mark.attack("YL-06")
@pytest.mark.parametrize(
    "text",
    [
        "tasks: [{" + ", ".join(f"k{n}: 1" for n in range(600_000)) + "}]",
        "tasks:\n" + "- {name: a}\n" * 700_000,
        "[" + ",".join(['{"model":"a","pk":1,"fields":{}}'] * 250_000) + "]",
        "tasks:\n\t- name: x",
        "%YAML 9.9\n---\ntasks: []",
        "tasks: []\n---\ntasks: []",
        b"\xff\xfe\x00\xd8",
        b"tasks: [\xff]",
        "tasks: [\0]",
        "tasks: []\x1b",
        b"\x00" * 1000,
        "x" * 50_000_000,
        "<xml/>",
        "tasks: [{name: 'a\\ud800'}]",
        '[{"model": "analytics_automated.task", "pk": 1, "fields": {"name": "\\ud800"}}]',
        "tasks:\n" + "".join(f"- &a{n} {{name: a}}\n" for n in range(90_000)),
        "tasks: {}",
        "tasks: [1]",
        "nothing: []",
    ],
    ids=range(19),
)
def test_it_takes_no_file_of_another_kind_or_size(site: Site, text: str | bytes) -> None:
    refused(site, text)


FETCHED = [
    "$import: {address}",
    "$include: 'file:///etc/passwd'",
    "run: {address}",
    "$schemas: [{address}]",
    "$graph: [{address}]",
    "cwlVersion: v1.2\nclass: CommandLineTool\nrun: {address}",
    "tasks: {{$import: {address}}}",
    "tasks: [{{$import: {address}, name: a}}]",
    "tasks: [{{name: a, language: command, backend: here, code_file: {address}}}]",
    "tasks: [{{name: a, language: command, backend: here, code_file: /etc/passwd}}]",
    "<<: {address}",
    '<!DOCTYPE a [<!ENTITY x SYSTEM "{address}">]><a>&x;</a>',
    "tasks: [{{name: a, code: {{$include: /etc/passwd}}}}]",
]


@pytest.mark.attack("YL-07")
@pytest.mark.parametrize("text", FETCHED)
def test_it_fetches_nothing(site: Site, text: str) -> None:
    page = refused(site, text.format(address=f"http://127.0.0.1:{site.listener.port}/"))

    assert "root:x:0" not in page


@pytest.mark.attack("YL-07")
@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../secret", "link", "pipe", "sub/../../secret", ".", "/dev/zero", "a\\0b"]
)
def test_a_file_of_code_is_one_beside_its_configuration(tmp_path: Path, data: Path, path: str) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (tmp_path / "secret").write_text("the-secret-beside", "utf-8")
    (folder / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "pipe")
    own = BACKEND % "b" + f'tasks: [{{name: t, language: command, backend: b, code_file: "{path}"}}]'
    (folder / "own.yaml").write_text(own, "utf-8")

    with transaction() as session, pytest.raises(Invalid, match="code_file"):
        configuration.load(session, folder / "own.yaml", None)
    assert tasks_of(data) == 0


@pytest.mark.attack("YL-01", "YL-07")
def test_the_command_line_refuses_alike(tmp_path: Path, data: Path) -> None:
    for number, words in enumerate((*TAGS, *FETCHED)):
        (tmp_path / f"{number}.yaml").write_text(words.format(canary=tmp_path / "canary", address="http://x"), "utf-8")

    command = [sys.executable, "-m", "flask", "--app", "app", "load", *sorted(map(str, tmp_path.glob("*.yaml")))]
    settings = servers.environment({"PORTAL_DATA": str(data)})
    done = subprocess.run(command, cwd=servers.ROOT, env=settings, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "root:x:0" not in done.stdout
    assert not (tmp_path / "canary").exists()


@pytest.mark.attack("YL-09", "YL-10")
@pytest.mark.parametrize(
    "more",
    [
        "outputs: [../x]",
        "outputs: ['/etc/*']",
        "inputs: [../*]",
        "stdout: ../x",
        "stdout: /etc/cron.d/x",
        "outputs: ['**/*']",
        "variables: {LD_PRELOAD: /tmp/x.so}",
        "variables: {PATH: /tmp}",
        "limits: {memory_bytes: 1000000000000000000000000}",
        "limits: {wall_seconds: -1}",
        "limits: {wall_seconds: 0}",
        "network: true",
        "docker: x",
        "limits: {nonsense: 1}",
        "retries: {most: 1000000}",
        "retries: {wait_seconds: -5}",
        "wall_seconds: 1e15",
        "exit_statuses: [-1]",
        "exit_statuses: [256]",
    ],
)
def test_it_refuses_what_a_task_may_not_ask_for(site: Site, more: str) -> None:
    refused(site, f"tasks: [{{name: {site.name()}, language: command, backend: here, code: 'true', {more}}}]")


JOB = "jobs: [{{name: {name}, steps: [{steps}]}}]"
TASKS = "tasks: [{name: y1, language: command, backend: here, code: 'true'}, {name: y2, language: command, backend: here, code: 'true'}]\n"  # noqa: E501


@pytest.mark.attack("YL-11")
@pytest.mark.parametrize(
    "steps",
    [
        "{task: y1, name: a, needs: [b]}, {task: y2, name: b, needs: [a]}",
        "{task: y1, name: a, needs: [a]}",
        "{job: own}",
        ", ".join(["{task: y1}"] * 10_000),
        "{task: y1, order: 1000000000000000000000}",
        "{task: y1, order: -1}",
        "{task: nobody}",
        "{task: y1, needs: [zzz]}",
        "{task: y1, when: {parameter: x, is: [1]}}",
        "{task: y1, when: {file: '../x', exists: true}}",
    ],
    ids=range(10),
)
def test_it_refuses_steps_that_could_never_run(site: Site, steps: str) -> None:
    refused(site, TASKS + JOB.format(name="own", steps=steps))


@pytest.mark.attack("YL-13")
@pytest.mark.parametrize(
    "text",
    [
        "accounts: [{name: eve, role: administrator}]",
        "users: [{name: eve, password: x}]",
        "tasks: [{name: a, id: 1}]",
        "tasks: [{name: a, language: command, backend: here, code: 'true', owner_id: 1}]",
        "settings: {secret_key: x}",
        "tasks: [{name: a, language: command, backend: here, code: 'true', author: admin}]",
        "jobs: [{name: a, id: 1, steps: []}]",
        "backends: [{name: a, runner: local, queue: q, languages: [command], id: 1}]",
        "tokens: [{secret_hash: x}]",
    ],
)
def test_it_knows_no_field_that_gives_power(site: Site, text: str) -> None:
    refused(site, text)


@pytest.mark.attack("YL-13")
def test_the_accounts_of_a_dump_are_nobody(site: Site) -> None:
    rows = [
        {"model": "auth.user", "pk": 1, "fields": {"username": "eve", "password": "x", "is_superuser": True}},
        {"model": "analytics_automated.account", "pk": 1, "fields": {"name": "eve", "role": "administrator"}},
    ]

    imported(site, json.dumps(rows), name="x.json")

    with site.session() as session:
        assert sorted(session.scalars(select(Account.name))) == ["admin", "bob"]


def sixty(prefix: str, broken: int | None = None) -> str:
    code = {broken: "echo $I9"} if broken else {}
    lines = [
        f"- {{name: {prefix}{n}, language: command, backend: here, code: '{code.get(n, 'true')}'}}" for n in range(60)
    ]
    return "tasks:\n" + "\n".join(lines)


@pytest.mark.attack("YL-14")
def test_a_file_that_is_wrong_near_its_end_makes_nothing(site: Site) -> None:
    assert "half57" in refused(site, sixty("half", 57))


@pytest.mark.attack("YL-14")
def test_the_same_file_twice_changes_nothing(site: Site) -> None:
    """But that the trail has a line of each import."""
    assert imported(site, sixty("twice")).status_code == 200
    before = site.counts()

    assert imported(site, sixty("twice")).status_code == 200
    assert site.counts() == before | {"audit": before["audit"] + 1}


@pytest.mark.attack("YL-14")
def test_an_import_that_is_killed_has_made_all_or_nothing(tmp_path: Path, data: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(BACKEND % "here" + sixty("killed"), "utf-8")
    settings = servers.environment({"PORTAL_DATA": str(data)})

    for flushes in (2, 40):
        command = [sys.executable, "-c", KILLED, str(file), str(flushes)]
        done = subprocess.run(command, cwd=servers.ROOT, env=settings, check=False)

        assert done.returncode == -signal.SIGKILL
        assert tasks_of(data) == 0
    with transaction() as session:
        configuration.load(session, file, None)
    assert tasks_of(data) == 60


KILLED = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.orm import Session
from portal.database import transaction
from portal.services import configuration
left = [int(sys.argv[2])]
def count(*_):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
event.listen(Session, "after_flush_postexec", count)
with transaction() as session:
    configuration.load(session, Path(sys.argv[1]), None)
"""


def tasks_of(data: Path) -> int:
    with reading() as session:
        return len(session.scalars(select(Task.id)).all())


@pytest.mark.attack("YL-06")
@pytest.mark.parametrize(
    "rows",
    [
        [
            {"model": "analytics_automated.parameter", "pk": n, "fields": {"task": 1, "flag": "-a"}}
            for n in range(10_000)
        ],
        [{"model": "analytics_automated.task", "pk": n, "fields": {"name": "t", "backend": 1}} for n in range(10_000)],
        [
            {"model": "analytics_automated.step", "pk": n, "fields": {"job": 1, "task": 1, "ordering": n}}
            for n in range(10_000)
        ],
    ],
    ids=["parameters", "tasks", "steps"],
)
def test_it_refuses_a_dump_of_very_many_rows_soon(site: Site, rows: list[dict[str, object]]) -> None:
    tasks = "SELECT count(*) FROM task"
    with site.session() as session:
        before = session.scalar(text(tasks))

    imported(site, json.dumps(rows), name="x.json")

    with site.session() as session:
        assert session.scalar(text(tasks)) == before
