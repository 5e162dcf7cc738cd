"""Backends, tasks and jobs from a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.errors import Invalid
from portal.services import configuration, jobs, tasks

ENTRY = """
backends:
  - {name: b, runner: local, queue: b, languages: [command]}
tasks:
  - {name: t, language: %s, backend: b, code: "true"}
jobs:
  - {name: j, steps: [{order: 1, task: t}]}
"""


def load(session: Session, file: Path) -> configuration.Loaded:
    with transaction(session):
        return configuration.load(session, file, None)


def test_it_loads_the_examples_once(session: Session, examples: configuration.Loaded) -> None:
    with transaction(session):
        again = configuration.load_examples(session, None)

    assert "penguins" in examples.jobs
    assert {step.task.name for step in jobs.get(session, "penguins").current.steps} <= set(examples.tasks)
    assert again == configuration.Loaded()
    assert all(len(task.revisions) == 1 for task in tasks.every(session))


def test_it_leaves_what_exists_by_name(session: Session, tmp_path: Path) -> None:
    file = tmp_path / "portal.yaml"
    file.write_text(ENTRY % "command")
    load(session, file)
    file.write_text((ENTRY % "command").replace('"true"', "changed"))

    assert load(session, file) == configuration.Loaded()
    assert tasks.get(session, "t").current.code == "true"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (ENTRY % "cobol", "tasks, t: Choose one of the installed languages."),
        ((ENTRY % "command").replace("task: t", "task: nothing"), "jobs, j: Choose one of the tasks."),
        ((ENTRY % "command").replace("runner: local", "runner: moon"), "backends, b: "),
        ((ENTRY % "command").replace("queue: b, ", ""), "backends, b: "),
        ((ENTRY % "command").replace("code:", "codes:"), "tasks, t: "),
    ],
)
def test_it_names_the_entry_that_is_wrong_and_loads_nothing(
    session: Session, tmp_path: Path, text: str, named: str
) -> None:
    file = tmp_path / "portal.yaml"
    file.write_text(text)

    with pytest.raises(Invalid) as refusal:
        load(session, file)

    assert refusal.value.fields["file"].startswith(named)
    assert (tasks.every(session), jobs.every(session)) == ([], [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tasks: [", "cannot be read as YAML"),
        ("", "must hold backends, tasks, jobs"),
        ("- tasks", "must hold backends, tasks, jobs"),
        ("tasks:", "tasks must be a list of entries"),
        ("tasks: [{language: python}]", "each with a name"),
        ("tasks: [{name: t, language: python, backend: b, code_file: gone.py}]", "tasks, t: "),
        ("tasks: [{name: t, langage: python, backend: b, code: x}]", "tasks, t: there is no field 'langage'"),
        ("tasks: [{name: t, language: p, backend: b, code: x, parameters: [{name: a, type: odd}]}]", "tasks, t: 'odd'"),
        ("jobs: [{name: j}]", "jobs, j: steps is missing."),
    ],
)
def test_it_says_what_is_wrong_with_a_file(session: Session, tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)

    with transaction(session), pytest.raises(Invalid, match=re.escape(words)):
        configuration.load(session, file, None)
