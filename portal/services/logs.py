"""What the tries of a run wrote while they ran: whole, and as a page shows it, of a size no program can blow up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from portal.domain import values
from portal.models import LogChunk, Run, Submission

STREAMS = ("stdout", "stderr")
LINES = 200
BYTES = 64_000
LONGEST_LINE = 2_000


@dataclass(frozen=True, order=True)
class Written:
    """One stream of one attempt of a run."""

    run_id: int
    attempt: int
    stream: str


@dataclass(frozen=True)
class Tail:
    """The end of a log as text. `part` says what of it is shown, and is empty where that is all."""

    text: str
    part: str = ""


def whole(session: Session, run: Run, stream: str, attempt: int | None = None) -> bytes:
    """All that an attempt of the run (its last, if none is named) wrote to 'stdout' or 'stderr' so far."""
    written = Written(run.id, attempt or run.attempt, stream)
    return b"".join(session.scalars(select(LogChunk.data).where(*_of(written)).order_by(LogChunk.start)))


def last_lines(session: Session, run: Run, stream: str, lines: int) -> str:
    """The end of what the run's last attempt wrote."""
    written = Written(run.id, run.attempt, stream)
    return tail(session, written, sizes(session, run.submission).get(written, 0), lines).text


def visible(line: str) -> str:
    """A line without characters that a page or a mail could take for anything but text."""
    return "".join(char if char.isprintable() or char == "\t" else f"\\x{ord(char):02x}" for char in line)


def sizes(session: Session, submission: Submission) -> Mapping[Written, int]:
    """How many bytes are kept of whatever the submission's runs wrote, in one look."""
    end = func.max(LogChunk.start + func.length(LogChunk.data))
    one = (LogChunk.run_id, LogChunk.attempt, LogChunk.stream)
    wanted = select(*one, end).where(LogChunk.run_id.in_([run.id for run in submission.runs])).group_by(*one)
    return {Written(run_id, attempt, stream): int(size) for run_id, attempt, stream, size in session.execute(wanted)}


def tail(session: Session, written: Written, size: int, lines: int = LINES) -> Tail:
    """The last lines of a log that has `size` bytes."""
    return shown(_last_bytes(session, written, size), size, lines)


def _last_bytes(session: Session, written: Written, size: int) -> bytes:
    """The end of a log, without reading the rest of it; with what was written meanwhile."""
    data = session.scalars(
        select(LogChunk.data)
        .where(*_of(written), LogChunk.start + func.length(LogChunk.data) > size - BYTES)
        .order_by(LogChunk.start)
    )
    return b"".join(data)[-BYTES:]


def _of(written: Written) -> tuple[ColumnElement[bool], ...]:
    one = (LogChunk.run_id, LogChunk.attempt, LogChunk.stream)
    return tuple(column == value for column, value in zip(one, astuple(written), strict=True))


def shown(data: bytes, size: int, lines: int = LINES) -> Tail:
    """The last lines of `data`, the end of a log of `size` bytes: as a terminal would show them, noise made visible."""
    whole = data if len(data) >= size else _from_a_character_on(data)
    found = whole.decode("utf-8", "backslashreplace").removesuffix("\n").split("\n")
    kept = [_line(line) for line in found[-lines:]]
    if len(data) >= size and len(kept) == len(found):
        return Tail("\n".join(kept))
    return Tail("\n".join(kept), _part(kept, size))


def _from_a_character_on(data: bytes) -> bytes:
    """Without the rest of a character that was cut: UTF-8 goes on with bytes of 10xxxxxx."""
    return data[:3].lstrip(bytes(range(0x80, 0xC0))) + data[3:]


def _line(line: str) -> str:
    """What a carriage return writes over is gone; of a line without end its end is shown."""
    last = next((part for part in reversed(line.split("\r")) if part), "")
    return ("…" if len(last) > LONGEST_LINE else "") + visible(last[-LONGEST_LINE:])


def _part(kept: Sequence[str], size: int) -> str:
    of_all = f"of {values.size(size)}"
    return f"the last {len(kept)} lines {of_all}" if len(kept) > 1 else f"the end {of_all}"
