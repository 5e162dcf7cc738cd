"""Backends, tasks and jobs from a file."""

from __future__ import annotations

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
