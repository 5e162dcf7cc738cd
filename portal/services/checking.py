"""Checking what is sent by the validators of its jobs.

A large file keeps its request's thread for minutes: only a few are checked at one time, and who comes later is asked to
come again, so that a thread is left for everybody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore

from portal import storage, validators
from portal.domain.errors import Invalid, Unavailable
from portal.models import Job

MOST_AT_ONCE = 3  # of a process's threads; the others go on to answer
SMALL = 1_000_000  # bytes, which are read in a moment

_places = BoundedSemaphore(MOST_AT_ONCE)


@dataclass(frozen=True)
class Sent:
    """A file by its field; of several for the same field its name tells which one it is."""

    field: str
    name: str
    blob: storage.Blob


def check(chosen: Sequence[Job], files: Sequence[Sent]) -> None:
    """Let the validators of the jobs read what was sent. Raises Invalid, or Unavailable."""
    entries = dict.fromkeys(each for job in chosen for each in job.current.validators)
    fields = {each: validators.entry(each).field for each in entries}
    wanted = [(each, sent) for each in entries for sent in files if sent.field == fields[each]]
    with _place(sum(sent.blob.size for _, sent in wanted)):
        for each, sent in wanted:
            _read(each, sent)


@contextmanager
def _place(size: int) -> Iterator[None]:
    """One of the few places for what takes long to read."""
    if size <= SMALL:
        yield
        return
    if not _places.acquire(blocking=False):
        raise Unavailable("The portal is busy checking files: send it again in a minute.")
    try:
        yield
    finally:
        _places.release()


def _read(entry: str, sent: Sent) -> None:
    with storage.open_blob(sent.blob.key) as stream:
        refusal = validators.check(entry, stream)
    if refusal and sent.field:
        raise Invalid(**{sent.field: f"{sent.field}: this file could not be validated: {refusal}"})
    if refusal:
        which = f"{sent.name}: " if sent.name else ""
        raise Invalid(input_data=f"Input data could not be validated: {which}{refusal}")
