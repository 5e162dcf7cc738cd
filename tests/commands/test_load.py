"""flask load and flask dump."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import Result
from flask import Flask
from sqlalchemy.orm import Session

from portal.services import tasks
from tests.services.dumps.loading import BACKEND, SAMPLES, job, row, task

OWN = """
backends: [{name: b, runner: local, queue: b, languages: [command]}]
tasks: [{name: own, language: command, backend: b, code_file: own.sh}]
"""


def said(app: Flask, *words: str | Path) -> Result:
    return app.test_cli_runner().invoke(args=[str(word) for word in words])


def test_it_loads_dumps_and_says_what_it_made(app: Flask, session: Session) -> None:
    result = said(app, "load", SAMPLES / "first.yaml")

    assert result.exit_code == 0
    assert "  task task1: `ls` is now `ls $P1`\n" in result.output
    assert result.output.endswith("Made: 3 queues, 3 backends, 5 tasks, 2 parameters, 1 variable, 2 jobs, 5 steps.\n")
    assert tasks.named(session, "psiblast seq")


def test_it_counts_what_it_made_and_skipped(app: Flask, tmp_path: Path) -> None:
    names = [f"step {number}" for number in range(16)]
    rows = "".join(task(number, name) for number, name in enumerate(names, 1))
    rows += "".join(f"- {{model: auth.permission, fields: {{codename: add_{n}}}}}\n" for n in range(54))
    rows += "- {model: auth.user, fields: {username: admin}}\n" + row("backenduser", 1, backend=1, password="hunter2")
    (tmp_path / "a.yaml").write_text(BACKEND + rows + job(1, "seven", *range(1, 8)) + job(2, "nine", *range(8, 17)))

    output = said(app, "load", tmp_path / "a.yaml").output

    for line in (
        "54 × auth.permission: ",
        "1 × auth.user: ",
        "1 × backenduser: ",
        "job seven: 7 steps.",
        "job nine: 9 steps.",
    ):
        assert f"  {line}" in output
    assert "Skipped (56):" in output
    assert output.endswith("Made: 1 queue, 1 backend, 16 tasks, 2 jobs, 16 steps.\n")


def test_it_writes_nothing_in_a_dry_run(app: Flask, session: Session) -> None:
    result = said(app, "load", "--dry-run", SAMPLES / "first.yaml")

    assert result.exit_code == 0
    assert "A dry run, nothing was written." in result.output
    assert tasks.every(session) == []


def test_it_fails_when_something_is_refused(app: Flask, session: Session, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(BACKEND.replace("local1", "other") + task(1, "t", "cat $I7"))

    result = said(app, "load", tmp_path / "bad.yaml", SAMPLES / "first.yaml")

    assert result.exit_code == 1
    assert "Refused (1):\n  task t: Line 1: $I7 stands for nothing here." in result.output
    assert result.output.endswith("Nothing was imported: put right first what is refused.\n")
    assert tasks.every(session) == []


def test_it_replaces_when_told_to(app: Flask, session: Session, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(BACKEND + task(1, "t"))
    said(app, "load", file)
    file.write_text(BACKEND + task(1, "t", "sort $I1"))

    assert said(app, "load", file).exit_code == 1
    assert said(app, "load", "--replace", file).exit_code == 0
    assert tasks.get(session, "t").current.code == "sort $I1"


def test_it_loads_a_configuration_of_our_own_with_the_files_beside_it(
    app: Flask, session: Session, tmp_path: Path
) -> None:
    (tmp_path / "own.yaml").write_text(OWN)
    (tmp_path / "own.sh").write_text("date\n")

    result = said(app, "load", tmp_path / "own.yaml")

    assert result.output.endswith("Made: 1 backend, 1 task.\n")
    assert tasks.get(session, "own").current.code == "date\n"
    assert "There already (2):" in said(app, "load", tmp_path / "own.yaml").output


def test_it_dumps_what_loads_again(app: Flask, tmp_path: Path) -> None:
    said(app, "load", SAMPLES / "current.yaml")

    result = said(app, "dump", "--format", "django")

    assert result.exit_code == 0
    (tmp_path / "dump.yaml").write_text(result.stdout)
    models = {each["model"] for each in yaml.safe_load(result.stdout)}
    assert {"analytics_automated.job", "analytics_automated.parameter", "analytics_automated.step"} <= models
    assert said(app, "load", tmp_path / "dump.yaml").output.endswith("Made: nothing new.\n")


@pytest.mark.parametrize("kind", ["tasks: ", "- "])
@pytest.mark.parametrize(
    "content",
    [
        b"!!bool maybe",
        b"!!timestamp x",
        b"!!int x",
        b"!!python/object/apply:os.system [date]",
        b"[" * 100_000,
        b"{a: " * 10_000,
        b"{? [a]: b}",
        b"\xff\xfe\x00",
        b"\xe9t\xe9",
        b"\x00",
        b"x" * 10_000_001,
        b"{<<: &a {" + b",".join(b"k%d: 1" % n for n in range(10_001)) + b"}}",
        b"[&a [x, x], &b [*a, *a, *a], &c [*b, *b, *b], &d [*c, *c, *c]]",
        b'[{name: "\\ud800"}]',
    ],
)
def test_it_refuses_a_hostile_file_with_one_sentence(
    app: Flask, session: Session, tmp_path: Path, kind: str, content: bytes
) -> None:
    (tmp_path / "bad.yaml").write_bytes(kind.encode() + content)

    result = said(app, "load", tmp_path / "bad.yaml")

    assert (result.exit_code, type(result.exception)) == (1, SystemExit)
    assert "Refused (1):\n  bad.yaml: " in result.output
    assert len(result.output.splitlines()) == 3 and len(result.output) < 600


@pytest.mark.parametrize("name", ["gone.yaml", "."])
def test_it_says_that_a_file_is_none(app: Flask, tmp_path: Path, name: str) -> None:
    result = said(app, "load", tmp_path / name)

    assert result.exit_code == 2
    assert "Traceback" not in result.output and str(tmp_path) in result.output
