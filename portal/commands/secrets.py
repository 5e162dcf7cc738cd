"""flask secrets: new keys for what lies encrypted in the database."""

from __future__ import annotations

import click
from cryptography.fernet import Fernet

from portal.commands.presence import in_portal
from portal.database import transaction
from portal.domain.errors import PortalError
from portal.services import secrets as known


@click.group()
def secrets() -> None:
    """The keys of the secrets."""


@secrets.command()
def key() -> None:
    """Print a new key: put it first in PORTAL_SECRETS_KEY, with a comma before those that are there."""
    click.echo(Fernet.generate_key().decode())


@secrets.command()
@in_portal
def rotate() -> None:
    """Encrypt every secret anew, with the first key."""
    try:
        with transaction() as session:
            count = known.rotate(session)
    except PortalError as refusal:
        raise click.ClickException(str(refusal)) from None
    click.echo(f"Secrets that the first key encrypts now: {count}")
