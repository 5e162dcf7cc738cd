"""What a run gave: its files, by unguessable public names, with previews."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePath
from typing import BinaryIO, cast

from sqlalchemy import select
from sqlalchemy.orm import Session, object_session

from portal import storage
from portal.domain.errors import NotFound
from portal.domain.names import file_for
from portal.models import Result, Run, Submission, Upload

LENGTH_OF_UUID = 36
PREVIEW_BYTES = 200_000
PREVIEW_ROWS = 200
PREVIEW_COLUMNS = 50
HIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
INPUT_NAME = re.compile(r"([0-9a-f-]{36})_input(_[0-9]+)?(\..*)?")

IMAGES = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
    ".bmp": "image/bmp",
}  # fmt: skip
TABLES = {".csv": ",", ".tsv": "\t"}
TYPES = IMAGES | {".csv": "text/csv", ".tsv": "text/tab-separated-values", ".pdf": "application/pdf"}
TEXTS = (".txt", ".log", ".stdout", ".stderr", ".md", ".report", ".fasta", ".fa", ".dat", ".out")


@dataclass(frozen=True)
class Stored:
    """A file that can be fetched by its public name. `media_type` is never one that a browser would run."""

    name: str
    key: str
    size: int
    sha256: str

    @property
    def suffix(self) -> str:
        return PurePath(self.name).suffix.lower()

    @property
    def media_type(self) -> str:
        usual = "text/plain" if self.suffix in TEXTS else "application/octet-stream"
        return TYPES.get(self.suffix, usual)

    @property
    def image(self) -> bool:
        return self.suffix in IMAGES


@dataclass(frozen=True)
class Preview:
    """The beginning of a file as a page can show it; `cut` tells that there is more."""

    kind: str
    header: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    text: str = ""
    cut: bool = False


def of_submission(submission: Submission) -> list[Result]:
    """The results in the contract's order: by step, then as the task names its outputs."""
    return [result for run in submission.runs for result in run.results]


def input_name(submission: Submission) -> str:
    """The public name of a submission's upload: nobody can guess it, whatever the client called the file."""
    first = select(Run.work["inputs"]).where(Run.submission_id == submission.id).order_by(Run.stage, Run.position)
    return named_input(submission, cast(Session, object_session(submission)).scalar(first.limit(1)))


def named_input(submission: Submission, inputs: Sequence[str] | None) -> str:
    """The same, where it is known what its first run takes."""
    return f"{submission.uuid}_input{file_for('', inputs[0]) if inputs else ''}"


def inputs(submission: Submission) -> list[tuple[str, Upload]]:
    """The files that were sent, with their public names: the job's input, then those of the parameters."""
    uploads = submission.uploads
    further = [(f"{submission.uuid}_input_{at}{each.ending}", each) for at, each in enumerate(uploads[1:], 2)]
    return [*((input_name(submission), each) for each in uploads[:1]), *further]


def owner_of(name: str) -> str:
    """The UUID of the submission that a public name is of: each begins with it."""
    return name[:LENGTH_OF_UUID]


def find(session: Session, name: str) -> Stored:
    """The kept file of this public name, a result or an input. Raises NotFound."""
    result = session.scalar(select(Result).where(Result.name == name))
    if result:
        return stored(result)
    if found := INPUT_NAME.fullmatch(name):
        return _input(session, found[1], name)
    raise NotFound("There is no such file, or not yet.")


def _input(session: Session, uuid: str, name: str) -> Stored:
    submission = session.scalar(select(Submission).where(Submission.uuid == uuid))
    upload = dict(inputs(submission)).get(name) if submission else None
    if upload is None:
        raise NotFound("There is no such file, or not yet.")
    return Stored(name, upload.key, upload.size, upload.sha256)


def stored(result: Result) -> Stored:
    return Stored(result.name, result.key, result.size, result.sha256)


def open_file(stored: Stored) -> BinaryIO:
    return storage.open_blob(stored.key)


def preview(stored: Stored, stream: BinaryIO) -> Preview:
    """The beginning of the file as a table, text, JSON or image, as far as its content allows."""
    if stored.image:
        return Preview("image")
    head = stream.read(PREVIEW_BYTES)
    cut = stored.size > len(head)
    text = _text(head, cut)
    if text is None:
        return Preview("none")
    if stored.suffix in TABLES:
        return _table(text, TABLES[stored.suffix], cut)
    return _json(text, cut) if stored.suffix == ".json" else Preview("text", text=_visible(text), cut=cut)


def _visible(text: str) -> str:
    """Without characters that turn a line round, or that a terminal takes for more than text."""
    return HIDDEN.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _text(head: bytes, cut: bool) -> str | None:
    if b"\0" in head:
        return None
    try:
        return head.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        at_the_cut = cut and wrong.start >= len(head) - 4
        return head[: wrong.start].decode("utf-8-sig") if at_the_cut else None


def _table(text: str, delimiter: str, cut: bool) -> Preview:
    whole_lines = text[: text.rfind("\n") + 1] if cut else text
    try:
        rows = list(islice(csv.reader(io.StringIO(whole_lines), delimiter=delimiter), PREVIEW_ROWS + 2))
    except csv.Error:
        return Preview("text", text=_visible(text), cut=cut)
    shown = [[_visible(cell) for cell in row[:PREVIEW_COLUMNS]] for row in rows]
    wide = any(len(row) > PREVIEW_COLUMNS for row in rows)
    more = cut or wide or len(rows) > PREVIEW_ROWS + 1
    return Preview("table", header=shown[0] if shown else [], rows=shown[1 : PREVIEW_ROWS + 1], cut=more)


def _json(text: str, cut: bool) -> Preview:
    if not cut:
        try:
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False).encode().decode()
        except (ValueError, RecursionError):
            return Preview("text", text=_visible(text))
    return Preview("json", text=_visible(text), cut=cut)
