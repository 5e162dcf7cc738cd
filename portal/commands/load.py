"""flask load: backends, tasks and jobs from files of our own format."""

from __future__ import annotations

from pathlib import Path

import click
from flask.cli import with_appcontext

from portal.database import transaction
from portal.domain.errors import Invalid
from portal.services import configuration


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@with_appcontext
def load(files: tuple[Path, ...]) -> None:
    """Make the backends, tasks and jobs of FILES that are not there yet; all of them, or none."""
    try:
        with transaction() as session:
            for file in files:
                click.echo(_told(configuration.load(session, file, None)))
    except Invalid as refusal:
        raise click.ClickException(str(refusal)) from None


def _told(loaded: configuration.Loaded) -> str:
    made = [*loaded.backends, *loaded.tasks, *loaded.jobs]
    return f"Made: {', '.join(made)}." if made else "Everything in it was there already."
