"""flask doctor: whether everything is there that the portal needs, and what to do about what is not."""

from __future__ import annotations

import smtplib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import click
import redis
from flask import current_app
from sqlalchemy import text

from portal.commands.presence import in_portal
from portal.database import reading
from portal.services import backends, confinement
from portal.settings import Settings

PATIENCE = 3


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `well` is False where something must be done."""

    what: str
    well: bool
    sentence: str


@click.command()
@in_portal
def doctor() -> None:
    """Look at the database, the broker, the workers with how they confine runs, and mail; status 1 if one is ill."""
    findings = [found for look in LOOKS for found in look(current_app.config["PORTAL"])]
    for found in findings:
        click.echo(f"{'well' if found.well else 'ILL ':4}  {found.what}: {found.sentence}")
    if not all(found.well for found in findings):
        raise click.exceptions.Exit(1)


def _database(chosen: Settings) -> Iterator[Finding]:
    with reading() as session:
        kind = session.get_bind().dialect.name
        revision = session.scalar(text("SELECT version_num FROM alembic_version"))
    yield Finding("database", True, f"{kind}, migrated to {revision}.")


def _broker(chosen: Settings) -> Iterator[Finding]:
    url = chosen.broker if chosen.broker_url else f"unix://{chosen.broker_socket}"
    try:
        client = redis.Redis.from_url(
            url.replace("redis+socket://", "unix://"), socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE
        )
        client.ping()
    except (redis.RedisError, OSError, ValueError) as failure:
        yield Finding("broker", False, f"it does not answer ({failure}): start the portal, or look at BROKER_URL.")
        return
    yield Finding("broker", True, "it answers.")


def _workers(chosen: Settings) -> Iterator[Finding]:
    with reading() as session:
        heard, hosts = backends.heard(session), confinement.hosts(session)
    if not heard:
        yield Finding("workers", False, "none has reported for 2 minutes: start one.")
        return
    yield Finding("workers", True, f"{len(heard)} have reported.")
    for host in hosts:
        yield _confinement(host, chosen)


def _confinement(host: confinement.Host, chosen: Settings) -> Finding:
    kept = f"; level {host.next} fails: {'; '.join(host.failed) or 'nothing was told'}" if host.next else ""
    anonymous = ""
    if host.level < chosen.portal_min_level_anonymous:
        anonymous = f" Runs without an account wait for level {chosen.portal_min_level_anonymous}."
    sentence = f"runs are confined at level {host.level}{kept}.{anonymous} {host.idle}".rstrip()
    return Finding(f"confinement on {host.name}", not (host.idle or anonymous or host.unconfined), sentence)


def _mail(chosen: Settings) -> Iterator[Finding]:
    if not chosen.mail_server:
        yield Finding("mail", True, "none is sent, as MAIL_SERVER is empty.")
        return
    try:
        with smtplib.SMTP(chosen.mail_server, chosen.mail_port, timeout=PATIENCE) as server:
            server.noop()
    except (OSError, smtplib.SMTPException) as failure:
        yield Finding("mail", False, f"the server does not answer ({failure}): look at MAIL_SERVER and MAIL_PORT.")
        return
    yield Finding("mail", True, f"{chosen.mail_server} answers.")


LOOKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (_database, _broker, _workers, _mail)
