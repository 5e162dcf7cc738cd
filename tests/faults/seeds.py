"""Bugs put into a copy of the project, each of which the checker must find: python -m tests.faults.seeds [WORD ...]

With words only the seeds whose names hold one of them. A seed is exact text for exact text, so that it fails loudly
when the code has moved on; its faults and its load are those that show it. What chance hides is looked for again.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from tests.servers import ROOT, environment

PROGRESS, EXECUTION = "portal/services/progress.py", "workers/execution.py"
STATEMENTS = "portal/services/statements.py"
SUBMISSIONS, LOCAL, LAUNCHER = "portal/services/submissions.py", "workers/runners/local.py", "workers/launcher.py"
WHOLE = 600
GOES = 3
FOUND = re.compile(r"^(?:sqlite|postgresql) (I\d+) (lost|doubled|wrong|stuck) ", re.MULTILINE)


@dataclass(frozen=True)
class Edit:
    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Seed:
    """One bug, and what shows it: `options` are those of tests.faults."""

    name: str
    edits: tuple[Edit, ...]
    options: tuple[str, ...]

    def options_of(self, go: int) -> list[str]:
        faults, *others = self.options
        return [f"N={int(faults.removeprefix('N=')) << go}", *others, f"SEED={go + 1}"]


def options(database: str, faults: int, kinds: str, jobs: str = "", least: int = 60) -> tuple[str, ...]:
    return (f"N={faults}", f"DATABASES={database}", f"KINDS={kinds}", f"JOBS={jobs}", f"LEAST={least}", "PATIENCE=100")


SEEDS = (
    Seed(
        "the sweep acts on an old list: it matches the run, not the attempt",
        (
            Edit(
                "workers/sweep.py",
                "    for run_id in lapsed:\n        _mend(progress.recover, run_id)\n",
                "    import random\n    import time\n\n    from sqlalchemy import update\n\n"
                "    if lapsed:\n        time.sleep(random.uniform(2, 12))\n"
                "    for run_id in lapsed:\n        with transaction() as session:\n"
                "            if not progress.recover(session, run_id):\n"
                "                same = update(Run).where(Run.id == run_id, Run.state == State.RUNNING)\n"
                "                session.execute(same.values(state=State.QUEUED, handle=None, due=now()))\n",
            ),
        ),
        (*options("postgresql", 6, "worker's machine lost", "long,sturdy", 20), "BACKLOG=4"),
    ),
    Seed(
        "the sweep goes by the start of a run, not by its lease",
        (Edit(PROGRESS, "Run.lease < now(-patience)", "Run.started < now(-patience)"),),
        options("sqlite", 1, "words said again", "long", 6),
    ),
    Seed(
        "results are kept outside of the transaction that ends the run",
        (
            Edit(
                EXECUTION,
                "            with transaction() as session:\n                with meanwhile(",
                "            with transaction() as session:\n"
                "                progress._keep_results(session, claim, found)\n"
                "            with transaction() as session:\n                with meanwhile(",
            ),
            Edit(
                PROGRESS,
                "    kept = _keep_results(session, claim, found)\n",
                "    kept = list(found.kept)\n",
            ),
        ),
        options("postgresql", 14, "commit lost,database stopped at once,worker killed", "quick,chain"),
    ),
    Seed(
        "the lease is set after the claim",
        (Edit(PROGRESS, "{Run.lease: now(lease), Run.started: now(), Run.handle", "{Run.started: now(), Run.handle"),),
        options("sqlite", 14, "worker killed,worker's child killed,killed while it writes", "quick,pythonic,chain"),
    ),
    Seed(
        "the word leaves before a slow commit, and nobody looks again",
        (
            Edit(
                "portal/queue.py",
                "    session.info.setdefault(UNSAID, {}).setdefault((word, queue), set()).add(about)\n",
                "    _line().send(word, queue)\n    time.sleep(0.3)\n",
            ),
            Edit("workers/sweep.py", "    if queues or letters:\n", "    if letters:\n        queues = []\n"),
            Edit(
                "workers/chores.py",
                "            self._pause()\n",
                "            self._called.wait() if self._do.__name__ == 'work_through' else self._pause()\n",
            ),
        ),
        options("postgresql", 4, "words said again,broker emptied,broker killed", "quick,chain"),
    ),
    Seed(
        "the answer is given before the commit is on the disk",
        (
            Edit(
                "portal/database.py",
                '    "connect_timeout": CONNECT_SECONDS,\n',
                '    "connect_timeout": CONNECT_SECONDS,\n    "options": "-c synchronous_commit=off",\n',
            ),
        ),
        options("postgresql", 10, "database stopped at once", "quick,several", 120),
    ),
    Seed(
        "a commit without an answer is taken for done",
        (
            Edit(
                SUBMISSIONS,
                "                if not away(failure):\n",
                "                if self.uncertain:\n"
                "                    return self.batch\n"
                "                if not away(failure):\n",
            ),
            Edit(
                SUBMISSIONS,
                "                self._write(its)\n",
                '                self._write(its)\n                self.batch = str(its["uuid"])\n',
            ),
        ),
        options("postgresql", 10, "commit lost", "quick"),
    ),
    Seed(
        "the beat goes by the host's clock, and one host's is a minute late",
        (
            Edit(
                PROGRESS,
                "    if not _write(session, claim, statements.extend(settings().portal_lease_seconds)):\n",
                "    if not session.execute(\n"
                "        update(Run).where(*_mine(claim)).values(lease=_by_the_hosts_clock()).returning(Run.id)\n"
                "    ).one_or_none():\n",
            ),
            Edit(
                PROGRESS,
                "def beat(session",
                "def _by_the_hosts_clock() -> Any:\n"
                "    import socket\n"
                "    from datetime import UTC, datetime, timedelta\n\n"
                '    late = 60 if socket.gethostname() == "node-b" else 0\n'
                "    return datetime.now(UTC) + timedelta(seconds=settings().portal_lease_seconds - late)\n\n\n"
                "def beat(session",
            ),
        ),
        options("postgresql", 2, "words said again", "long,sturdy"),
    ),
    Seed(
        "the attempt is not checked when a run ends",
        (
            Edit(
                PROGRESS,
                "    return Run.id == claim.run_id, Run.attempt == claim.attempt, Run.state == State.RUNNING",
                "    return Run.id == claim.run_id, Run.state == State.RUNNING",
            ),
            Edit(
                STATEMENTS,
                '_run.c.attempt == bindparam("as"), _run.c.state',
                'bindparam("as") != 0, _run.c.state',
            ),
        ),
        options("postgresql", 10, "worker's child frozen,worker frozen beyond its lease", "long,sturdy,chain"),
    ),
    Seed(
        "a batch's state is read, reckoned and written without its lock",
        (
            Edit(
                STATEMENTS,
                'where(_batch.c.id == bindparam("batch")).with_for_update()',
                'where(_batch.c.id == bindparam("batch"))',
            ),
            Edit(
                PROGRESS,
                "    state = states.batch_summary(members)\n",
                "    import time\n\n    time.sleep(0.2)\n    state = states.batch_summary(members)\n",
            ),
        ),
        options("postgresql", 4, "words said again", "several", 240),
    ),
    Seed(
        "two runs of a submission may end at one instant, and nobody goes on with what is stranded",
        (
            Edit(
                PROGRESS,
                "select(Submission).where(Submission.id == submission_id).with_for_update()",
                "select(Submission).where(Submission.id == submission_id)",
            ),
            Edit(
                STATEMENTS,
                'select(*_held).where(_submission.c.id == bindparam("submission")).with_for_update()',
                'select(*_held).where(_submission.c.id == bindparam("submission"))',
            ),
            Edit(
                PROGRESS,
                "    waiting = rows(session, statements.NEXT_ONES",
                "    import time\n\n    time.sleep(0.2)\n    waiting = rows(session, statements.NEXT_ONES",
            ),
            Edit(
                PROGRESS,
                'it goes on now", submission.uuid)\n        advance(session, submission)\n',
                'it stays", submission.uuid)\n',
            ),
        ),
        options("postgresql", 3, "words said again", "diamond", 120),
    ),
    Seed(
        "the letter is put into the outbox after the commit",
        (
            Edit(
                PROGRESS,
                "        session.add(Letter(batch_id=batch_id))\n",
                "        import threading\n        import time\n\n        from portal.database import transaction\n\n"
                "        def put(batch_id: int = batch_id) -> None:\n"
                "            time.sleep(0.5)\n"
                "            with transaction() as own:\n"
                "                own.add(Letter(batch_id=batch_id))\n\n"
                "        threading.Thread(target=put, daemon=True).start()\n",
            ),
        ),
        options("postgresql", 10, "worker killed,worker's child killed", "quick,several", 100),
    ),
    Seed(
        "each try of a commit has a new key",
        (
            Edit(
                SUBMISSIONS,
                '        "idempotency_key": order.kept_key,\n',
                '        "idempotency_key": str(uuid4()),\n',
            ),
        ),
        options("postgresql", 10, "commit without answer,web killed", "quick"),
    ),
    Seed(
        "a stop does not reach the queue",
        (
            Edit(PROGRESS, "if run.state in (State.WAITING, State.QUEUED):", "if run.state is State.WAITING:"),
            Edit(
                PROGRESS,
                "    if held.stop_asked:\n        return _stopped_unstarted(session, claim)\n",
                "",
            ),
            Edit(STATEMENTS, "found_by}).where(~_stop_asked)", "found_by})"),
        ),
        options("sqlite", 30, "stop", "sturdy,long", 80),
    ),
    Seed(
        "nothing fences itself when its lease cannot be proved",
        (
            Edit(LAUNCHER, "        if self.beat.is_missed(now):\n", "        if False:\n"),
            Edit(EXECUTION, "> trusted_until(self.proven):\n            self", "> 1e9:\n            self"),
            Edit(  # the other node's cleaner would end them, which it cannot on a machine of its own
                LOCAL,
                "    if not _is_here(launched):\n        return False\n    with _process",
                "    if not _is_here(launched) or _open(space) is not None:\n        return False\n    with _process",
            ),
        ),
        (*options("postgresql", 8, "worker frozen beyond its lease", "longer", 8), "BACKLOG=3"),
    ),
    Seed(
        "a directory may have two launchers",
        (
            Edit(LOCAL, "    if _is_let_go(space) or _is_minded(Path(space)):\n        return\n", ""),
            Edit(
                LAUNCHER,
                "    except FileExistsError:\n        return False\n",
                "    except FileExistsError:\n        pass\n",
            ),
        ),
        options("sqlite", 8, "worker's child killed,worker killed", "long,sturdy"),
    ),
    Seed(
        "a launcher that ended without a word, as on a full disk, is called the user's failure",
        (
            Edit(
                LOCAL,
                '    raise Lost("its launcher ended without an outcome")\n',
                '    return Outcome("signalled", None, 9, "")\n',
            ),
        ),
        options("sqlite", 6, "launcher killed,disk of the runs full", "quick,chain"),
    ),
    Seed(
        "a run that nobody looked after is called the user's failure",
        (Edit(EXECUTION, '        if outcome.reason == "abandoned" or (', "        if False and ("),),
        options("sqlite", 6, "worker frozen beyond its lease", "long,sturdy"),
    ),
    Seed(
        "a letter is not held while it is sent",
        (Edit("portal/services/letters.py", "        letter.due = now(HELD)\n", ""),),
        options("postgresql", 2, "words said again", "quick", 120),
    ),
)


def copy_to(directory: Path) -> None:
    """What git knows of the project, and what is new in it."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, directory / name)


def sow(seed: Seed, directory: Path) -> None:
    for edit in seed.edits:
        file = directory / edit.file
        text = file.read_text("utf-8")
        if text.count(edit.old) != 1:
            raise click.ClickException(f"{seed.name}: {edit.file} holds {text.count(edit.old)} times\n{edit.old}")
        file.write_text(text.replace(edit.old, edit.new), "utf-8")


def found_by(seed: Seed, directory: Path) -> list[str]:
    """The invariants that the checker found broken, in one of a few goes, each with twice the last one's faults."""
    return next(filter(None, (_broken(seed, directory, go) for go in range(GOES))), [])


def _broken(seed: Seed, directory: Path, go: int) -> list[str]:
    """Its whole word stands in a file beside the copy."""
    told = directory.with_name(f"{directory.name}.{go}.txt")
    with told.open("w") as output:
        command = [sys.executable, "-m", "tests.faults", *seed.options_of(go)]
        own = environment({"TMPDIR": str(directory.parent)})
        done = subprocess.Popen(command, cwd=directory, env=own, stdout=output, stderr=subprocess.STDOUT)
        try:
            done.wait(WHOLE)
        finally:
            done.terminate()
            done.wait(60)
    return sorted({number for number, _ in FOUND.findall(told.read_text())}, key=lambda number: int(number[1:]))


def main(words: Sequence[str]) -> int:
    place = Path(tempfile.mkdtemp(prefix="portal-seeds-"))
    place.chmod(0o755)
    chosen = [seed for seed in SEEDS if not words or any(word in seed.name for word in words)]
    unfound = 0
    for row in _rows(chosen, place):
        click.echo(row)
        unfound += row.endswith("NOT FOUND")
    click.echo(f"{len(chosen) - unfound} of {len(chosen)} seeded bugs were found; what was said of each is in {place}.")
    return int(unfound > 0)


def _rows(chosen: Sequence[Seed], place: Path) -> Iterator[str]:
    """All are sown before the first is run: a text that has changed is told at once."""
    for at, seed in enumerate(chosen):
        copy_to(place / f"{at}")
        sow(seed, place / f"{at}")
    for at, seed in enumerate(chosen):
        found = found_by(seed, place / f"{at}")
        shutil.rmtree(place / f"{at}")
        yield f"{seed.name:96} {' '.join(found) or 'NOT FOUND'}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
