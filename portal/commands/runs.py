"""flask stop, delete, resume: what may be done to runs, for whoever has the machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
from sqlalchemy.orm import Session

from portal.commands.presence import in_portal
from portal.database import reading, transaction
from portal.domain.errors import NotFound, PortalError
from portal.services import keeping, progress, resuming, submissions


class Unknown(click.ClickException):
    """Something that was named is not there; nothing was done."""

    exit_code = 2


@click.command()
@click.argument("uuids", nargs=-1, required=True, metavar="UUID...")
@in_portal
def stop(uuids: tuple[str, ...]) -> None:
    """End the runs of these UUIDs; a batch's UUID means all of its runs."""
    for uuid in _named(uuids):
        with transaction() as session:
            submission = submissions.get(session, uuid)
            over = submission.state.final
            progress.stop(session, submission)
        click.echo(f"{uuid} had ended already." if over else f"{uuid} is asked to stop.")


@click.command()
@click.argument("uuids", nargs=-1, required=True, metavar="UUID...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@in_portal
def delete(uuids: tuple[str, ...], yes: bool) -> None:
    """Stop the runs of these UUIDs and remove them, results and logs included; a batch's UUID means all of its runs."""
    wanted = _named(uuids)
    how_many = "1 run" if len(wanted) == 1 else f"{len(wanted)} runs"
    if not yes:
        click.confirm(f"Delete {how_many} with all results and logs? This cannot be undone.", abort=True)
    for uuid in wanted:
        with transaction() as session:
            keeping.delete(session, submissions.get(session, uuid))
        click.echo(f"{uuid} is being deleted.")


@click.command()
@click.argument("uuid")
@click.option("--step", help="The number of the stage to begin with, or a step's UUID; else what failed first.")
@click.option("--current", is_flag=True, help="With the tasks as they are now.")
@in_portal
def resume(uuid: str, step: str | None, current: bool) -> None:
    """Run a failed or stopped run again, in its owner's name; what is complete before the step is taken over."""
    chosen = int(step) if step and step.isdecimal() else step
    try:
        with reading() as session:
            source = submissions.get(session, uuid)
            order = resuming.Resumption(uuid, source.batch.account, chosen, current, source.batch.address)
            made = resuming.resume(session, order)
            click.echo(f"{made.uuid} goes on with {uuid}.")
    except NotFound as refusal:
        raise Unknown(f"{uuid}: {refusal}") from None
    except PortalError as refusal:
        raise click.ClickException(str(refusal)) from None


def _named(uuids: Sequence[str]) -> list[str]:
    """The submissions of these UUIDs, once each. Raises Unknown, before anything is done to any."""
    with reading() as session:
        return list(dict.fromkeys(each for uuid in uuids for each in _submissions_of(session, uuid)))


def _submissions_of(session: Session, uuid: str) -> Iterator[str]:
    try:
        yield submissions.get(session, uuid).uuid
    except NotFound:
        yield from _of_batch(session, uuid)


def _of_batch(session: Session, uuid: str) -> list[str]:
    try:
        return [each.uuid for each in submissions.batch(session, uuid).submissions]
    except NotFound:
        raise Unknown(f"There is no run or batch {uuid}.") from None
