"""What a program leaves behind, without what is never the same: to compare one way of starting it with another."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from portal.services import logs, results
from tests.making import submitted

OWN = re.compile(r"Rtmp\w{6}|usage +\d+|0x[0-9a-f]+|pipe:\[\d+\]")


@dataclass(frozen=True)
class Told:
    exit_status: int | None
    words: tuple[str, ...]


Twice = Callable[..., tuple[Told, Told]]


def left(session: Session, work: Callable[[], None]) -> Told:
    """What the one step of the job "job" leaves: how it ended, its reason, its log and its files."""
    submission = submitted(session, "job")
    work()
    session.expire_all()
    [run] = submission.runs
    files = {each.name: results.open_file(each) for each in submission.results}
    streams = [logs.whole(session, run, stream).decode(errors="replace") for stream in ("stdout", "stderr")]
    words = [run.reason, *streams, *(f"{name}: {file.read().decode()}" for name, file in files.items())]
    return Told(run.exit_status, tuple(_of_any_run(each, submission.uuid, run.uuid) for each in words))


def _of_any_run(text: str, *identities: str) -> str:
    for each in identities:
        text = text.replace(each, "<uuid>")
    return OWN.sub("<own>", text)
