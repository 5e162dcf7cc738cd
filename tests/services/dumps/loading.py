"""Samples of dumps, and short ways to load them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from portal.domain.drafts import TaskDraft
from portal.services import dumps, jobs, tasks
from portal.services.dumps import File, Group, Report
from portal.services.jobs import JobDraft

SAMPLES = Path(__file__).parent
BACKEND = """
- model: analytics_automated.queuetype
  pk: 1
  fields: {name: localhost, execution_behaviour: 1}
- model: analytics_automated.backend
  pk: 1
  fields: {name: local1, queue_type: 1, root_path: /tmp/}
"""


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def load(session: Session, *contents: str | bytes, **options: Any) -> Report:
    """Load what the files of this content hold."""
    files = [
        File(f"file{number}", content.encode() if isinstance(content, str) else content)
        for number, content in enumerate(contents, 1)
    ]
    return dumps.load(session, files, None, **options)


def row(model: str, pk: int, **fields: Any) -> str:
    """One row; the fields are written as they are given."""
    lines = "".join(f"    {name}: {value}\n" for name, value in fields.items())
    return f"- model: analytics_automated.{model}\n  pk: {pk}\n  fields:\n{lines}"


def task(pk: int, name: str, executable: str = "cat $I1", **fields: Any) -> str:
    usual = {"backend": 1, "name": name, "in_glob": ".txt", "out_glob": ".out", "stdout_glob": ".out"}
    return row("task", pk, **{**usual, "executable": executable, **fields})


def job(pk: int, name: str, *steps: int) -> str:
    """A job with a step for each of these tasks, one after another."""
    rows = (row("step", 100 * pk + at, job=pk, task=key, ordering=at) for at, key in enumerate(steps))
    return row("job", pk, name=name, runnable="true") + "".join(rows)


def lines(report: Report, group: Group) -> list[str]:
    return [f"{line.what}: {line.sentence}".removesuffix(": ") for line in report.of(group)]


def text(report: Report, group: Group) -> str:
    return "\n".join(lines(report, group))


def task_of(session: Session, name: str) -> TaskDraft:
    return tasks.draft_of(tasks.get(session, name).current)


def job_of(session: Session, name: str) -> JobDraft:
    return jobs.draft_of(jobs.get(session, name))
