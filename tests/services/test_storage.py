"""Files that must last."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import threading
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
    blob = storage.put("a", io.BytesIO(b"x"))

    storage.copy_to("a", tmp_path / "copy", blob.sha256)
    storage.delete("a")
    storage.delete("a")

    assert (tmp_path / "copy").read_bytes() == b"x"
    with pytest.raises(NotFound):
        storage.open_blob("a")
    with pytest.raises(NotFound):
        storage.copy_to("a", tmp_path / "again", blob.sha256)


def test_a_file_with_two_keys_stays_under_the_one_when_the_other_goes(data: Path) -> None:
    storage.put("runs/a/0/1", io.BytesIO(b"x"))

    storage.duplicate("runs/a/0/1", "runs/b/0/1")
    storage.delete("runs/a/0/1")

    assert storage.open_blob("runs/b/0/1").read() == b"x"
    assert files(data) == ["runs/b/0/1"]


def test_it_copies_where_another_file_system_can_give_no_second_name(data: Path) -> None:
    elsewhere = Path("/dev/shm") / f"portal-test-{os.getpid()}"  # noqa: S108 - another file system is what is asked for
    if not elsewhere.parent.is_dir() or elsewhere.parent.stat().st_dev == data.stat().st_dev:
        pytest.skip("there is one file system only")
    storage.put("uploads/a", io.BytesIO(b"x"))
    elsewhere.mkdir()
    try:
        (data / "files" / "elsewhere").symlink_to(elsewhere)
        storage.duplicate("uploads/a", "elsewhere/b")
        assert (elsewhere / "b").read_bytes() == b"x"
        assert [file.name for file in elsewhere.iterdir()] == ["b"]
    finally:
        shutil.rmtree(elsewhere)


def test_it_gives_no_second_key_to_a_file_that_is_gone(data: Path) -> None:
    with pytest.raises(NotFound):
        storage.duplicate("runs/a/0/1", "runs/b/0/1")

    assert not (data / "files" / "runs" / "b").exists()


def test_directories_go_with_their_last_file(data: Path) -> None:
    for key in ("runs/a/1/1", "runs/a/1/2", "uploads/a"):
        storage.put(key, io.BytesIO(b"x"))

    storage.delete("runs/a/1/1")
    assert (data / "files" / "runs" / "a" / "1").is_dir()
    storage.delete("runs/a/1/2")
    storage.delete("uploads/a")

    assert sorted(path.name for path in (data / "files").rglob("*")) == ["runs", "uploads"]


def test_it_lists_every_file_with_its_size_and_drafts_that_were_left_behind(data: Path) -> None:
    storage.put("uploads/a", io.BytesIO(b"12"))
    storage.put("runs/b/1/1", io.BytesIO(b"123"))
    (data / "files" / "uploads" / "c.0.part").write_bytes(b"1")
    (data / "files" / "runs" / "empty" / "1").mkdir(parents=True)

    found = list(storage.every())

    assert {file.key: file.size for file in found} == {"uploads/a": 2, "runs/b/1/1": 3, "uploads/c.0.part": 1}
    assert not (data / "files" / "runs" / "empty").exists()


def test_a_second_key_is_as_young_as_its_making_though_the_file_is_old(data: Path) -> None:
    storage.put("uploads/a", io.BytesIO(b"x"))
    os.utime(data / "files" / "uploads" / "a", (0, 0))

    storage.duplicate("uploads/a", "uploads/b")

    assert all(file.age < 3600 for file in storage.every())


def test_it_finds_nothing_where_nothing_was_ever_kept(data: Path) -> None:
    assert list(storage.every()) == []


def test_nothing_is_lost_when_empty_directories_are_removed_while_files_come(data: Path) -> None:
    over = threading.Event()

    def sweep_up() -> None:
        while not over.is_set():
            list(storage.every())

    sweeper = threading.Thread(target=sweep_up)
    sweeper.start()
    try:
        for number in range(60):
            storage.put(f"runs/{number}/1/1", io.BytesIO(b"x"))
            storage.duplicate(f"runs/{number}/1/1", f"runs/{number}/2/1")
            storage.delete(f"runs/{number}/1/1")
    finally:
        over.set()
        sweeper.join()

    assert len(files(data)) == 60


def test_it_lets_a_file_count_as_written_now(data: Path) -> None:
    storage.put("uploads/a", io.BytesIO(b"x"))
    os.utime(data / "files/uploads/a", (0, 0))

    storage.refresh("uploads/a")

    assert storage.age("uploads/a") < 60
    assert storage.age("uploads/gone") == 0
    with pytest.raises(NotFound):
        storage.refresh("uploads/gone")
