"""flask password: a new password for an account, for whoever has lost theirs."""

from __future__ import annotations

import click

from portal.commands.presence import in_portal
from portal.database import transaction
from portal.domain.errors import PortalError
from portal.services import accounts, audit


@click.command()
@click.argument("name")
@click.password_option(help="Asked for when it is not given.")
@in_portal
def password(name: str, password: str) -> None:
    """Give the account NAME a new password; it ends all of its sessions and revokes its tokens."""
    try:
        with transaction() as session:
            accounts.change_password(session, accounts.named(session, name), password)
            audit.record(session, "made a new password for", "account", name, at_the="command line")
    except PortalError as refusal:
        raise click.ClickException(str(refusal)) from None
    click.echo(f"{name} has a new password.")
