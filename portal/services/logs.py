"""What the tries of a run wrote while they ran: whole, and as a page shows it, of a size no program can blow up."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from portal.database import reading
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


def size_of(session: Session, run: Run, stream: str) -> int:
    """How many bytes the run's last attempt wrote to 'stdout' or 'stderr' so far."""
    end = func.max(LogChunk.start + func.length(LogChunk.data))
    return int(session.scalar(select(end).where(*_of(Written(run.id, run.attempt, stream)))) or 0)


class Log(io.RawIOBase):
    """A log of so many bytes as a file to read and seek in; each read is a short look at the database of its own."""

    def __init__(self, written: Written, size: int) -> None:
        self.written, self.size = written, size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fills as much of the buffer as one chunk has; 0 at the end, also at that of a log that is removed."""
        wanted = min(len(buffer), self.size - self._at)
        found = self._chunk() if wanted > 0 else b""
        data = found[:wanted]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _chunk(self) -> bytes:
        """The rest of the chunk that has the byte at our place."""
        last = (
            select(LogChunk.start, LogChunk.data)
            .where(*_of(self.written), LogChunk.start <= self._at)
            .order_by(LogChunk.start.desc())
            .limit(1)
        )
        with reading() as session:
            found = session.execute(last).first()
        return found.data[self._at - found.start :] if found else b""


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
