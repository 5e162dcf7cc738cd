"""Those who are measured beside the portal: each a program of its own, that stands still while others run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click

from tests.servers import ROOT, environment

HERE = Path(__file__).parent
PEERS = HERE / "peers"
ENVIRONMENTS = ROOT / ".bench"
LIMITS = ("bare", "fresh")
KNOWN = ("celery", "luigi", "prefect", "airflow")  # the quick ones first


class Failed(Exception):
    """A contender could not do what it was asked for."""


@dataclass(frozen=True)
class Done:
    """How long so many steps took, or jobs; and what else was seen meanwhile."""

    seconds: float
    count: int
    posts: float | None = None

    @property
    def each(self) -> float:
        return self.seconds / self.count


class Contender(Protocol):
    name: str

    def run(self, row: str, count: int) -> Done: ...


def names_of(peer: str) -> list[str]:
    """A peer's own file, then its variants."""
    return [peer, *sorted(file.stem for file in PEERS.glob(f"{peer}_*.py"))]


def interpreter(peer: str) -> str:
    """The one of the peer's environment, made from its pinned requirements when they changed; or our own."""
    name = peer.partition("_")[0]
    pinned, directory = PEERS / f"{name}.txt", ENVIRONMENTS / name
    if not pinned.exists():
        return sys.executable
    ready = directory / "ready"
    if not ready.exists() or ready.read_text() != pinned.read_text():
        click.echo(f"Making the environment of {name} in {directory} ...", err=True)
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        pip = [directory / "bin" / "pip", "install", "-q", "--disable-pip-version-check", "-r", pinned]
        subprocess.run(pip, check=True)
        ready.write_text(pinned.read_text())
    return str(directory / "bin" / "python")


class Peer:
    """One peer's program. It and all that it started are frozen but while it runs a row."""

    def __init__(self, name: str, given: dict[str, Any]) -> None:
        self.name = name
        directory = Path(given["directory"])
        directory.mkdir(parents=True)
        self._log = directory / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [interpreter(name), "-P", "-m", "peers", name],
                env=environment({"PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
            )  # fmt: skip
        self._ask(given)
        self._signal(signal.SIGSTOP)

    def run(self, row: str, count: int) -> Done:
        self._signal(signal.SIGCONT)
        try:
            answer = self._ask({"row": row, "count": count})
        finally:
            self._signal(signal.SIGSTOP)
        return Done(answer["seconds"], answer["count"])

    def close(self) -> None:
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"failure": "it ended"}
        if "failure" in answer:
            told = self._log.read_text(errors="replace")[-3000:]
            raise Failed(f"{self.name}: {answer['failure']}\n{told}")
        return answer

    def _signal(self, number: int) -> None:
        for pid in _members(self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def _members(session: int) -> Iterator[int]:
    """The processes that a program started, and itself: those of its session."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session:
                    yield int(entry.name)


@contextmanager
def peer(name: str, given: dict[str, Any]) -> Iterator[Peer]:
    started = Peer(name, given)
    try:
        yield started
    finally:
        started.close()


def wanted(text: str) -> Sequence[str]:
    """The peers that are named, with their variants. Raises click.ClickException."""
    named = text.split()
    if unknown := [each for each in named if each not in KNOWN]:
        raise click.ClickException(f"There is no peer {unknown[0]}: the peers are {', '.join(KNOWN)}.")
    return [name for each in KNOWN if each in named for name in names_of(each)]
