"""What the tries of a run wrote while they ran: whole, and as a page shows it, of a size no program can blow up."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, select
from sqlalchemy.orm import Session

from portal.database import reading
from portal.domain import values
from portal.models import LogChunk, Run, Submission

STREAMS = ("stdout", "stderr")
LINES = 200
BYTES = 64_000
BYTES_OF_ALL = 2_000_000
LONGEST_LINE = 2_000
ONE = (LogChunk.run_id, LogChunk.attempt, LogChunk.stream)
END = LogChunk.start + func.length(LogChunk.data)


@dataclass(frozen=True, order=True)
class Written:
    """One stream of one attempt of a run."""

    run_id: int
    attempt: int
    stream: str


@dataclass(frozen=True)
class Ending:
    """The last bytes of a log of `size` bytes."""

    data: bytes
    size: int

    def tail(self, lines: int = LINES) -> Tail:
        return shown(self.data, self.size, lines)


@dataclass(frozen=True)
class Tail:
    """The end of a log as text. `part` says what of it is shown, and is empty where that is all."""

    text: str
    part: str = ""


def whole(session: Session, run: Run, stream: str, attempt: int | None = None) -> bytes:
    """All that an attempt of the run (its last, if none is named) wrote to 'stdout' or 'stderr' so far."""
    written = Written(run.id, attempt or run.attempt, stream)
    return b"".join(session.scalars(select(LogChunk.data).where(*_of(written)).order_by(LogChunk.start)))


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
    ending = endings(session, run.submission).get(Written(run.id, run.attempt, stream))
    return ending.tail(lines).text if ending else ""


def visible(line: str) -> str:
    """A line without characters that a page or a mail could take for anything but text."""
    return "".join(char if char.isprintable() or char == "\t" else f"\\x{ord(char):02x}" for char in line)


def size(session: Session, written: Written) -> int:
    """How many bytes are kept of it so far."""
    return int(session.scalar(select(func.max(END)).where(*_of(written))) or 0)


def endings(session: Session, submission: Submission) -> Mapping[Written, Ending]:
    """The ends of all that the submission's runs wrote, in one look, without reading the rest of it.

    The more runs there are, the less of each, so that the whole is something that a page can show.
    """
    share = min(BYTES, BYTES_OF_ALL // max(1, len(submission.runs)))
    of_submission = Run.submission_id == submission.id
    sizes = select(*ONE, func.max(END).label("size")).join(Run, LogChunk.run_id == Run.id).where(of_submission)
    logs = sizes.group_by(*ONE).subquery()
    last = and_(*(column == logs.c[column.key] for column in ONE), logs.c.size - share < END)
    chunks = session.execute(select(*ONE, LogChunk.data, logs.c.size).join(logs, last).order_by(*ONE, LogChunk.start))
    return {
        Written(*one): _ending(list(found), share)
        for one, found in groupby(chunks, key=lambda row: (row.run_id, row.attempt, row.stream))
    }


def _ending(chunks: Sequence[Row[Any]], share: int) -> Ending:
    return Ending(b"".join(chunk.data for chunk in chunks)[-share:], int(chunks[0].size))


def _of(written: Written) -> tuple[ColumnElement[bool], ...]:
    return tuple(column == value for column, value in zip(ONE, astuple(written), strict=True))


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
