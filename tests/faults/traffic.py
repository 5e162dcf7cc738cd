"""The load: requests of one to three jobs, half of them with a key of their own, that ask again until they know."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from uuid import uuid4

from tests.faults.client import Answer, NoAnswer
from tests.faults.jobs import Job, jobs
from tests.faults.journal import Request
from tests.faults.rig import LEASE, Rig

SEVERAL = "several"
PATIENCE = 90.0
SENDERS = 3
OVERLOADED = (502, 503, 504, 507)


class Traffic:
    """Sends until told that it is enough, and never before so many submissions are accepted."""

    def __init__(self, rig: Rig, chance: random.Random, least: int, backlog: int, only: Sequence[str] = ()) -> None:
        self.rig, self.chance, self.least, self.most = rig, chance, least, backlog
        self.jobs = [job for job in jobs(LEASE) if job.name in only or not only]
        self.several = 0.25 if not only else float(SEVERAL in only)
        self.enough = threading.Event()
        self.count = 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._send_all, daemon=True) for _ in range(SENDERS)]

    def start(self) -> None:
        for each in self.threads:
            each.start()

    def finish(self, patience: float) -> bool:
        """Whether all that was to be sent was sent in time."""
        self.enough.set()
        deadline = time.monotonic() + patience
        for each in self.threads:
            each.join(max(0.1, deadline - time.monotonic()))
        return not any(each.is_alive() for each in self.threads)

    def accepted(self) -> int:
        return sum(len(each.jobs) for each in self.rig.journal.accepted)

    def _send_all(self) -> None:
        while not self.rig.over.is_set() and not (self.enough.is_set() and self.accepted() >= self.least):
            if self._backlog() >= self.most:
                time.sleep(0.3)
                continue
            self._send(self._next())
            time.sleep(self.chance.uniform(0.1, 0.6))

    def _backlog(self) -> int:
        """How many submissions wait or run; none while nobody can tell."""
        with suppress(Exception):
            return self.rig.database.number(
                "SELECT count(*) FROM submission WHERE state = 'QUEUED' OR state = 'RUNNING'"
            )
        return 0

    def _next(self) -> Request:
        with self.lock:
            self.count += 1
            name = f"r{self.count:05}"
            chosen = self._chosen()
        key = f"key-{uuid4()}" if self.chance.random() < 0.5 else None
        upload = f"{name} {self.chance.random()}\n" * self.chance.choice((1, 10, 300))
        return Request(name, chosen, upload, f"{name}@example.org", key, time.time())

    def _chosen(self) -> tuple[str, ...]:
        """One job, or several that are likely to end at one instant."""
        if self.chance.random() < self.several:
            return ("quick", "pythonic", "quick2")[: self.chance.randint(2, 3)]
        found: Job = self.chance.choices(self.jobs, [each.share for each in self.jobs])[0]
        return (found.name,)

    def _send(self, request: Request) -> None:
        self.rig.journal.requests.append(request)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and not self.rig.over.is_set():
            if self._try(request):
                break
            if request.key is None:
                return
            time.sleep(self.chance.uniform(0.1, 0.5))
        if request.uuid and request.key and self.chance.random() < 0.15:
            self._again(request)

    def _try(self, request: Request) -> bool:
        """Whether it is known what came of it."""
        request.tries += 1
        begun = time.time()
        with suppress(NoAnswer):
            answer = self._ask(request)
            self.rig.journal.statuses[answer.status] += 1
            if answer.status == 201:
                request.answered, request.took = time.time(), time.time() - begun
                request.uuid = str(answer.body["UUID"])
                return True
            if answer.status not in OVERLOADED:
                self.rig.journal.oddities.append(f"{request.name}: answered {answer.status} {answer.body}")
                return answer.status < 500
        return False

    def _again(self, request: Request) -> None:
        """The same request once more, as if its answer had not come."""
        with suppress(NoAnswer):
            answer = self._ask(request)
            if answer.status == 201 and answer.body["UUID"] != request.uuid:
                self.rig.journal.oddities.append(f"{request.name}: its key made another batch {answer.body['UUID']}")

    def _ask(self, request: Request) -> Answer:
        upload = request.upload.encode()
        return self.rig.client.submit(",".join(request.jobs), request.name, upload, request.email, request.key)
