"""The rig's own book: what it was promised (201), what it asked (stops), and which faults it made, all with times."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Request:
    """One request to make a batch, until it was answered with 201 or given up. `name` is this request's alone."""

    name: str
    jobs: tuple[str, ...]
    upload: str
    email: str
    key: str | None
    begun: float
    tries: int = 0
    took: float = 0.0
    answered: float | None = None
    uuid: str | None = None
    resumed_from: str | None = None


@dataclass
class Stop:
    """A stop that was asked; `waiting` when the submission had not ended as the portal answered."""

    uuid: str
    asked: float
    answered: float
    waiting: bool


@dataclass
class Injected:
    """One fault; `hit` when there was something to hit. `victims`: identities of submissions, where they are known."""

    kind: str
    begun: float
    ended: float = 0.0
    hit: bool = False
    victims: list[str] = field(default_factory=list)
    detail: str = ""


@dataclass
class Killed:
    """A user's process that the rig killed: its failure is the user's own."""

    identity: str
    task: str
    at: float


@dataclass
class Back:
    """Something that was away came back: how long until the portal took a request, or began a step, again."""

    what: str
    at: float


class Journal:
    """Everything that happened, from several threads; `save` writes it down for whoever looks into a finding."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.stops: list[Stop] = []
        self.faults: list[Injected] = []
        self.killed: list[Killed] = []
        self.back: list[Back] = []
        self.statuses: Counter[int] = Counter()
        self.ordinary: list[float] = []
        self.letters: list[tuple[float, str]] = []
        self.oddities: list[str] = []
        self.lock = threading.Lock()

    @contextmanager
    def fault(self, kind: str) -> Iterator[Injected]:
        injected = Injected(kind, time.time())
        with self.lock:
            self.faults.append(injected)
        try:
            yield injected
        finally:
            injected.ended = time.time()

    @property
    def accepted(self) -> list[Request]:
        return [each for each in list(self.requests) if each.uuid]

    def active(self, since: float, until: float) -> list[str]:
        """The kinds of the faults that were at work in a time."""
        hit = [each for each in self.faults if each.hit]
        return sorted({each.kind for each in hit if each.begun <= until and (each.ended or until) >= since})

    def save(self, file: Path) -> None:
        parts = {
            name: [asdict(each) for each in getattr(self, name)]
            for name in ("requests", "stops", "faults", "killed", "back")
        }
        more = {"statuses": self.statuses, "letters": self.letters, "ordinary": self.ordinary}
        file.write_text(json.dumps({**parts, **more, "oddities": self.oddities}, indent=1), "utf-8")
