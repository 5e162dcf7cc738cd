"""The directory of a run that is over, which a later step of its submission has."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from portal.domain.states import State
from portal.services import logs
from portal.settings import settings
from tests.making import make_job, make_task, submitted
from workers.handing_on import MOST_BYTES, hand_on

INNER = ("tmp", "identity")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """As a run leaves it."""
    space = tmp_path / "old"
    for directory in (space, space / "tmp", space / "tmp" / "identity"):
        directory.mkdir(0o700)
        (directory / "file").write_text("of the run before")
    (space / "link").symlink_to("/etc")
    return space


def test_it_is_empty_under_its_new_name(old: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"

    assert hand_on(str(old), str(new), INNER)

    assert sorted(str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*")) == [
        "new",
        "new/tmp",
        "new/tmp/identity",
    ]
    assert Path("/etc/passwd").exists()


def close(innermost: Path) -> None:
    innermost.chmod(0o500)


def open_to_others(innermost: Path) -> None:
    innermost.chmod(0o777)


def attach(innermost: Path) -> None:
    os.setxattr(innermost, "user.note", b"for the next one")


def add_a_directory(innermost: Path) -> None:
    (innermost / "more").mkdir()


def add_one_above(innermost: Path) -> None:
    (innermost.parent / "more").mkdir()


def replace_by_a_link(innermost: Path) -> None:
    (innermost / "file").unlink()
    innermost.rmdir()
    innermost.symlink_to("/etc")


def have_it_grow(innermost: Path) -> None:
    for number in range(MOST_BYTES // 20):
        (innermost / f"{number:020}").touch()


def remove_it(innermost: Path) -> None:
    (innermost / "file").unlink()
    innermost.rmdir()


@pytest.mark.parametrize(
    "change",
    [close, open_to_others, attach, add_a_directory, add_one_above, replace_by_a_link, have_it_grow, remove_it],
)
def test_one_that_is_not_as_it_was_made_is_left_to_be_removed(
    old: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    change(old / "tmp" / "identity")

    assert not hand_on(str(old), str(tmp_path / "new"), INNER)
    assert [each.name for each in tmp_path.iterdir()] == ["old"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_one_of_another_user_is_left_to_be_removed(old: Path, tmp_path: Path) -> None:
    os.chown(old / "tmp" / "identity", 65534, 65534)

    assert not hand_on(str(old), str(tmp_path / "new"), INNER)


def test_no_step_of_a_chain_finds_what_another_left(session: Session, work: Callable[[], None]) -> None:
    """Every other one leaves a directory that cannot be handed on."""
    look = "find .. ! -type d ! -name '*.in'; touch left ../left"
    for step in range(6):
        make_task(session, f"t{step}", "command", look if step % 2 else f"{look}; mkdir -m 500 more", inputs=(".in",))
    make_job(session, "chain", [(step + 1, f"t{step}") for step in range(6)])
    submission = submitted(session, "chain")

    work()

    session.expire_all()
    assert submission.state is State.COMPLETE
    assert [logs.last_lines(session, run, "stdout", 20) for run in submission.runs] == [""] * 6
    assert list(settings().runs_directory.iterdir()) == []
