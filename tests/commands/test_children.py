"""The children of `flask start`: what may fail is started again and again, what must not ends it all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from portal.commands import children
from portal.commands.children import Child, GaveUp
from tests.servers import eventually


@pytest.fixture
def ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A program that leaves a line in a file, and ends badly."""
    monkeypatch.setattr(children, "REST_SECONDS", 0.05)
    program = f"open({str(tmp_path / 'begun')!r}, 'a').write('x'); raise SystemExit(1)"
    return [sys.executable, "-I", "-S", "-c", program]


def begun(tmp_path: Path) -> int:
    file = tmp_path / "begun"
    return file.stat().st_size if file.exists() else 0


def mind(child: Child) -> None:
    if not child.alive():
        child.again()


def test_one_that_may_fail_is_never_given_up(ends_at_once: list[str], tmp_path: Path) -> None:
    child = Child("clock", ends_at_once, may_fail=True)
    child.start()

    eventually(lambda: mind(child) or begun(tmp_path) > 2 * children.MOST_QUICK_ENDS, pause=0.01)

    child.end()


def test_one_that_must_not_fail_is_given_up(ends_at_once: list[str]) -> None:
    child = Child("worker", ends_at_once)
    child.start()

    with pytest.raises(GaveUp, match="The worker does not stay up"):
        eventually(lambda: mind(child), pause=0.01)


def test_one_that_may_fail_rests_before_it_is_started_again(
    ends_at_once: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "REST_SECONDS", 600)
    child = Child("clock", ends_at_once, may_fail=True)
    child.start()
    eventually(lambda: not child.alive(), pause=0.01)

    child.again()

    assert not child.alive()
