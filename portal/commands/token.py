"""flask token: a token for an account, for whoever has the machine."""

from __future__ import annotations

import click

from portal.commands.presence import in_portal
from portal.database import transaction
from portal.domain.errors import PortalError
from portal.services import accounts, tokens


@click.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, required=True, help="read, run, edit or job:NAME; as often as needed."
)
@click.option("--label", default="made on the command line", show_default=True, help="What it is called on the page.")
@click.option("--days", type=int, help="How long it is good for; else until it is revoked.")
@in_portal
def token(name: str, scopes: tuple[str, ...], label: str, days: int | None) -> None:
    """Make a token for the account NAME, and print it: it is not shown again."""
    try:
        with transaction() as session:
            made = tokens.create(session, accounts.named(session, name), tokens.TokenDraft(label, scopes, days))
    except PortalError as refusal:
        raise click.ClickException(str(refusal)) from None
    click.echo(made.secret)
