"""flask dump: every backend, task and job as a file, for the first system or for another portal."""

from __future__ import annotations

import click

from portal.commands.presence import in_portal
from portal.database import reading
from portal.services import dumps, export


@click.command()
@click.option(
    "--format", "form", type=click.Choice(["django", "portal"]), default="django", help="Whose file it is to be."
)
@in_portal
def dump(form: str) -> None:
    """Write all backends, tasks and jobs: as the first system's loaddata takes them, or as `flask load` does.

    What the first system cannot say goes to standard error.
    """
    with reading() as session:
        if form == "portal":
            click.echo(export.text(session), nl=False)
            return
        found = dumps.dump(session)
    for note in found.notes:
        click.echo(f"Note: {note}", err=True)
    click.echo(found.text(), nl=False)
