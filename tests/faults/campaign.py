"""One campaign: a rig, its load, so many faults in two lanes, the draining, and the checker's word. Nothing waits
without a deadline: what has not drained by then is called stuck.
"""

from __future__ import annotations

import logging
import random
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import figures
from tests.faults.checker import Bounds, Evidence, Finding, Harm, check
from tests.faults.client import NoAnswer
from tests.faults.faults import BOTH, KINDS, Kind, Scene
from tests.faults.journal import Journal, Request
from tests.faults.records import FINAL, files_of, processes_of
from tests.faults.rig import BEAT, LEASE, MAX_LOST, ORPHAN, Rig
from tests.faults.traffic import Traffic

LANES = 2
LEAST = 200
BACKLOG = 45
HEAD_START = 15
DRAIN_SECONDS = 240.0
LETTER_SECONDS = 150.0
TRIES = 25
AFTERWARDS = 2

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wish:
    """What the command line asks for; `kinds` and `jobs` empty: all.

    Never more than the `backlog` waits and runs, so that it drains in `patience` seconds.
    """

    faults: int = 30
    seed: int = 1
    databases: tuple[str, ...] = BOTH
    kinds: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    least: int = LEAST
    backlog: int = BACKLOG
    patience: float = DRAIN_SECONDS


@dataclass
class Report:
    """What a campaign found."""

    database: str
    directory: Path
    journal: Journal
    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, list[float]] = field(default_factory=dict)
    submissions: int = 0


class Campaign:
    """So many faults on one database, chosen by a seed."""

    def __init__(self, database: str, directory: Path, faults: int, wish: Wish) -> None:
        self.database, self.faults, self.wish = database, faults, wish
        self.chance = random.Random(f"{wish.seed} {database}")
        self.rig = Rig(database, directory, random.Random(f"{wish.seed} {database} rig"))
        chance = random.Random(f"{wish.seed} {database} traffic")
        self.traffic = Traffic(self.rig, chance, wish.least, wish.backlog, wish.jobs)
        self.possible = self._possible(wish.kinds)
        self.schedule = list(_schedule(self.chance, faults, self.possible))
        self.spare = faults
        self.resources: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self.lock = threading.Lock()
        self.failures: list[str] = []
        self.ghosts: list[str] = []

    def run(self) -> Report:
        rig = self.rig
        with rig.running():
            log.info("%s: the rig runs in %s", self.database, rig.directory)
            self._measure()
            self.traffic.start()
            self._make_faults()
            log.info("%s: the faults are over, %s submissions accepted", self.database, self.traffic.accepted())
            unsent = not self.traffic.finish(120)
            for _ in range(AFTERWARDS if self._drained() else 0):
                self._measure()
            self._settle()
            self.ghosts = [each.name for each in rig.services.values() if each.ghosts()]
            report = self._judged()
            if report.findings:
                self._keep_files()
        if unsent:
            self.failures.append("the load was not sent in time")
        texts = (f"processes of an ended {name} are left" for name in self.ghosts)
        report.findings += [Finding("I13", Harm.STUCK, text) for text in texts]
        report.findings += [Finding("rig", Harm.STUCK, text) for text in self.failures]
        rig.journal.save(rig.directory / "journal.json")
        return report

    def _possible(self, kinds: Sequence[str]) -> list[Kind]:
        return [
            each
            for each in KINDS.values()
            if self.database in each.databases
            and (each.name in kinds or not kinds)
            and (not each.slow or self.faults >= 50 or kinds)
        ]

    # Faults

    def _make_faults(self) -> None:
        _until(lambda: self.traffic.accepted() >= min(HEAD_START, self.wish.backlog), 60)
        lanes = [
            threading.Thread(target=self._lane, args=(random.Random(self.chance.random()),), daemon=True)
            for _ in range(LANES)
        ]
        for each in lanes:
            each.start()
        for each in lanes:
            each.join()

    def _lane(self, chance: random.Random) -> None:
        while (chosen := self._next()) is not None:
            with self.resources[chosen.needs]:
                hit = self._make(chosen, chance)
            if not hit:
                self._add_another(chance)
            time.sleep(chance.uniform(0.3, 2.0))

    def _next(self) -> Kind | None:
        with self.lock:
            return self.schedule.pop() if self.schedule else None

    def _add_another(self, chance: random.Random) -> None:
        """For a kind that finds nothing to hit here, such as a full disk where no mount is permitted."""
        with self.lock:
            if self.spare > 0:
                self.spare -= 1
                self.schedule.append(chance.choice(self.possible))

    def _make(self, chosen: Kind, chance: random.Random) -> bool:
        """Again until there is something to hit: with nothing running, no user's process can be killed."""
        for _ in range(TRIES):
            with self.rig.journal.fault(chosen.name) as injected:
                injected.hit = self._hits(chosen, Scene(self.rig, chance, injected))
            if injected.hit:
                log.info("%s: %s %s", self.database, chosen.name, injected.detail)
                return True
            time.sleep(chance.uniform(0.1, 0.5))
        return False

    def _hits(self, chosen: Kind, scene: Scene) -> bool:
        try:
            return chosen.make(scene)
        except Exception as failure:
            log.exception("%s: %s", self.database, chosen.name)
            self.failures.append(f"the fault {chosen.name} could not be made: {failure!r}")
            return True

    # Draining

    def _drained(self) -> bool:
        """Whether nothing waits or runs in time; a run that was lost often waits long by right, and is waited for."""
        deadline = time.monotonic() + self.wish.patience
        while (left := self._unfinished()) and time.monotonic() < deadline:
            time.sleep(0.5)
        log.info("%s: drained, %s left", self.database, left)
        return not left

    def _unfinished(self) -> int:
        states = ", ".join(f"'{state}'" for state in FINAL)
        with suppress(Exception):
            return self.rig.database.number(f"SELECT count(*) FROM submission WHERE state NOT IN ({states})")
        return 1

    def _settle(self) -> None:
        """Until letters are sent and nothing is left over, which takes the cleaner its time."""
        _until(lambda: self._unsent() == 0, min(self.wish.patience, LETTER_SECONDS))
        _until(self._is_clean, 2 * ORPHAN + 15)

    def _unsent(self) -> int:
        with suppress(Exception):
            return self.rig.database.number("SELECT count(*) FROM letter WHERE sent IS NULL")
        return 1

    def _is_clean(self) -> bool:
        named = {
            row["key"] for table in ("upload", "result") for row in self.rig.database.rows(f"SELECT key FROM {table}")
        }
        left = any(self.rig.runs.iterdir()) or processes_of(self.rig.runs)
        return not left and files_of(self.rig.files) <= named

    def _measure(self) -> None:
        """How long an ordinary submission takes, from its request to its end."""
        name = f"ordinary-{time.time_ns()}"
        request = Request(name, ("quick",), "ordinary\n", f"{name}@example.org", None, time.time())
        self.rig.journal.requests.append(request)
        begun = time.monotonic()
        with suppress(NoAnswer):
            upload = request.upload.encode()
            answer = self.rig.client.submit("quick", request.name, upload, request.email, None)
            if answer.status == 201:
                request.uuid, request.answered = str(answer.body["UUID"]), time.time()
        ended = f"SELECT count(*) FROM batch WHERE name = '{request.name}' AND state = 'COMPLETE'"
        _until(lambda: request.uuid and self.rig.database.number(ended), 60)
        self.rig.journal.ordinary.append(time.monotonic() - begun)

    def _keep_files(self) -> None:
        """The rig's disks end with it, what lies on them is to be looked at."""
        for each in (self.rig.runs, self.rig.files):
            shutil.copytree(each, self.rig.directory / "kept" / each.name, dirs_exist_ok=True)

    def _judged(self) -> Report:
        rig = self.rig
        evidence = Evidence(rig.database, rig.data, rig.log, rig.journal, Bounds(LEASE, BEAT, MAX_LOST))
        return Report(
            self.database, rig.directory, rig.journal, check(evidence), figures.of(evidence), len(evidence.submissions)
        )


def _schedule(chance: random.Random, number: int, kinds: Sequence[Kind]) -> Iterator[Kind]:
    """Each kind once in random order, then again, until there are so many."""
    while number > 0 and kinds:
        round_of = chance.sample(kinds, min(number, len(kinds)))
        yield from round_of
        number -= len(round_of)


def _until(condition: Callable[[], object], patience: float) -> bool:
    """Whether something became true in time; a database that does not answer is asked again."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        with suppress(Exception):
            if condition():
                return True
        time.sleep(0.3)
    return False
