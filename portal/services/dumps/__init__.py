"""The first system's configuration dumps: read safely, planned, made in one transaction, and told in a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from sqlalchemy.orm import Session

from portal.domain.errors import Invalid
from portal.models import Account
from portal.services import audit, configuration, jobs
from portal.services.dumps.applying import Applying
from portal.services.dumps.planning import plan
from portal.services.dumps.report import Group, Line, Report
from portal.services.dumps.rows import LARGEST, Row, decoded, is_dump, rows_of
from portal.services.dumps.writing import Dump, dump

__all__ = ["LARGEST", "Dump", "File", "Group", "Line", "Report", "dump", "load"]


@dataclass(frozen=True)
class File:
    """A file to import: what it is called, its bytes, and the folder beside it, if it may name other files there."""

    name: str
    content: bytes
    folder: Path | None = None


def load(
    session: Session, files: Sequence[File], author: Account | None, replace: bool = False, dry_run: bool = False
) -> Report:
    """Import files, dumps and configurations of our own: all of them, or nothing. A dry run writes nothing."""
    report = Report()
    with jobs.changing(session) as writing:
        audit.record(writing, "imported", "file", ", ".join(file.name for file in files), replace=replace)
        _load(writing, files, author, report, replace)
        if dry_run or report.refused:
            writing.rollback()
    return report


def _load(session: Session, files: Sequence[File], author: Account | None, report: Report, replace: bool) -> None:
    dumped: list[list[Row]] = []
    for file in files:
        try:
            text = decoded(file.content, file.name)
            if is_dump(text):
                dumped.append(rows_of(text, file.name))
            else:
                _load_own(session, file, text, author, report)
        except Invalid as wrong:
            report.refuse(file.name, str(wrong))
    applying = Applying(session, report, author, replace)
    for rows in [list(chain(*dumped))] if _one_system(dumped) else dumped:
        planned = plan(rows, report)
        if not report.refused:
            applying.apply(planned)


def _one_system(dumped: Sequence[Sequence[Row]]) -> bool:
    """Whether the files can be parts of one dump, whose rows point to each other: no number means two things."""
    known: dict[tuple[str, str | None], tuple[int, Row]] = {}
    for part, rows in enumerate(dumped):
        for row in rows:
            first_part, first = known.setdefault((row.model, row.pk), (part, row))
            if row.pk is not None and first_part != part and first != row:
                return False
    return True


def _load_own(session: Session, file: File, text: str, author: Account | None, report: Report) -> None:
    document = configuration.document_of(text, file.name)
    loaded = configuration.load_document(session, document, file.folder, author)
    for kind, names in (("backend", loaded.backends), ("task", loaded.tasks), ("job", loaded.jobs)):
        for name in names:
            report.made(kind, name)
    for kind in ("backends", "tasks", "jobs"):
        for entry in document.get(kind, []):
            if entry["name"] not in getattr(loaded, kind):
                report.say(Group.KEPT, f"{kind.removesuffix('s')} {entry['name']}")
