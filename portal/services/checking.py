"""Checking what is sent by the validators of its jobs.

A large file keeps its request's thread for minutes: only a few are checked at one time, and who comes later is asked to
come again, so that a thread is left for everybody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import BoundedSemaphore

from portal import storage, validators
from portal.domain.errors import Invalid, Unavailable
from portal.models import Job

MOST_AT_ONCE = 3  # of a process's threads; the others go on to answer
SMALL = 1_000_000  # bytes, which are read in a moment

_places = BoundedSemaphore(MOST_AT_ONCE)


def check(chosen: Sequence[Job], files: Mapping[str, storage.Blob]) -> None:
    """Let the validators of the jobs read what was sent, by field. Raises Invalid, or Unavailable."""
    entries = dict.fromkeys(each for job in chosen for each in job.current.validators)
    wanted = [(each, field) for each in entries if (field := validators.entry(each).field) in files]
    with _place(sum(files[field].size for _, field in wanted)):
        for each, field in wanted:
            _read(each, field, files[field])


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


def _read(entry: str, field: str, blob: storage.Blob) -> None:
    with storage.open_blob(blob.key) as stream:
        refusal = validators.check(entry, stream)
    if refusal and field:
        raise Invalid(**{field: f"{field}: this file could not be validated: {refusal}"})
    if refusal:
        raise Invalid(input_data=f"Input data could not be validated: {refusal}")
