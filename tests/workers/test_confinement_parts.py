"""The parts that hold a run: what can be told of each without starting one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.confinement import cgroups, places, seccomp, slots
from workers.installed import homes


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(slots, "DIRECTORY", str(tmp_path / "slots"))
    return tmp_path


def test_it_never_gives_one_slot_to_two_runs_at_one_time(directory: Path) -> None:
    first, lock = slots.take()
    second, other = slots.take()
    assert first != second

    os.close(lock)

    third, again = slots.take()
    assert third == first
    for each in (other, again):
        os.close(each)


def test_it_takes_no_slot_where_somebody_else_may_write(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "slots").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 12_345_678)

    with pytest.raises(PermissionError, match="belongs to somebody else"):
        slots.take()


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    for place in ("usr/bin", "usr/local/portal/var/runs", "usr/local/portal/code", "usr/local/lib"):
        (tmp_path / place).mkdir(parents=True)
    yield tmp_path / "usr"


def test_it_shows_all_of_a_directory_but_what_is_hidden_in_it(tree: Path) -> None:
    shown = list(places.without(str(tree), [f"{tree}/local/portal/var", "/elsewhere"]))

    assert shown == [f"{tree}/bin", f"{tree}/local/lib", f"{tree}/local/portal/code"]


@pytest.mark.parametrize("hidden", ["", "/local/.."])
def test_it_shows_nothing_of_what_is_hidden_itself(tree: Path, hidden: str) -> None:
    assert list(places.without(str(tree), [os.path.normpath(f"{tree}{hidden}")])) == []


def test_it_finds_the_first_directory_that_others_may_not_pass(tree: Path) -> None:
    for each in (*tree.parents, tree, tree / "local"):
        if os.access(each, os.W_OK) and each.is_relative_to(tree.parent):
            each.chmod(0o755)
    (tree / "local").chmod(0o750)

    assert str(places.first_closed(f"{tree}/local/portal/var")) in {str(tree / "local"), *map(str, tree.parents)}
    assert places.first_closed("/usr/bin/env") is None


def test_it_refuses_to_filter_the_calls_of_a_processor_that_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "MACHINES", {})

    with pytest.raises(seccomp.NotKnown, match="is not known"):
        seccomp.filter_for(walled=True, network=False, bounded=True)


def test_it_makes_a_filter_that_the_kernel_can_take() -> None:
    for walled in (True, False):
        for network in (True, False):
            program = seccomp.filter_for(walled, network, bounded=walled)
            assert len(program) % 8 == 0
            assert len(program) // 8 < 4096


def test_it_names_all_that_this_interpreter_lies_in() -> None:
    found = homes(sys.executable)

    assert any(Path(os.path.realpath(sys.executable)).is_relative_to(each) for each in found)
    assert any(Path(sys.executable).is_relative_to(each) for each in found)
    assert homes("no-such-program") == []


def test_it_shows_a_program_alone_where_it_lies_beside_other_things(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "tool").chmod(0o755)

    assert homes(str(tmp_path / "tool")) == [str(tmp_path / "tool")]


@pytest.mark.parametrize(("delegated", "found"), [("memory pids", True), ("cpu", False)])
def test_it_takes_cgroups_of_version_2_where_they_are_delegated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delegated: str, found: bool
) -> None:
    """No machine has both versions: a directory stands for the other one."""
    (tmp_path / "service").mkdir()
    (tmp_path / "cgroup.controllers").write_text("memory pids cpu")
    for place in (tmp_path, tmp_path / "service"):
        (place / "cgroup.subtree_control").write_text(delegated)
        (place / "cgroup.subtree_control").chmod(0o400)
    monkeypatch.setattr(cgroups, "ROOT", str(tmp_path))
    monkeypatch.setattr(cgroups, "_own", lambda: iter([("", "/service")]))
    monkeypatch.setattr(cgroups, "try_writing", lambda *_: None)

    if found:
        assert cgroups.find() == ("2", dict.fromkeys(cgroups.CONTROLLERS, str(tmp_path / "service")))
    else:
        with pytest.raises(OSError, match="not delegated"):
            cgroups.find()
