"""flask load: the first system's dumps, and files of our own format, with a report of all that becomes of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from portal.commands.presence import in_portal
from portal.database import reading
from portal.services import dumps
from portal.services.dumps import Group, Report


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--replace", is_flag=True, help="Replace what is there under the same name, by a new revision.")
@in_portal
def load(files: tuple[Path, ...], dry_run: bool, replace: bool) -> None:
    """Make the backends, tasks and jobs of FILES, dumps of the first system or our own YAML; all, or none."""
    given = [dumps.File(file.name, _content(file), file.parent) for file in files]
    with reading() as session:
        report = dumps.load(session, given, None, replace, dry_run)
    for line in _told(report, dry_run):
        click.echo(line.encode("utf-8", "replace").decode("utf-8"))
    if report.refused:
        raise click.exceptions.Exit(1)


def _content(file: Path) -> bytes:
    """No more of a file than tells that it is too large."""
    try:
        with file.open("rb") as stream:
            return stream.read(dumps.LARGEST + 1)
    except OSError as wrong:
        raise click.ClickException(f"{file.name} cannot be read: {wrong.strerror}.") from None


def _told(report: Report, dry_run: bool) -> Iterator[str]:
    for group in Group:
        if lines := report.of(group):
            yield f"{group} ({report.number(group)}):"
            yield from (f"  {line.what}{': ' if line.sentence else ''}{line.sentence}" for line in lines)
    yield _summary(report, dry_run)


def _summary(report: Report, dry_run: bool) -> str:
    if report.refused:
        return "Nothing was imported: put right first what is refused."
    made = report.made_in_words or "nothing new"
    return f"A dry run, nothing was written. It would make: {made}." if dry_run else f"Made: {made}."
