"""Files that must last."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from portal import storage
from portal.domain.errors import NotFound


class Breaking(io.RawIOBase):
    """A stream whose sender goes away."""

    def read(self, size: int = -1) -> bytes:
        raise ConnectionResetError


def files(data: Path) -> list[str]:
    return sorted(str(path.relative_to(data / "files")) for path in (data / "files").rglob("*") if path.is_file())


def test_it_keeps_the_bytes_and_says_how_many_they_are(data: Path) -> None:
    content = bytes(range(256)) * 10_000

    blob = storage.put("uploads/a", io.BytesIO(content))

    assert (blob.size, blob.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    with storage.open_blob("uploads/a") as stream:
        assert stream.read() == content


def test_it_keeps_nothing_of_a_file_past_the_limit(data: Path) -> None:
    storage.put("a", io.BytesIO(b"12345"), limit=5)

    with pytest.raises(storage.TooLarge) as refusal:
        storage.put("b", io.BytesIO(b"123456"), limit=5)

    assert "larger than the 5 bytes" in refusal.value.fields["input_data"]
    assert files(data) == ["a"]


def test_it_keeps_nothing_of_a_stream_that_breaks_and_what_was_there_before(data: Path) -> None:
    storage.put("a", io.BytesIO(b"before"))

    with pytest.raises(ConnectionResetError):
        storage.put("a", Breaking())  # type: ignore[arg-type]

    assert files(data) == ["a"]
    assert storage.open_blob("a").read() == b"before"


def test_it_copies_and_deletes(data: Path, tmp_path: Path) -> None:
    storage.put("a", io.BytesIO(b"x"))

    storage.copy_to("a", tmp_path / "copy")
    storage.delete("a")
    storage.delete("a")

    assert (tmp_path / "copy").read_bytes() == b"x"
    with pytest.raises(NotFound):
        storage.open_blob("a")
    with pytest.raises(NotFound):
        storage.copy_to("a", tmp_path / "again")
