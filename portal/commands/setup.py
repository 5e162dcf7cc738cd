"""flask setup: the database at its newest migration; and, in an empty one, an administrator and the examples."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import flask_migrate
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy import func, make_url, select, text
from sqlalchemy.exc import SQLAlchemyError

from portal.database import engine, transaction
from portal.domain.errors import PortalError
from portal.domain.policy import Role
from portal.models import Account
from portal.services import accounts, audit, configuration
from portal.settings import Settings, WrongSetting

SETTING_UP = 5_316_009
MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


@click.command()
@with_appcontext
def setup() -> None:
    """Migrate the database; make the administrator and the examples if there is no account yet."""
    prepare(current_app.config["PORTAL"])


def prepare(chosen: Settings) -> None:
    """Make the database ready; where there was no account yet, say how to sign in as the new administrator."""
    chosen.signing_key()
    with _one_sentence(), _alone(chosen):
        _migrate()
        password = _first_start(chosen)
    if password and not chosen.portal_admin_password:
        name = chosen.portal_admin_name
        click.echo(f"Sign in as {name} with the password {password} (shown only now), and choose one of your own.")


@contextmanager
def _one_sentence() -> Iterator[None]:
    """For a database that does not answer, or is none."""
    try:
        yield
    except (SQLAlchemyError, OSError) as failure:
        reason = str(getattr(failure, "orig", failure)).strip().splitlines()[0]
        raise WrongSetting(f"The database does not answer ({reason}): look at DATABASE_URL.") from None


@contextmanager
def _alone(chosen: Settings) -> Iterator[None]:
    """Of several who set up one database at a time, the second finds what the first has made."""
    if make_url(chosen.database).get_backend_name() == "sqlite":
        with (chosen.portal_data / "setup.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        return
    with engine().connect() as connection:
        connection.execute(text("SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0"))
        connection.execute(select(func.pg_advisory_xact_lock(SETTING_UP)))
        yield


def _migrate() -> None:
    logging.getLogger("alembic").setLevel(logging.WARNING)
    flask_migrate.upgrade(str(MIGRATIONS))


def _first_start(chosen: Settings) -> str | None:
    """Where there is no account yet: make the administrator and the examples. Gives a password that was made up."""
    audit.act_in("flask setup")
    with transaction() as session:
        if session.scalar(select(Account.id).limit(1)):
            return None
        password = chosen.portal_admin_password or accounts.made_up()
        try:
            admin = accounts.create(
                session, chosen.portal_admin_name, password, Role.ADMINISTRATOR, chosen.portal_admin_email
            )
            admin.must_change = not chosen.portal_admin_password
        except PortalError as refusal:
            raise WrongSetting(f"PORTAL_ADMIN_NAME, PORTAL_ADMIN_PASSWORD: {refusal}") from None
        configuration.load_examples(session, admin)
    return password
