"""Attacks on the collector: what a program may leave where its results are looked for."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from portal import storage
from portal.domain.limits import Limits
from portal.domain.work import Placement, Work
from portal.services.progress import Claim, Found
from tests.conftest import forget_settings
from workers import beneath
from workers.celery_app import app as celery
from workers.workspace import Workspace

IDENTITY = "0d9f3a52-0000-4000-8000-000000000001"
OTHER = "elsewhere"
HOSTILE = "'\"><img src=x onerror=alert(1)>"
LIMITS = Limits(output_bytes=20_000_000, files=200)


@pytest.fixture(params=["by the kernel", "step by step"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the kernel's help, and as on a kernel that has never heard of it."""
    if request.param == "step by step":
        monkeypatch.setattr(beneath, "OPENAT2", 9999)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Workspace]]:
    """The directory of a run that has ended, and of which nothing is alive."""
    monkeypatch.setenv("PORTAL_DATA", str(tmp_path / "data"))
    forget_settings()
    (tmp_path / "data").mkdir()
    (tmp_path / OTHER).write_text("secret")

    def ended(limits: Limits = LIMITS, outputs: tuple[str, ...] = (".csv", ".txt")) -> Workspace:
        work = Work(IDENTITY, "t", "command", "true", Placement("here", "local"), outputs=outputs, limits=limits)
        workspace = Workspace.of(Claim(1, 1, str(uuid4()), 1, work.to_json()))
        workspace._make()
        workspace._write("launch.json", {"given": {}})
        return workspace

    yield ended
    forget_settings()


def told(workspace: Workspace) -> Path:
    """The output under the name that the task is told."""
    return workspace.directory / f"{IDENTITY}.csv"


def kept(found: Found) -> list[str]:
    return [each.name.removeprefix(IDENTITY) for each in found.kept]


def contents(found: Found) -> list[bytes]:
    return [storage.open_blob(each.blob.key).read() for each in found.kept]


def bind(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


LEFT: dict[str, Callable[[Path], None]] = {
    "link to a file": lambda path: path.symlink_to(path.parents[5] / OTHER),
    "link to the environment": lambda path: path.symlink_to("/proc/self/environ"),
    "link to an open file": lambda path: path.symlink_to("/proc/self/fd/0"),
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
    "link to a directory": lambda path: path.symlink_to("/etc"),
    "link to nothing": lambda path: path.symlink_to("/nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "second name of a file": lambda path: os.link(path.parents[5] / OTHER, path),
    "pipe": lambda path: os.mkfifo(path),
    "socket": bind,
    "directory": lambda path: path.mkdir(),
    "sparse file of 1 TB": lambda path: make_sparse(path, 10**12),
    "device": lambda path: os.mknod(path, 0o20666, os.makedev(1, 5)),
}


def make_sparse(path: Path, size: int) -> None:
    path.touch()
    os.truncate(path, size)


@pytest.mark.attack("RS-06")
@pytest.mark.parametrize("kind", LEFT)
@pytest.mark.parametrize("name", [f"{IDENTITY}.csv", "other.csv"])
def test_it_leaves_and_tells_what_is_no_plain_file_of_the_run(
    kind: str, name: str, run: Callable[..., Workspace]
) -> None:
    workspace = run()
    try:
        LEFT[kind](workspace.directory / name)
    except PermissionError:
        pytest.skip("this machine's user makes no device")
    (workspace.directory / "honest.txt").write_text("honest")

    found = workspace.collect()

    assert kept(found) == [".honest.txt"]
    assert [name in sentence or kind == "directory" for sentence in found.left or [name]] == [True]
    assert [*found.missing] == ([] if kind.startswith("sparse") else [".csv"])


@pytest.mark.attack("RS-06")
def test_it_copies_no_file_that_is_larger_than_the_disk(run: Callable[..., Workspace]) -> None:
    workspace = run(Limits())
    make_sparse(told(workspace), 10**13)

    assert kept(workspace.collect()) == []


@pytest.mark.attack("RS-06")
@pytest.mark.parametrize(
    "name", ["a\nb", "\udcff", "-rf", HOSTILE.replace("/", ""), "..", " ", "a\u202eb", "$(id)", "a\\b"]
)
def test_it_gives_a_file_with_an_odd_name_a_plain_one(name: str, run: Callable[..., Workspace]) -> None:
    workspace = run()
    (workspace.directory / f"{name}.csv").write_text("honest")

    found = workspace.collect()

    [public] = [each.name for each in found.kept]
    assert public.startswith(IDENTITY) and public.endswith(".csv")
    assert not set(public) & set("\n\\/<>\"'$()\u202e\udcff")
    assert contents(found) == [b"honest"]


@pytest.mark.attack("RS-06")
def test_it_copies_bytes_of_a_file_that_is_closed_or_tells_of_it(run: Callable[..., Workspace]) -> None:
    workspace = run()
    told(workspace).write_text("honest")
    told(workspace).chmod(0)

    found = workspace.collect()

    assert contents(found) == [b"honest"] if os.geteuid() == 0 else "closed to reading" in found.left[0]


@pytest.mark.attack("RS-06")
def test_it_copies_a_file_that_somebody_may_still_write_to(run: Callable[..., Workspace]) -> None:
    workspace = run()
    with told(workspace).open("w") as handed_on:
        handed_on.write("honest")
        handed_on.flush()
        found = workspace.collect()
        handed_on.write(" and more")

    assert contents(found) == [b"honest"]


@pytest.mark.attack("RS-06")
def test_it_keeps_what_nobody_writes_to_without_copying_it_and_as_the_portals_own(
    run: Callable[..., Workspace],
) -> None:
    workspace = run()
    told(workspace).write_text("honest")
    told(workspace).chmod(0o6777)

    [kept_one] = workspace.collect().kept

    with storage.open_blob(kept_one.blob.key) as stream:
        found = os.fstat(stream.fileno())
    assert found.st_ino == told(workspace).stat().st_ino
    assert (found.st_mode & 0o7133, found.st_uid) == (0, os.geteuid())
    workspace.tidy()
    assert storage.open_blob(kept_one.blob.key).read() == b"honest"


@pytest.mark.attack("RS-06")
def test_it_finds_the_same_files_again_that_a_lost_worker_had_kept_already(run: Callable[..., Workspace]) -> None:
    workspace = run()
    told(workspace).write_text("honest")
    os.link(told(workspace), workspace.directory / "second.txt")
    workspace.collect()
    next_one = Workspace(workspace.space, replace(workspace.claim, attempt=2))

    found = next_one.collect()

    assert (contents(found), found.left) == ([b"honest", b"honest"], ())


@pytest.mark.attack("RS-06")
def test_it_copies_what_lies_on_another_file_system(
    run: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = run()
    told(workspace).write_text("honest")

    def far_away(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", far_away)
    found = workspace.collect()

    assert contents(found) == [b"honest"]


@pytest.mark.attack("RS-06")
def test_it_finds_a_named_output_in_a_flood_of_files_and_tells_that_it_did_not_see_all(
    run: Callable[..., Workspace],
) -> None:
    workspace = run()
    for number in range(3000):
        (workspace.directory / f"flood{number}.txt").touch()
    told(workspace).write_text("honest")

    found = workspace.collect()

    assert kept(found)[0] == ".csv"
    assert len(found.kept) <= 200
    assert "more than 200 entries" in found.left[-1]


@pytest.mark.attack("RS-06")
def test_it_keeps_a_named_output_before_what_floods_an_earlier_ending(run: Callable[..., Workspace]) -> None:
    workspace = run(Limits(output_bytes=20_000_000, files=5))
    for number in range(5):
        (workspace.directory / f"flood{number}.csv").touch()
    (workspace.directory / f"{IDENTITY}.txt").write_text("honest")

    assert ".txt" in kept(workspace.collect())


@pytest.mark.attack("RS-06")
def test_it_copies_no_more_of_a_file_that_still_grows_than_it_found(run: Callable[..., Workspace]) -> None:
    workspace = run()
    begun, over = threading.Event(), threading.Event()

    def grow() -> None:
        with told(workspace).open("wb", buffering=0) as file:
            while not over.is_set():
                file.write(b"x" * 65536)
                if file.tell() > 5_000_000:
                    file.seek(5_000_000)
                    begun.set()

    writing = threading.Thread(target=grow)
    writing.start()
    begun.wait()
    try:
        found = workspace.collect()
    finally:
        over.set()
        writing.join()

    assert kept(found) == [".csv"]
    assert 5_000_000 < found.kept[0].blob.size <= 5_200_000


@pytest.mark.attack("RS-06")
def test_it_follows_no_file_that_grows_faster_than_it_is_copied(
    run: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = run()
    told(workspace).write_bytes(b"x" * 1000)
    put = storage.put

    def grown(key: str, stream: object, *more: object) -> storage.Blob:
        with told(workspace).open("ab") as file:
            file.write(b"y" * 30_000_000)
        return put(key, stream, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(storage, "put", grown)

    assert contents(workspace.collect()) == [b"x" * 1000]


@pytest.mark.attack("RS-06")
@pytest.mark.parametrize("depth", [30, 1500])
def test_it_bears_with_a_deep_tree_and_takes_it_away(depth: int, run: Callable[..., Workspace]) -> None:
    workspace = run()
    told(workspace).write_text("honest")
    os.link(told(workspace), workspace.directory / "second.csv")
    make_deep(workspace.directory, depth)

    found = workspace.collect()
    workspace.tidy()

    assert kept(found) == [".csv", ".second.csv"]
    assert not workspace.space.exists()


def make_deep(directory: Path, depth: int) -> None:
    here = os.open(directory, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        here, before = os.open("d", os.O_RDONLY, dir_fd=here), here
        os.close(before)
    os.close(os.open("deep.csv", os.O_CREAT, dir_fd=here))
    os.close(here)


@pytest.mark.attack("RS-06")
@pytest.mark.parametrize("which", ["directory", "temporary"])
def test_it_enters_no_directory_that_is_a_link(which: str, run: Callable[..., Workspace], tmp_path: Path) -> None:
    workspace = run()
    trap = tmp_path / "trap" / IDENTITY
    trap.mkdir(parents=True)
    (trap / f"{IDENTITY}.csv").write_text("secret")
    place = getattr(workspace, which)
    place.rename(tmp_path / "away")
    place.symlink_to(trap if which == "directory" else trap.parent)

    found = workspace.collect()

    assert kept(found) == []
    assert [*found.missing] == [".csv", ".txt"]


@pytest.mark.attack("RS-06")
@pytest.mark.parametrize("which", ["directory", "temporary"])
def test_it_shows_no_log_through_a_directory_that_is_a_link(
    which: str, run: Callable[..., Workspace], tmp_path: Path
) -> None:
    workspace = run()
    vars(workspace)["work"] = Work(IDENTITY, "t", "command", "true", Placement("here", "local"), stdout=".out")
    trap = tmp_path / "trap" / IDENTITY
    trap.mkdir(parents=True)
    (trap / f"{IDENTITY}.out").write_text("secret")
    place = getattr(workspace, which)
    place.rename(tmp_path / "away")
    place.symlink_to(trap if which == "directory" else trap.parent)

    assert workspace.written() == []


@pytest.mark.attack("RS-06")
@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "link/passwd", "a//b", ""])
def test_it_opens_nothing_outside(name: str, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    (inside / "a").mkdir(parents=True)
    (inside / "link").symlink_to("/etc")
    (tmp_path / "x").write_text("secret")

    with beneath.directory(inside) as directory, pytest.raises(OSError):
        os.close(beneath.opened(directory, name))


@pytest.mark.attack("BR-06")
def test_it_has_no_result_backend_that_a_failure_could_be_written_to() -> None:
    assert celery.conf.result_backend in (None, "disabled://")
    assert type(celery.backend).__name__ == "DisabledBackend"
    with pytest.raises(NotImplementedError):
        celery.AsyncResult("x").get(timeout=1)
