"""`make run`'s command: one process with its children, clear refusals, and a second start that finds everything."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from portal.commands.start import _bundled_broker
from tests.examples.running import PENGUINS
from tests.real.rest import Client
from tests.servers import (
    ADMIN_PASSWORD,
    ROOT,
    Portal,
    environment,
    eventually,
    flask,
    portal_in_one,
    settings_for,
)

pytestmark = pytest.mark.real


def start(settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Start a portal that should refuse to."""
    command = [sys.executable, "-m", "flask", "--app", "app", "start"]
    return subprocess.run(
        command, cwd=ROOT, env=environment(settings), capture_output=True, text=True, timeout=60, check=False
    )


def descendants(pid: int) -> set[int]:
    """The process and all below it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    sentences = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(sentences) == 1, done.stderr
    for word in words:
        assert word in sentences[0]


def test_it_refuses_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        done = start({"PORTAL_DATA": str(tmp_path), "PORT": str(port)})

    assert_refused(done, f"Port {port}", "PORT")


def test_it_refuses_a_data_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")

    done = start(settings_for(tmp_path / "file" / "var", {}))

    assert_refused(done, "PORTAL_DATA")


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "many"), ("PORTAL_WORKERS", "0"), ("SECRET_KEY", "short"), ("PORTAL_ADMIN_PASSWORD", "short"),
     ("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none"), ("DATABASE_URL", "nonsense"),
     ("DATABASE_URL", "postgresql://nobody@127.0.0.1:abc/none"), ("DATABASE_URL", "sqlite:///"),
     ("BROKER_URL", "redis://127.0.0.1:1/0"), ("BROKER_URL", "redis://x:abc/0"), ("PORTAL_URL", "nonsense"),
     ("PORTAL_SIGN_IN_LIMIT", "garbage"), ("PORTAL_BEAT_SECONDS", "20"), ("HOST", "nonsense.invalid")],
)  # fmt: skip
def test_it_refuses_a_broken_setting(tmp_path: Path, name: str, value: str) -> None:
    done = start(settings_for(tmp_path, {name: value}))

    assert_refused(done, name)


def test_it_refuses_a_second_portal_on_the_same_data(tmp_path: Path) -> None:
    with portal_in_one(tmp_path / "var"):
        done = start(settings_for(tmp_path / "var", {}))

    assert_refused(done, "Another portal runs", "PORTAL_DATA")


def test_it_runs_on_the_broker_that_comes_with_the_requirements(tmp_path: Path) -> None:
    server = _bundled_broker()

    assert "valkey" in subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout.lower()


def test_it_starts_with_nothing_installed_and_says_what_cannot_run(tmp_path: Path) -> None:
    """No R, no Redis: the bundled broker serves, other jobs run, and the R job says why it cannot."""
    (tmp_path / "sh").symlink_to("/bin/sh")
    with portal_in_one(tmp_path / "var", {"PATH": str(tmp_path)}) as portal:
        eventually(lambda: "The example job penguins waits for you" in portal.log.read_text())
        rest = Client(portal.url)
        refused = rest.post(PENGUINS, job="penguins", submission_name="x", email="ann@example.org")
        form = rest.fetch("/jobs/penguins/run").decode()
        counted = rest.post(PENGUINS, job="word_count", submission_name="x", email="ann@example.org")

        assert "Rscript is not installed" in refused["error"]
        assert "Rscript is not installed" in form
        assert rest.ended(counted["UUID"])["state"] == "Complete"
        assert any("valkey-server" in command(pid) for pid in descendants(portal.starter.pid))


def test_it_keeps_its_data_where_it_was_told_whatever_the_name(tmp_path: Path) -> None:
    data = tmp_path / "uni cödé $x %41?#" / ("long" * 20)

    with portal_in_one(data) as portal:
        eventually(lambda: "An example runs at" in portal.log.read_text())
        assert (data / "portal.db").exists()
        assert "does not answer" not in portal.log.read_text()


def test_ctrl_c_ends_every_child_and_a_second_start_finds_everything(tmp_path: Path) -> None:
    with portal_in_one(tmp_path / "var") as first:
        eventually(lambda: "An example runs at" in first.log.read_text())
        run = re.search(r"/runs/([0-9a-f-]{36})", first.log.read_text())
        assert run
        single = f"submission/single/{run[1]}.json"
        eventually(lambda: Client(first.url).get(single)["state"] == "Complete")
        start_a_long_run(first)
        eventually(lambda: any("sleep 300" in command(pid) for pid in descendants(first.starter.pid)))
        pids = descendants(first.starter.pid)
        os.kill(first.starter.pid, signal.SIGINT)
        assert first.starter.wait(30) == 0
    assert not alive(pids)

    with portal_in_one(tmp_path / "var") as second:
        assert Client(second.url).get(single)["state"] == "Complete"
        assert "shown only now" not in second.log.read_text()


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def start_a_long_run(portal: Portal) -> None:
    load(portal, "sleep", "sleep 300")
    Client(portal.url).post(PENGUINS, job="sleep", submission_name="long", email="ann@example.org")


def load(portal: Portal, name: str, line: str) -> None:
    """Give the portal a public one-step job, by the command of its administrators."""
    file = portal.data / f"{name}.yaml"
    file.write_text(
        f"tasks:\n  - {{name: {name}, language: command, backend: localhost, code: '{line}', inputs: [.txt]}}\n"
        f"jobs:\n  - {{name: {name}, public: true, steps: [{{order: 1, task: {name}}}]}}\n"
    )
    flask("load", str(file), extra=portal.settings)


def test_it_makes_up_a_password_once_when_none_is_given(tmp_path: Path) -> None:
    settings = {"PORTAL_DATA": str(tmp_path)}

    first, second = flask("setup", extra=settings), flask("setup", extra=settings)

    assert "with the password" in first
    assert ADMIN_PASSWORD not in first
    assert second == ""
