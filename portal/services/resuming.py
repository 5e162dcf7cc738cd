"""Resuming: a submission that failed or was stopped goes on as a new one, which takes the finished steps over.

Final is final, so the old submission never changes. What is taken over becomes the new one's own, files included:
either of the two can be removed without the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import storage
from portal.database import transaction
from portal.domain.errors import Conflict, Invalid, NotAllowed, NotFound, Unavailable
from portal.domain.limits import UNLIMITED, Limits, in_force
from portal.domain.names import Priority, fits
from portal.domain.parameters import Argument, Kind, read
from portal.domain.policy import Action
from portal.domain.states import WORST_FIRST, State
from portal.domain.verdict import Outcome, Then, judge
from portal.domain.work import Work
from portal.models import Account, Batch, Job, Parameter, Result, Run, Submission, Task, TaskRevision, Upload
from portal.services import access, audit, backends, freezing, progress, quotas, submissions
from portal.services.submissions import LONGEST_KEY

FROM_THE_START = "Run the job again from its start."

Link = Callable[[str, str], None]


@dataclass(frozen=True)
class Resumption:
    """What is to go on, and in whose name. `step` is a stage's number or the UUID of a run; None: what failed first.

    `current`: with the tasks as they are now, not as they were when first submitted.
    """

    uuid: str
    account: Account | None
    step: int | str | None = None
    current: bool = False
    address: str = ""
    idempotency_key: str | None = None

    @property
    def kept_key(self) -> str | None:
        return submissions.kept_key(self.account, self.address, self.idempotency_key)


def resume(session: Session, order: Resumption) -> Submission:
    """Go on with a submission in a new one; its commit is the promise.

    Raises NotFound, NotAllowed, TooMany, Unavailable, Conflict, or Invalid(step=...).
    """
    with transaction(session), _links() as link:
        source = _locked(session, order.uuid)
        if earlier := _earlier(session, order):
            return earlier
        _check_source(source)
        job = _job(order, source)
        again = _again(source, order.step)
        priority = submissions.admit(session, _as_order(order, source))
        quotas.check(session, order.account, order.address, _size(source))
        submission = _successor(job, source)
        _Succession(session, submission, order.current, priority, link).take_up(source, again)
        session.add(_batch(order, source, submission, link))
        session.flush()
        audit.record(session, "resumed", "run", submission.uuid, job=job.name, resumed_from=source.uuid)
        progress.advance(session, submission)
    return submission


def may_resume(account: Account | None, submission: Submission) -> bool:
    """Whether somebody may go on with a submission, if its state allows it: who may stop it, and may run its job."""
    job = submission.job
    if job is None or not job.enabled or submission.removed or submission.delete_asked:
        return False
    return access.may(account, Action.CHANGE_RUN, submission) and access.may(account, Action.RUN_JOB, job)


def starts(submission: Submission) -> list[Run]:
    """The runs that a submission can be resumed from, what failed first before all others; none if it cannot be."""
    failed = _failed(submission)
    if not failed:
        return []
    after = progress.before(submission.runs)
    reached = [
        run
        for run in submission.runs
        if run.state is not State.SKIPPED and not any(other.position in after[run.position] for other in failed)
    ]
    return sorted(reached, key=lambda run: run.state is State.COMPLETE)


def continuations(session: Session, submission: Submission) -> Sequence[Submission]:
    """The submissions that go on with this one, oldest first."""
    return session.scalars(
        select(Submission).where(Submission.resumed_from == submission.uuid).order_by(Submission.id)
    ).all()


def _failed(submission: Submission) -> list[Run]:
    """The runs that did not complete, of a submission that has ended."""
    if not submission.state.final:
        return []
    return [run for run in submission.runs if run.state in WORST_FIRST]


@contextmanager
def _links() -> Iterator[Link]:
    """Second names for stored files. What is refused leaves none; those of a commit without answer are kept."""
    made: list[str] = []

    def link(old: str, new: str) -> None:
        storage.duplicate(old, new)
        made.append(new)

    try:
        yield link
    except BaseException:
        for key in made:
            storage.delete(key)
        raise


def _locked(session: Session, uuid: str) -> Submission:
    """The old submission, which nobody removes while it is taken over."""
    fresh = select(Submission).where(Submission.uuid == uuid).with_for_update()
    found = session.scalar(fresh.execution_options(populate_existing=True))
    if found is None:
        raise NotFound("There is no such run.")
    return found


def _earlier(session: Session, order: Resumption) -> Submission | None:
    """What the same request made before, when it is sent again under its key."""
    if not order.idempotency_key:
        return None
    if len(order.idempotency_key) > LONGEST_KEY or not order.idempotency_key.isprintable():
        raise Invalid(idempotency_key=f"Idempotency-Key: at most {LONGEST_KEY} printable characters are allowed.")
    batch = session.scalar(select(Batch).where(Batch.idempotency_key == order.kept_key))
    if batch is None:
        return None
    if [each.resumed_from for each in batch.submissions] != [order.uuid]:
        raise Conflict("This idempotency key was used for another request: choose a new one.")
    return batch.submissions[0]


def _check_source(source: Submission) -> None:
    if source.delete_asked:
        raise Conflict(f"This run is being deleted. {FROM_THE_START}")
    if not source.state.final:
        raise Conflict("This run has not ended: wait for its end, or stop it first.")
    if source.state is State.COMPLETE:
        raise Conflict("This run is complete: nothing is left to go on with.")
    if source.removed:
        raise Conflict(f"The results of this run were removed. {FROM_THE_START}")


def _size(source: Submission) -> int:
    """What is kept of it: taken over, it counts once more."""
    return sum(each.size for each in source.uploads) + sum(each.size for each in source.results)


def _job(order: Resumption, source: Submission) -> Job:
    job = source.job
    if job is None:
        raise Conflict(f"The job {source.job_name} was deleted, so nothing of it can go on.")
    if not access.may(order.account, Action.RUN_JOB, job):
        raise NotAllowed(f"The job {job.name} is not shared with you any more: ask its owner, or an administrator.")
    if not job.enabled:
        raise NotAllowed(f"{job.name} is present but currently disabled.")
    return job


def _again(source: Submission, step: int | str | None) -> list[Run]:
    """The runs of the chosen stage that are run once more: the chosen one, and whatever did not complete beside it."""
    possible = starts(source)
    chosen = next((run for run in possible if step in (None, run.uuid, run.stage)), None)
    if chosen is None:
        last = max(run.stage for run in possible)
        raise Invalid(step=f"Choose a step that was reached and not left out, of the stages 1 to {last}.")
    members = [run for run in possible if run.stage == chosen.stage]
    return [run for run in members if run.state is not State.COMPLETE or run.uuid == step] or members


def _as_order(order: Resumption, source: Submission) -> submissions.Order:
    """The resumption as the queue rules see it."""
    batch = source.batch
    return submissions.Order(
        (source.job_name,), batch.name, batch.email, (), account=order.account, address=order.address
    )


def _successor(job: Job, source: Submission) -> Submission:
    return Submission(
        uuid=str(uuid4()),
        position=0,
        job=job,
        job_name=job.name,
        job_revision=source.job_revision,
        open_link=job.open_links,
        resumed_from=source.uuid,
    )


def _batch(order: Resumption, source: Submission, submission: Submission, link: Link) -> Batch:
    old = source.batch
    return Batch(
        uuid=str(uuid4()),
        name=old.name,
        email=old.email,
        address=order.address,
        account_id=order.account.id if order.account else None,
        idempotency_key=order.kept_key,
        uploads=[_upload(each, link) for each in source.uploads],
        submissions=[submission],
    )


def _upload(old: Upload, link: Link) -> Upload:
    key = f"uploads/{uuid4()}"
    _take_file(link, old.key, key)
    return Upload(name=old.name, key=key, field=old.field, ending=old.ending, size=old.size, sha256=old.sha256)


def _take_file(link: Link, old: str, new: str) -> None:
    try:
        link(old, new)
    except NotFound:
        raise Conflict(f"A file of this run is not kept any more. {FROM_THE_START}") from None


@dataclass(frozen=True)
class _Succession:
    """The making of the new runs from the old ones."""

    session: Session
    submission: Submission
    current: bool
    priority: Priority
    link: Link

    def take_up(self, source: Submission, again: Sequence[Run]) -> None:
        """Give the new submission a run for each of the old: taken over, or to be run once more."""
        taken = _complete_without(source, again)
        ended_early = any(_ended_the_job(run) for run in taken)
        for run in source.runs:
            new = self._taken(run) if run in taken else self._once_more(run)
            new.stage, new.position, new.step = run.stage, run.position, run.step
            new.needs, new.condition = run.needs, run.condition
            if ended_early and run.state is State.SKIPPED:
                new.state, new.reason = State.SKIPPED, "The job ended early, in a step that was taken over"
            self.submission.runs.append(new)
        self.submission.say("Submitted")
        self.submission.say(_told(source, again[0].stage, taken))

    def _taken(self, run: Run) -> Run:
        new = freezing.same_again(run, self.submission.uuid, run.queue, Priority.PLAIN)
        new.state, new.reason, new.taken_from = run.state, run.reason, run.uuid
        new.started, new.ended = run.started, run.ended
        new.exit_status, new.usage = run.exit_status, run.usage
        new.results = [self._result(new, number, each) for number, each in enumerate(run.results, 1)]
        return new

    def _result(self, run: Run, number: int, old: Result) -> Result:
        key = f"{storage.of_run(run.uuid)}0-{number}"
        _take_file(self.link, old.key, key)
        name = self.submission.uuid + old.name.removeprefix(old.run.submission.uuid)
        kept = Result(attempt=0, name=name, key=key, size=old.size, sha256=old.sha256)
        self.submission.results.append(kept)
        return kept

    def _once_more(self, run: Run) -> Run:
        return self._as_now(run) if self.current else self._as_then(run)

    def _as_then(self, run: Run) -> Run:
        work = Work.from_json(run.work)
        backend = backends.named(self.session, work.placement.backend)
        if backend is None:
            raise Conflict(
                f"Step {run.task_name}: the backend {work.placement.backend} it ran on was deleted. "
                "Resume with the tasks as they are now."
            )
        if reason := backends.obstacle(self.session, backend, work.language):
            raise Unavailable(f"Step {run.task_name}: {reason}")
        new = freezing.same_again(run, self.submission.uuid, backend.queue, self.priority)
        limits = in_force(work.limits, UNLIMITED, Limits.of(backend.ceilings))
        placement = {**new.work["placement"], "network": backend.network}
        new.work = {**new.work, "limits": asdict(limits), "placement": placement}
        new.minimum_level = max(run.minimum_level, backends.least_level(backend))
        return new

    def _as_now(self, run: Run) -> Run:
        task = self.session.get(Task, run.task_id) if run.task_id else None
        if task is None:
            raise Conflict(f"The task {run.task_name} was deleted: resume with the tasks as they were.")
        revision = task.current
        if reason := backends.obstacle(self.session, revision.backend, revision.language):
            raise Unavailable(f"Step {task.name}: {reason}")
        row = freezing.row_of(revision, self.submission.uuid, dict(_arguments(run, revision)), self.priority)
        new = Run(uuid=str(uuid4()), **row)
        new.minimum_level = max(new.minimum_level, run.minimum_level)
        return new


def _complete_without(source: Submission, again: Sequence[Run]) -> list[Run]:
    """What is complete and does not come after anything that is run once more. What was skipped is asked again."""
    anew = {run.position for run in (*again, *_failed(source))}
    after = progress.before(source.runs)
    complete = [run for run in source.runs if run.state is State.COMPLETE]
    return [run for run in complete if run.position not in anew and not after[run.position] & anew]


def _arguments(run: Run, revision: TaskRevision) -> Iterator[tuple[str, Argument]]:
    """The values that the run had, for the task's parameters of now; defaults for those that are new."""
    given = {each.name: each for each in Work.from_json(run.work).arguments}
    for each in revision.parameters:
        name = each.public_name(revision.task.name)
        yield name, _argument(name, each, given.get(each.alias))


def _argument(name: str, parameter: Parameter, given: Argument | None) -> Argument:
    """A file is taken over as a file, a value as a value."""
    if given and Kind.FILE in (parameter.kind, given.kind) and parameter.kind is not given.kind:
        given = None
    try:
        text, value = read(name, parameter.rule, given.text if given else parameter.default)
    except Invalid as wrong:
        raise Conflict(f"The task's parameters have changed. {wrong} {FROM_THE_START}") from None
    if given and parameter.kind is Kind.FILE:
        return parameter.argument(given.text, given.value)
    return parameter.argument(text, value)


def _ended_the_job(run: Run) -> bool:
    """Whether a complete run was, by its task's rules, the last of its job."""
    if run.state is not State.COMPLETE:
        return False
    work = Work.from_json(run.work)
    endings = [*work.outputs, *([work.stdout] if work.stdout else [])]
    missing = [ending for ending in endings if not any(fits(result.name, ending) for result in run.results)]
    return judge(work.rules, Outcome("exited", run.exit_status), missing).then is Then.FINISH


def _told(source: Submission, stage: int, taken: Sequence[Run]) -> str:
    how_many = "1 step was" if len(taken) == 1 else f"{len(taken)} steps were"
    return f"Goes on from step {stage} of {source.uuid[:8]}: {how_many} taken over"
