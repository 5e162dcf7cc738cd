"""What runs may use, and may not, as their backend and their machine say; from their submission to their end."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from portal.domain.limits import Limits
from portal.domain.states import State
from portal.models import Run, Submission
from portal.settings import settings
from tests.levels import offered
from tests.making import make_backend
from workers.confinement import probes

Done = Callable[..., Submission]
confined = pytest.mark.parametrize("level", offered()[1:], indirect=True)
anywhere = pytest.mark.parametrize("level", offered(), indirect=True)


@pytest.fixture
def port() -> Iterator[int]:
    """Something listens there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def only(submission: Submission) -> Run:
    [run] = submission.runs
    return run


@confined
@pytest.mark.parametrize(("network", "state"), [(True, State.COMPLETE), (False, State.ERROR)])
def test_it_reaches_the_network_only_where_its_backend_grants_it(
    level: int, session: Session, done: Done, port: int, network: bool, state: State
) -> None:
    make_backend(session, network=network)

    submission = done("python", f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)")

    assert submission.state is state


@confined
def test_it_sees_more_of_a_directory_and_still_changes_nothing_in_it(level: int, session: Session, done: Done) -> None:
    """The network's settings lie where all runs see others."""
    make_backend(session, network=True, options={"readable": "/etc/shells"})
    looks = "cat /etc/shells /etc/hosts /etc/passwd && ls -d /usr /dev/null"
    writes = "touch /etc/left || mkdir /etc/ssl/left || mkdir /left || touch /dev/left || rm /etc/passwd"

    submission = done("command", f"{looks} && ! {{ {writes}; }}")

    assert submission.state is State.COMPLETE


@confined
@pytest.mark.parametrize(("named", "state"), [(True, State.COMPLETE), (False, State.ERROR)])
def test_it_reads_the_directories_that_its_backend_names_and_never_the_data(
    level: int, session: Session, done: Done, tmp_path_factory: pytest.TempPathFactory, named: bool, state: State
) -> None:
    tools = tmp_path_factory.mktemp("tools")
    (tools / "tool").write_text("#!/bin/sh\necho works > result.txt\n")
    for each in (tools, tools / "tool"):
        each.chmod(0o755)
    make_backend(session, options={"readable": f"{tools}:{settings().portal_data}"} if named else {})

    submission = done("command", f"{tools}/tool && ! cat {settings().portal_data}/portal.db", outputs=(".txt",))

    assert submission.state is state


@anywhere
def test_it_keeps_at_which_level_it_ran(level: int, done: Done) -> None:
    assert [each.level for each in only(done("command", "true")).attempts] == [level]


@anywhere
def test_it_ends_a_run_that_takes_too_much_memory_at_once(level: int, session: Session, done: Done) -> None:
    code = "kept = bytearray(b'x') * 300_000_000\nimport time; time.sleep(1)"

    submission = done("python", code, limits=Limits(memory_bytes=100_000_000))

    assert "its memory limit of 100" in only(submission).reason


@anywhere
def test_it_tells_a_signal_from_an_exit_status_that_looks_like_one(level: int, done: Done) -> None:
    assert only(done("python", "import sys; sys.exit(137)")).exit_status == 137


@anywhere
def test_it_finds_its_home_and_its_temporary_directory_where_it_always_did(level: int, done: Done) -> None:
    code = 'test "$PWD" = "$HOME" && test "$TMPDIR" = "$(dirname "$HOME")" && test $TMP = "$TMPDIR" && touch $TMP/x'

    assert done("command", code).state is State.COMPLETE


def test_it_takes_the_strictest_level_that_the_setting_lets_it(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for most in (1, 2):
        monkeypatch.setenv("PORTAL_LEVEL", str(most))
        settings.cache_clear()

        found = probes.found()

        assert found.level == max(each for each in offered() if each <= most)
        assert found.told()[str(most + 1)] == {"setting": f"PORTAL_LEVEL is {most}"}
