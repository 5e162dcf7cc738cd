"""flask account: accounts from the command line, for whoever has the machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import click
from sqlalchemy.orm import Session

from portal.commands.presence import in_portal
from portal.database import reading, transaction
from portal.domain.errors import PortalError
from portal.domain.policy import Role
from portal.models import Account
from portal.services import accounts, roster
from portal.services.roster import AccountDraft

ROLES = click.Choice([role.value for role in Role])


@click.group()
def account() -> None:
    """List accounts, make one, change a role, switch one off or on."""


@account.command("list")
@in_portal
def show_all() -> None:
    """Every account: name, role, and whether it is switched off."""
    with reading() as session:
        for each in roster.every(session):
            click.echo(f"{each.name}\t{each.role.value}" + ("" if each.active else "\toff"))


@account.command()
@click.argument("name")
@click.option("--role", type=ROLES, default=Role.SUBMITTER.value, show_default=True, help="What it may do.")
@click.option("--email", default="", help="Where a forgotten password is replaced, and its own letters go.")
@in_portal
def create(name: str, role: str, email: str) -> None:
    """Make the account NAME, and print its first password: it is shown only now, and asks for a new one."""
    click.echo(_done(lambda session: roster.add(session, None, AccountDraft(name, Role(role), email)).password))


@account.command("role")
@click.argument("name")
@click.argument("role", type=ROLES)
@in_portal
def give_role(name: str, role: str) -> None:
    """Give the account NAME another ROLE; its sessions end."""
    _change(name, lambda draft: replace(draft, role=Role(role)))
    click.echo(f"{name} is {role} now.")


@account.command()
@click.argument("name")
@in_portal
def off(name: str) -> None:
    """Switch the account NAME off: it cannot sign in, nor can its programs."""
    _change(name, lambda draft: replace(draft, active=False))
    click.echo(f"{name} is switched off.")


@account.command()
@click.argument("name")
@in_portal
def on(name: str) -> None:
    """Switch the account NAME on again."""
    _change(name, lambda draft: replace(draft, active=True))
    click.echo(f"{name} is switched on.")


def _change(name: str, new: Callable[[AccountDraft], AccountDraft]) -> None:
    def change(session: Session) -> str:
        found: Account = accounts.named(session, name)
        roster.change(session, None, found, new(AccountDraft.of(found)))
        return name

    _done(change)


def _done(what: Callable[[Session], str]) -> str:
    try:
        with transaction() as session:
            return what(session)
    except PortalError as refusal:
        raise click.ClickException(str(refusal)) from None
