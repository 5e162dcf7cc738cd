"""The checker: asks of what is there whether I1 to I14 hold. It reads the database, the files, the processes, the
execution log and the rig's book, and never the code that it judges.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from tests.faults import jobs
from tests.faults.journal import Injected, Journal, Request
from tests.faults.records import FINAL, TABLES, Database, Line, Row, execution, files_of, processes_of, seconds

ANY = "any"
STOP_SECONDS = 5.0
START_SECONDS = 3.0
WORST_FIRST = ("CRASH", "ERROR", "STOPPED")
NO_LOSS = ("its worker ended", "There is too little free disk")


class Harm(StrEnum):
    LOST = "lost"
    DOUBLED = "doubled"
    WRONG = "wrong"
    STUCK = "stuck"


@dataclass(frozen=True)
class Finding:
    """One promise that was broken: which, how, what it concerns, and about when."""

    invariant: str
    harm: Harm
    text: str
    identity: str = ""
    since: float = 0.0
    until: float = 0.0


@dataclass(frozen=True)
class Bounds:
    """What the rig's settings allow."""

    lease: float
    beat: float
    most_lost: int


class Evidence:
    """Everything that is there, read once."""

    def __init__(self, database: Database, data: Path, log: Path, journal: Journal, bounds: Bounds) -> None:
        self.data, self.journal, self.bounds = data, journal, bounds
        self.tables: dict[str, list[Row]] = {name: database.rows(f"SELECT * FROM {name}") for name in TABLES}
        self.lines = execution(log)
        self.files = files_of(data / "files")
        self.spaces = sorted(each.name for each in (data / "runs").iterdir())
        self.processes = processes_of(data / "runs")
        self.jobs = {job.name: job for job in jobs.jobs(bounds.lease)}
        self.steps = {step.task: step for job in self.jobs.values() for step in job.steps}

    @cached_property
    def batches(self) -> dict[int, Row]:
        return {row["id"]: row for row in self.tables["batch"]}

    @cached_property
    def submissions(self) -> dict[int, Row]:
        """Those of the load; whatever else is in the database is nobody's business here."""
        return {row["id"]: row for row in self.tables["submission"] if row["job_name"] in self.jobs}

    @cached_property
    def runs(self) -> dict[int, Row]:
        return {row["id"]: row for row in self.tables["run"] if row["submission_id"] in self.submissions}

    @cached_property
    def starts(self) -> Mapping[tuple[str, str], list[Line]]:
        return self._by_run("start")

    @cached_property
    def ends(self) -> Mapping[tuple[str, str], list[Line]]:
        return self._by_run("end", "fail")

    def _by_run(self, *words: str) -> Mapping[tuple[str, str], list[Line]]:
        found = defaultdict(list)
        for line in self.lines:
            if line.word in words:
                found[line.identity, line.task].append(line)
        return found

    def of(self, table: str, **values: object) -> list[Row]:
        return [row for row in self.tables[table] if all(row[name] == value for name, value in values.items())]

    @cached_property
    def runs_of(self) -> Mapping[int, list[Row]]:
        return _grouped(self.runs.values(), "submission_id")

    @cached_property
    def attempts_of(self) -> Mapping[int, list[Row]]:
        return _grouped(self.tables["attempt"], "run_id")

    @cached_property
    def results_of(self) -> Mapping[int, list[Row]]:
        return _grouped(self.tables["result"], "run_id")

    @cached_property
    def logs_of(self) -> Mapping[int, list[Row]]:
        return _grouped(self.tables["log_chunk"], "run_id")

    def submission_of(self, run: Row) -> Row:
        return self.submissions[run["submission_id"]]

    def key(self, run: Row) -> tuple[str, str]:
        """The run as the execution log names it."""
        return self.submission_of(run)["uuid"], run["task_name"]

    @cached_property
    def requests(self) -> Mapping[str, Request]:
        """By the batch's name: two with one name are a request and what it was resumed as, with the same input."""
        return {request.name: request for request in self.journal.requests}

    def expected(self, submission: Row) -> Mapping[str, bytes]:
        """What each task of a submission gives, by name."""
        request = self.requests[self.batches[submission["batch_id"]]["name"]]
        return jobs.outputs(self.jobs[submission["job_name"]], request.upload.encode())

    def killed(self, run: Row) -> bool:
        return any((each.identity, each.task) == self.key(run) for each in self.journal.killed)


def _grouped(rows: object, name: str) -> Mapping[int, list[Row]]:
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:  # type: ignore[attr-defined]
        found[row[name]].append(row)
    return found


Check = Callable[[Evidence], Iterator[Finding]]
CHECKS: dict[str, Check] = {}


def invariant(number: str) -> Callable[[Check], Check]:
    def add(check: Check) -> Check:
        CHECKS[number] = check
        return check

    return add


def _about(number: str, harm: Harm, submission: Row, text: str) -> Finding:
    since, until = seconds(submission["created"]) or 0.0, seconds(submission["ended"]) or 0.0
    return Finding(number, harm, f"{submission['uuid']} ({submission['job_name']}): {text}", submission["uuid"], since,
                   until)  # fmt: skip


@invariant("I1")
def every_accepted_submission_exists(evidence: Evidence) -> Iterator[Finding]:
    for request in evidence.journal.accepted:
        found = evidence.of("batch", uuid=request.uuid)
        if not found:
            text = f"{request.name}: answered with 201 and {request.uuid}, which does not exist"
            yield Finding("I1", Harm.LOST, text, since=request.begun, until=request.answered or 0)
            continue
        names = Counter(row["job_name"] for row in evidence.of("submission", batch_id=found[0]["id"]))
        if names != Counter(request.jobs):
            yield Finding("I1", Harm.LOST, f"{request.name}: asked for {request.jobs}, there is {dict(names)}")
    for text in evidence.journal.oddities:
        yield Finding("I1", Harm.WRONG, text)


@invariant("I2")
def everything_has_ended(evidence: Evidence) -> Iterator[Finding]:
    for submission in evidence.submissions.values():
        runs = evidence.runs_of[submission["id"]]
        states = {run["state"] for run in runs}
        if submission["state"] not in FINAL:
            yield _about("I2", Harm.STUCK, submission, f"{submission['state']}, its runs {_told(runs)}")
        elif not states <= set(FINAL):
            yield _about("I2", Harm.STUCK, submission, f"has ended, but its runs have not: {_told(runs)}")
        elif submission["state"] != _summary(states):
            yield _about("I2", Harm.WRONG, submission, f"{submission['state']}, but its runs are {_told(runs)}")
    for batch in evidence.batches.values():
        members = {row["state"] for row in evidence.of("submission", batch_id=batch["id"])}
        if members <= set(FINAL) and batch["state"] != _summary(members):
            yield Finding("I2", Harm.STUCK, f"batch {batch['uuid']} is {batch['state']}, its submissions {members}")


def _told(runs: list[Row]) -> str:
    return ", ".join(
        f"{run['task_name']} {run['state']} (attempt {run['attempt']}, lost {run['lost']})" for run in runs
    )


def _summary(states: set[str]) -> str:
    return next((state for state in WORST_FIRST if state in states), "COMPLETE")


@invariant("I3")
def there_is_one_end_message(evidence: Evidence) -> Iterator[Finding]:
    ends = Counter(row["submission_id"] for row in evidence.tables["message"] if row["kind"] == "end")
    for submission in evidence.submissions.values():
        number = ends[submission["id"]]
        if submission["state"] in FINAL and number != 1:
            harm = Harm.DOUBLED if number else Harm.LOST
            yield _about("I3", harm, submission, f"it has {number} end messages")


@invariant("I4")
def what_is_complete_has_its_results(evidence: Evidence) -> Iterator[Finding]:
    for run in evidence.runs.values():
        if run["state"] == "COMPLETE":
            for harm, text in _faults_of_results(evidence, run):
                yield _about("I4", harm, evidence.submission_of(run), f"{run['task_name']}: {text}")


def _faults_of_results(evidence: Evidence, run: Row) -> Iterator[tuple[Harm, str]]:
    wanted = evidence.expected(evidence.submission_of(run))[run["task_name"]]
    found = evidence.results_of[run["id"]]
    if len(found) != 1:
        yield (Harm.DOUBLED if found else Harm.LOST), f"{len(found)} results instead of 1"
    for result in found:
        file = evidence.data / "files" / result["key"]
        if not file.exists():
            yield Harm.LOST, f"the file {result['key']} of its result is not there"
        elif file.read_bytes() != wanted or result["sha256"] != sha256(wanted).hexdigest():
            yield Harm.WRONG, f"its result {result['key']} holds other bytes than the input leads to"
    if not run["taken_from"] and not any(line.word == "end" for line in evidence.ends[evidence.key(run)]):
        yield Harm.WRONG, "it is COMPLETE, but its process never came to its end"
    if not run["taken_from"] and (log := _log(evidence, run)) != jobs.LOG:
        yield Harm.WRONG, f"its log is {log!r} instead of {jobs.LOG!r}"


def _log(evidence: Evidence, run: Row) -> bytes:
    mine = [row for row in evidence.logs_of[run["id"]] if (row["attempt"], row["stream"]) == (run["attempt"], "stdout")]
    return b"".join(bytes(row["data"]) for row in sorted(mine, key=lambda row: row["start"]))


@invariant("I5")
def results_are_of_the_last_attempt(evidence: Evidence) -> Iterator[Finding]:
    for run in evidence.runs.values():
        others = [row["attempt"] for row in evidence.results_of[run["id"]] if row["attempt"] != run["attempt"]]
        if others and not run["taken_from"]:
            text = f"{run['task_name']}: a result of attempt {others[0]}, the last attempt was {run['attempt']}"
            yield _about("I5", Harm.WRONG, evidence.submission_of(run), text)


@invariant("I6")
def a_run_ends_once(evidence: Evidence) -> Iterator[Finding]:
    said = Counter(row["run_id"] for row in evidence.tables["message"] if row["sentence"].startswith("Completed step"))
    for run in evidence.runs.values():
        submission = evidence.submission_of(run)
        wanted = int(run["state"] == "COMPLETE" and not run["taken_from"])
        if said[run["id"]] != wanted:
            text = f"{run['task_name']} is {run['state']}, and {said[run['id']]} messages say that it is complete"
            yield _about("I6", Harm.DOUBLED if said[run["id"]] > wanted else Harm.LOST, submission, text)
        still_open = [row["number"] for row in evidence.attempts_of[run["id"]] if row["ended"] is None]
        if run["state"] in FINAL and still_open:
            yield _about(
                "I6", Harm.WRONG, submission, f"{run['task_name']} has ended, its attempt {still_open} has not"
            )


@invariant("I7")
def nothing_starts_more_often_than_it_was_lost(evidence: Evidence) -> Iterator[Finding]:
    for run in evidence.runs.values():
        attempts = evidence.attempts_of[run["id"]]
        released = sum(any(word in row["sentence"] for word in NO_LOSS) for row in attempts)
        allowed = 1 + run["lost"] + run["retried"] + released
        starts = len(evidence.starts[evidence.key(run)])
        if starts > min(allowed, len(attempts)):
            text = (
                f"{run['task_name']} began {starts} times, with {len(attempts)} attempts, {run['lost']} losses, "
                f"{run['retried']} retries and {released} releases"
            )
            yield _about("I7", Harm.DOUBLED, evidence.submission_of(run), text)


@invariant("I8")
def two_processes_of_a_run_never_live_at_once(evidence: Evidence) -> Iterator[Finding]:
    for line in evidence.lines:
        if line.word == "overlap":
            text = f"{line.identity} {line.task}: process {line.pid} began while another of the same run lived"
            yield Finding("I8", Harm.DOUBLED, text, line.identity, line.at - 4 * evidence.bounds.lease, line.at)


@invariant("I9")
def a_failure_is_the_users_own(evidence: Evidence) -> Iterator[Finding]:
    for run in evidence.runs.values():
        step = evidence.steps[run["task_name"]]
        submission = evidence.submission_of(run)
        if run["state"] == "ERROR" and not step.fails and not evidence.killed(run):
            yield _about(
                "I9", Harm.WRONG, submission, f"{run['task_name']} is ERROR by no fault of its own: {run['reason']}"
            )
        if run["state"] == "COMPLETE" and step.fails:
            yield _about("I9", Harm.WRONG, submission, f"{run['task_name']} is COMPLETE, but its process always fails")
        if run["state"] == "CRASH" and run["lost"] < evidence.bounds.most_lost:
            yield _about("I9", Harm.WRONG, submission, f"{run['task_name']} is CRASH: {run['reason']}")


@invariant("I10")
def stopped_is_what_was_asked_to_stop(evidence: Evidence) -> Iterator[Finding]:
    asked = {each.uuid: each for each in reversed(evidence.journal.stops)}
    for submission in evidence.submissions.values():
        stop = asked.get(submission["uuid"])
        if submission["state"] == "STOPPED" and stop is None:
            yield _about("I10", Harm.WRONG, submission, "STOPPED, and nobody asked for it")
        if stop is None:
            continue
        late = [
            line for line in evidence.lines if line.identity == stop.uuid and _too_late(evidence, line, stop.answered)
        ]
        for line in late:
            text = f"{line.task} began {line.at - stop.answered:.1f} s after its stop was promised"
            yield _about("I10", Harm.WRONG, submission, text)
        took = (seconds(submission["ended"]) or stop.answered) - stop.answered
        if took > evidence.bounds.beat + STOP_SECONDS + START_SECONDS and _undisturbed(evidence, stop.answered, took):
            yield _about("I10", Harm.STUCK, submission, f"took {took:.1f} s to end after its stop was promised")
        if stop.waiting and submission["state"] == "COMPLETE" and _had_more_to_do(evidence, submission, stop.answered):
            yield _about("I10", Harm.WRONG, submission, "went on to its end though its stop was promised")


def _too_late(evidence: Evidence, line: Line, answered: float) -> bool:
    """A worker that stood still between its claim and the start is no wonder."""
    if line.word != "start" or line.at < answered + START_SECONDS:
        return False
    return not any("frozen" in each for each in evidence.journal.active(answered - 1, line.at))


def _undisturbed(evidence: Evidence, since: float, seconds_long: float) -> bool:
    """Whether no fault can have delayed it: a lost worker's run is stopped by the next one, after its lease."""
    return set(evidence.journal.active(since - 3 * evidence.bounds.lease, since + seconds_long)) <= {"stop", "resume"}


def _had_more_to_do(evidence: Evidence, submission: Row, answered: float) -> bool:
    ends = [line.at for line in evidence.lines if line.identity == submission["uuid"] and line.word == "end"]
    return bool(ends) and max(ends) > answered + evidence.bounds.beat + STOP_SECONDS + 2 * evidence.bounds.lease


@invariant("I11")
def a_request_makes_one_batch(evidence: Evidence) -> Iterator[Finding]:
    resumed = {row["batch_id"] for row in evidence.tables["submission"] if row["resumed_from"]}
    names = Counter(row["name"] for row in evidence.tables["batch"] if row["id"] not in resumed)
    for request in evidence.journal.requests:
        if not request.resumed_from and names[request.name] > 1:
            text = f"{request.name} (key {request.key}): {names[request.name]} batches of one request"
            yield Finding("I11", Harm.DOUBLED, text, since=request.begun, until=request.answered or 0)


@invariant("I12")
def each_end_is_told_once(evidence: Evidence) -> Iterator[Finding]:
    letters = {row["batch_id"]: row for row in evidence.tables["letter"]}
    arrived = defaultdict(list)
    for at, to in evidence.journal.letters:
        arrived[to].append(at)
    told = Counter(evidence.batches[row["batch_id"]]["email"] for row in letters.values() if row["sent"])
    for batch in evidence.batches.values():
        if batch["name"] in evidence.requests:
            yield from _faults_of_letter(evidence, batch, letters.get(batch["id"]))
    for to, times in arrived.items():
        if 0 < told[to] < len(times) and not _explained(evidence, times):
            text = f"{to}: {len(times)} letters instead of {told[to]}, and nothing died just then"
            yield Finding("I12", Harm.DOUBLED, text, since=times[0], until=times[-1])
    for to, number in told.items():
        if len(arrived[to]) < number:
            yield Finding("I12", Harm.LOST, f"{to}: {number} letters are called sent, {len(arrived[to])} arrived")


def _faults_of_letter(evidence: Evidence, batch: Row, letter: Row | None) -> Iterator[Finding]:
    members = [row["state"] for row in evidence.of("submission", batch_id=batch["id"])]
    if not set(members) <= set(FINAL):
        return
    if letter is None:
        yield Finding("I12", Harm.LOST, f"batch {batch['uuid']} has ended, and no letter is due")
    elif letter["sent"] is None:
        text = f"batch {batch['uuid']}: its letter waits after {letter['tries']} tries: {letter['failure']}"
        yield Finding("I12", Harm.STUCK, text)


def _explained(evidence: Evidence, times: list[float]) -> bool:
    """Between the mail server's word and our commit a letter may be doubled, but only by a fault just then."""
    words = ("killed", "database", "commit", "connections", "frozen", "restart", "full")
    active = evidence.journal.active(times[0] - 3, times[0] + 3)
    return any(word in each for each in active for word in words)


@invariant("I13")
def nothing_is_left_over(evidence: Evidence) -> Iterator[Finding]:
    for pid, command in evidence.processes.items():
        yield Finding("I13", Harm.STUCK, f"process {pid} is left: {command[:150]}")
    for name in evidence.spaces:
        yield Finding("I13", Harm.STUCK, f"the directory {name} of a run is left", name[:36])
    named = {row["key"] for table in ("upload", "result") for row in evidence.tables[table]}
    for key in sorted(evidence.files - named):
        yield Finding("I13", Harm.STUCK, f"the file {key} belongs to nothing")
    for row in evidence.tables["upload"]:
        if row["key"] not in evidence.files:
            yield Finding("I13", Harm.LOST, f"the uploaded file {row['key']} is not there")


@invariant("I14")
def afterwards_all_is_as_before(evidence: Evidence) -> Iterator[Finding]:
    """The best of some tries, as others may use the machine too."""
    before, *after = evidence.journal.ordinary
    if after and min(after) > 3 * before + 5:
        text = f"a new submission took {min(after):.1f} s, before the faults it took {before:.1f} s"
        yield Finding("I14", Harm.STUCK, text)


def check(evidence: Evidence) -> list[Finding]:
    return [finding for each in CHECKS.values() for finding in each(evidence)]


def kinds_of(finding: Finding, journal: Journal) -> list[str]:
    """The kinds of faults that a finding is charged to: its own victim's, else the only one that was at work."""
    own = {each.kind for each in journal.faults if _names(each, finding)}
    if len(own) == 1:
        return sorted(own)
    active = journal.active(finding.since, finding.until) if finding.since else []
    return active if len(active) == 1 else [ANY]


def _names(fault: Injected, finding: Finding) -> bool:
    return bool(finding.identity) and finding.identity in fault.victims
