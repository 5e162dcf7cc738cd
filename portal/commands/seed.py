"""flask seed: a portal filled with a history that nobody made, to measure how it grows."""

from __future__ import annotations

import time

import click

from portal.commands.presence import in_portal
from portal.database import reading
from portal.domain.errors import PortalError
from portal.services import seeding


@click.command()
@click.argument("count", type=click.IntRange(100, 10_000_000))
@click.option("--yes", is_flag=True, help="Do not ask.")
@in_portal
def seed(count: int, yes: bool) -> None:
    """Fill an empty portal with COUNT submissions of five steps each. They are copies, whose files are not there."""
    if not yes:
        click.confirm("This portal is for measuring, and for nothing else?", abort=True)
    began = time.monotonic()
    try:
        with reading() as session:
            seeding.seed(session, count)
    except PortalError as refusal:
        raise click.ClickException(str(refusal)) from None
    click.echo(f"Made {count:,} submissions with {count * seeding.STEPS:,} runs in {time.monotonic() - began:.0f} s.")
