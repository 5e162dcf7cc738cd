"""submit(): the ONE way in, for form, API, schedule and command line. All is checked before anything is kept."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, BinaryIO, cast
from uuid import uuid4

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, false, func, or_, select, text, union
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.orm import Session, joinedload

from portal import mail, storage
from portal.database import away, is_postgresql, once, transaction
from portal.domain import admission
from portal.domain.errors import Conflict, Invalid, NotAllowed, NotFound, Unavailable
from portal.domain.names import Priority, last_segment, normal_name, public_name
from portal.domain.parameters import Argument, Kind, file_part, read
from portal.domain.policy import Action
from portal.domain.states import FINAL, State
from portal.domain.texts import storable
from portal.models import Account, Batch, Job, Parameter, Run, Submission, TaskRevision, Upload
from portal.models.submission import UNDER_WAY
from portal.services import access, audit, backends, checking, jobs, looks, nesting, offers, quotas, stories
from portal.services.entering import enter
from portal.services.freezing import Row, freeze
from portal.services.offers import Offer
from portal.services.statements import row, tell
from portal.settings import settings

ONE_BY_ONE: Select[Any] = select(func.pg_advisory_xact_lock(func.hashtext(bindparam("sender"))).label("locked"))
_ACTIVE: Select[Any] = select(func.count(Submission.id).label("number")).where(text(UNDER_WAY))  # as the index has it
ACTIVE_OF_ACCOUNT = _ACTIVE.where(Submission.account_id == bindparam("account"))
ACTIVE_OF_ADDRESS = _ACTIVE.where(Submission.address == bindparam("address"), Submission.account_id.is_(None))
LONGEST_NAME = 64
LONGEST_EMAIL = 256
LONGEST_KEY = 200
MOST_JOBS = 100
NO_RUN, NO_BATCH = "There is no such run.", "There is no such batch."
LARGEST_ARGUMENTS = 100_000
LOOKED_THROUGH = 5_000
EMPTY = "The submitted file is empty."
PATIENCE = 5.0
PAUSE = 0.25


@dataclass(frozen=True)
class Incoming:
    """A file on its way in: the client's name for it, and its bytes."""

    name: str
    stream: BinaryIO


@dataclass(frozen=True)
class Order:
    """What somebody asks for: each of the jobs with each of the inputs.

    `values` and `files` are the parameters by public name, for all of them; `address` is the client's.
    """

    jobs: tuple[str, ...]
    name: str
    email: str
    inputs: tuple[Incoming, ...]
    values: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None
    address: str = ""
    idempotency_key: str | None = None
    files: Mapping[str, Incoming] = field(default_factory=dict)

    @property
    def kept_key(self) -> str | None:
        return kept_key(self.account, self.address, self.idempotency_key)


@dataclass(frozen=True)
class Stored:
    """A file of an order, as it is kept: a parameter's by its field, and by the ending that steps know it by; an input,
    where there are several, by its number."""

    name: str
    blob: storage.Blob
    field: str = ""
    ending: str = ""
    number: int = 0

    @property
    def sent(self) -> checking.Sent:
        return checking.Sent(self.field, self.name if self.number else "", self.blob)

    @property
    def row(self) -> Row:
        its = {"key": self.blob.key, "size": self.blob.size, "sha256": self.blob.sha256, "number": self.number}
        return {"name": self.name, "field": self.field, "ending": self.ending} | its


def submit(session: Session, order: Order) -> Batch:
    """Accept an order, and look at what it made."""
    return batch(session, accept(session, order))


def accept(session: Session, order: Order) -> str:
    """Accept an order: its commit is the promise. Gives the UUID of the batch.

    Raises NotFound, NotAllowed, TooMany, Unavailable, Conflict or Invalid. A request that comes again under its key
    gets the batch that it made.
    """
    if found := earlier(session, order):
        return found.uuid
    order = replace(order, idempotency_key=order.idempotency_key or str(uuid4()))
    chosen = [_offer(session, order, name).job for name in order.jobs]
    arguments = _check(session, order, chosen)
    stored = _store(order, arguments)
    accepting = _Accepting(session, order, arguments, stored)
    try:
        checking.check(chosen, [each.sent for each in stored])
        uuid = accepting.until_answered()
    except BaseException:
        if not accepting.uncertain:
            _discard(stored)
        raise
    if not accepting.kept:
        _discard(stored)
    return uuid


def earlier(session: Session, order: Order) -> Batch | None:
    """The batch that the same request made before, when its client asks again under the same key. Raises Conflict."""
    if not order.idempotency_key:
        return None
    found = session.scalar(select(Batch).where(Batch.idempotency_key == order.kept_key))
    if found and not _same_order(session, found, order):
        raise Conflict("This idempotency key was used for another request: choose a new one.")
    return found


def get(session: Session, uuid: str) -> Submission:
    submission = session.scalar(select(Submission).where(Submission.uuid == uuid))
    if submission is None:
        raise NotFound(NO_RUN)
    return submission


def seen(session: Session, uuid: str, account: Account | None) -> Submission:
    """The submission of this UUID. Raises NotFound, the same for one that somebody may not see."""
    known = joinedload(Submission.batch).joinedload(Batch.account), joinedload(Submission.job)
    found = session.scalar(select(Submission).where(Submission.uuid == uuid).options(*known))
    return access.shown(account, found, NO_RUN)


def in_company(session: Session, submission: Submission) -> bool:
    """Whether its batch has others."""
    others = select(Submission.id).where(Submission.batch_id == submission.batch_id, Submission.id != submission.id)
    return session.scalar(others.limit(1)) is not None


def run(session: Session, submission: Submission, uuid: str) -> Run:
    """The run of this UUID, of this very submission. Raises NotFound."""
    found = session.scalar(select(Run).where(Run.uuid == uuid, Run.submission_id == submission.id))
    if found is None:
        raise NotFound("There is no such step.")
    return found


def batch(session: Session, uuid: str) -> Batch:
    found = session.scalar(select(Batch).where(Batch.uuid == uuid))
    if found is None:
        raise NotFound(NO_BATCH)
    return found


@dataclass(frozen=True)
class Member:
    """A submission in the list of its batch: how many of its steps are over, and its input where it has one alone."""

    submission: Submission
    steps: int
    done: int
    input: str = ""

    @property
    def runs_now(self) -> bool:
        return self.submission.started is not None and not self.submission.state.final

    @property
    def facts(self) -> tuple[Any, ...]:
        """What its line is made of, beside what never changes."""
        return self.submission.uuid, self.submission.state, self.done, self.submission.delete_asked


@dataclass(frozen=True)
class Members:
    """Those submissions of a batch that whoever asks may see; `asking` says who that is, by the job's name.

    It is the same for all jobs (`alike`), unless a token is for one of them alone.
    """

    session: Session
    batch: Batch
    asking: Callable[[str], Account | None]
    alike: bool = True

    def facts(self) -> list[Any]:
        """How they stand, in a few columns."""
        return [fact for which, account in self._by_account() for fact in looks.over_all(self.session, which, account)]

    def seen(self) -> list[Submission]:
        """Them, with all of their rows at hand."""
        found = self.session.scalars(select(Submission).where(self.visible).order_by(Submission.position)).all()
        stories.load(self.session, found)
        return list(found)

    def counts(self) -> dict[State, int]:
        """How many there are in each state."""
        counted = select(Submission.state, func.count()).where(self.visible).group_by(Submission.state)
        return dict(sorted((state, number) for state, number in self.session.execute(counted)))

    def page(self, after: int, limit: int, state: State | None = None) -> list[Member]:
        """So many of them that come after this place, with how far they are."""
        wanted = select(Submission).where(self.visible, Submission.position > after).order_by(Submission.position)
        wanted = wanted.where(Submission.state == state) if state else wanted
        found = self.session.scalars(wanted.limit(limit)).all()
        over = func.sum(case((Run.state.in_(FINAL), 1), else_=0))
        mine = Run.submission_id.in_([each.id for each in found])
        steps = select(Run.submission_id, func.count(), over).where(mine).group_by(Run.submission_id)
        counted = {number: (total, done) for number, total, done in self.session.execute(steps)}
        names = self._inputs({each.input for each in found} - {0})
        return [Member(each, *counted.get(each.id, (0, 0)), names.get(each.input, "")) for each in found]

    def _inputs(self, numbers: Collection[int]) -> dict[int, str]:
        """What those who sent them called the inputs of these numbers."""
        if not numbers:
            return {}
        named = select(Upload.number, Upload.name).where(Upload.batch_id == self.batch.id, Upload.number.in_(numbers))
        return dict(self.session.execute(named).all())

    @cached_property
    def visible(self) -> ColumnElement[bool]:
        """The condition on submissions."""
        return or_(
            false(), *(and_(which, access.where(account, Action.SEE_RUN)) for which, account in self._by_account())
        )

    def _by_account(self) -> list[tuple[ColumnElement[bool], Account | None]]:
        mine = Submission.batch_id == self.batch.id
        if self.alike:
            return [(mine, self.asking(""))]
        names = self.session.scalars(select(Submission.job_name).where(mine).distinct()).all()
        asking = {name: self.asking(name) for name in names}
        return [
            (and_(mine, Submission.job_name.in_([name for name in names if asking[name] is account])), account)
            for account in dict.fromkeys(asking.values())
        ]


@dataclass(frozen=True)
class Wanted:
    """Which submissions a list shows: those with all of this, older than the one with the id `before`."""

    job: str | None = None
    state: State | None = None
    text: str | None = None
    before: int | None = None
    own: bool = False
    limit: int = 50


def listing(session: Session, account: Account, wanted: Wanted) -> Sequence[Submission]:
    """The wanted submissions that the account may see, newest first."""
    ways = [Submission.account_id == account.id] if wanted.own else access.listed_runs(account)
    newest = [select(_newest(way, wanted).subquery().c.id) for way in ways]
    found = select(Submission).where(Submission.id.in_(union(*newest) if len(newest) > 1 else newest[0]))
    loaded = joinedload(Submission.batch).joinedload(Batch.account)
    return session.scalars(found.options(loaded).order_by(Submission.id.desc()).limit(wanted.limit)).all()


def oldest_looked_at(session: Session, account: Account, wanted: Wanted) -> int | None:
    """Where the search for a text has ended, if older submissions were not looked at."""
    ways = [Submission.account_id == account.id] if wanted.own else access.listed_runs(account)
    last = [session.scalar(_candidates(way, wanted).offset(LOOKED_THROUGH - 1).limit(1)) for way in ways]
    return max((each for each in last if each), default=None)


def _newest(way: ColumnElement[bool], wanted: Wanted) -> Select[int]:
    """The ids of the newest that are wanted; those with a text are looked for among the newest of the others only."""
    if not wanted.text:
        return _candidates(way, wanted).limit(wanted.limit)
    looked_at = _candidates(way, wanted).add_columns(Submission.batch_id).limit(LOOKED_THROUGH).subquery()
    named = select(looked_at.c.id).join(Batch, Batch.id == looked_at.c.batch_id)
    named = named.where(Batch.name.icontains(wanted.text, autoescape=True))
    return named.order_by(looked_at.c.id.desc()).limit(wanted.limit)


def _candidates(way: ColumnElement[bool], wanted: Wanted) -> Select[int]:
    return select(Submission.id).where(way, *_conditions(wanted)).order_by(Submission.id.desc())


def _conditions(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    if wanted.job:
        yield Submission.job_name == wanted.job
    if wanted.state:
        yield Submission.state == wanted.state
    if wanted.before is not None:
        yield Submission.id < wanted.before


def active(session: Session, order: Order) -> int:
    """How many submissions of this account, or of this address, wait or run."""
    return once(session, ("active", _sender(order.account, order.address)), lambda: _active(session, order))


def _active(session: Session, order: Order) -> int:
    if order.account:
        return int(row(session, ACTIVE_OF_ACCOUNT, {"account": order.account.id}).number)
    return int(row(session, ACTIVE_OF_ADDRESS, {"address": order.address}).number)


def admit(session: Session, order: Order) -> Priority:
    """The priority, for what this transaction will make: two at one instant pass nobody's limit."""
    bounded = _limits().bound or settings().portal_quota_bytes is not None
    if bounded and is_postgresql(session):
        tell(session, ONE_BY_ONE, {"sender": _admitted_as(order)})
    return batch_priority(session, order)


def batch_priority(session: Session, order: Order) -> Priority:
    """The priority by the queue rules of the settings. Raises TooMany."""
    chosen, limits = settings(), _limits()
    usual = Priority(chosen.portal_logged_in_job_priority if order.account else chosen.portal_default_job_priority)
    return admission.priority(limits, active(session, order), usual) if limits.bound else usual


def _limits() -> admission.Limits:
    return admission.Limits(settings().portal_queue_hog_size, settings().portal_queue_hard_limit)


def _same_order(session: Session, batch: Batch, order: Order) -> bool:
    asked = [normal_name(name) for name in order.jobs]
    mine = select(Submission).where(Submission.batch_id == batch.id)
    then = session.scalars(mine.order_by(Submission.position).limit(len(asked) + 1)).all()
    members = session.scalars(mine.with_only_columns(func.count(Submission.id))).one()
    if [each.job_name for each in then[: len(asked)]] != asked or members != len(asked) * len(order.inputs):
        return False
    if batch.name != order.name or batch.email not in ("", order.email.strip()):
        return False
    frozen = {
        public_name(run.task_name, each["name"]): each
        for submission in then[: len(asked)]
        for run in submission.runs
        for each in run.work["arguments"]
    }
    return _same_values(frozen, order) and _same_files(batch, frozen, order)


def _same_values(frozen: Mapping[str, Mapping[str, Any]], order: Order) -> bool:
    """A value that is left out now is taken to be the one of then."""
    return all(order.values.get(name) in (None, "", each["text"]) for name, each in frozen.items())


def _same_files(batch: Batch, frozen: Mapping[str, Mapping[str, Any]], order: Order) -> bool:
    """The same files for the same fields; what no parameter takes does not count, nor what is not kept any more."""
    then = {(upload.field, upload.number): upload.sha256 for upload in batch.uploads}
    fields = [name for name, each in frozen.items() if each["kind"] == Kind.FILE and name in order.files]
    sent = {("", number): each for number, each in _numbered(order)} | {(name, 0): order.files[name] for name in fields}
    if then and sent.keys() != then.keys():
        return False
    return all(_is_of(sent[which], sha256) for which, sha256 in then.items())


def _numbered(order: Order) -> list[tuple[int, Incoming]]:
    """The inputs by their numbers; one alone is for all, and has none."""
    return [(0, each) for each in order.inputs] if len(order.inputs) == 1 else list(enumerate(order.inputs, 1))


def _is_of(incoming: Incoming, sha256: str) -> bool:
    incoming.stream.seek(0)
    digest = hashlib.file_digest(cast(Any, incoming.stream), "sha256").hexdigest()
    incoming.stream.seek(0)
    return digest == sha256


def _offer(session: Session, order: Order, name: str) -> Offer:
    offer = offers.of(session, name, order.account)
    if offer is None:
        raise NotFound(f"There is no job {name}.")
    if not offer.job.enabled:
        raise NotAllowed(f"{offer.job.name} is present but currently disabled.")
    return offer


def _check(session: Session, order: Order, chosen: Sequence[Job]) -> dict[str, Argument]:
    """Everything that needs no file; gives the arguments by public name."""
    if not 1 <= len(chosen) <= MOST_JOBS:
        raise Invalid(job=f"Name between 1 and {MOST_JOBS} jobs.")
    batch_priority(session, order)
    heard = backends.heard(session)
    for job in chosen:
        if found := jobs.obstacles(session, job, heard):
            raise Unavailable(" ".join(found))
    wrong: dict[str, str] = {}
    arguments = _arguments(order, chosen, wrong)
    _check_form(order, wrong)
    if wrong:
        raise Invalid(**wrong)
    quotas.check(session, order.account, order.address, _size(order))
    return arguments


def _size(order: Order) -> int:
    """The bytes of all files that came."""
    streams = [each.stream for each in (*order.inputs, *order.files.values())]
    size = sum(stream.seek(0, 2) for stream in streams)
    for stream in streams:
        stream.seek(0)
    return size


def wrong_values(order: Order, job: Job) -> dict[str, str]:
    """What is wrong with the values and files that are given for a job's parameters: {public name: sentence}."""
    wrong: dict[str, str] = {}
    _arguments(order, [job], wrong)
    return wrong


def _arguments(order: Order, chosen: Sequence[Job], wrong: dict[str, str]) -> dict[str, Argument]:
    revisions = dict.fromkeys(each for job in chosen for each in nesting.revisions(job))
    found = {}
    for revision in revisions:
        for each in revision.parameters:
            name = each.public_name(revision.task.name)
            try:
                found[name] = _argument(order, name, each)
            except Invalid as refusal:
                wrong.update(refusal.fields)
        if not wrong:
            _check_sizes(revision, found, wrong)
    return found


def _check_sizes(revision: TaskRevision, found: Mapping[str, Argument], wrong: dict[str, str]) -> None:
    """No system starts a program with more than some 100 kB in one of its arguments; code gets its values in a file."""
    names = [each.public_name(revision.task.name) for each in revision.parameters]
    sizes = {name: len(found[name].text.encode()) for name in names}
    if revision.language == "command" and (total := sum(sizes.values())) > LARGEST_ARGUMENTS:
        longest = max(sizes, key=sizes.__getitem__)
        wrong[longest] = (
            f"{longest}: the values of {revision.task.name} take {total} bytes together, and a command takes at most "
            f"{LARGEST_ARGUMENTS}: send a long one as a file."
        )


def _argument(order: Order, name: str, parameter: Parameter) -> Argument:
    if parameter.kind is Kind.FILE:
        return _file_argument(order, name, parameter)
    if name in order.files:
        raise Invalid(**{name: f"{name}: this takes a value and no file: send it as a form field."})
    return parameter.argument(*read(name, parameter.rule, order.values.get(name)))


def _file_argument(order: Order, name: str, parameter: Parameter) -> Argument:
    if order.values.get(name):
        raise Invalid(**{name: f"{name}: this takes a file: send it as a file part, with a file name."})
    sent = order.files.get(name)
    _, ending = read(name, parameter.rule, last_segment(sent.name) if sent else None)
    if ending is None:
        return parameter.argument("", None)
    return parameter.argument(file_part(parameter.alias, str(ending)), name)


def _check_form(order: Order, wrong: dict[str, str]) -> None:
    if reason := _name_fault(order.name):
        wrong["submission_name"] = reason
    if reason := _email_fault(order.email):
        wrong["email"] = reason
    most = settings().portal_max_inputs
    if not order.inputs:
        wrong["input_data"] = "This field is required."
    elif len(order.inputs) * len(order.jobs) > most:
        wrong["input_data"] = (
            f"These are {len(order.inputs):,} files for {len(order.jobs)} jobs: at most {most:,} runs."
        )


def _name_fault(name: str) -> str | None:
    if not name.strip():
        return "This field is required."
    if len(name) > LONGEST_NAME:
        return f"Ensure this value has at most {LONGEST_NAME} characters (it has {len(name)})."
    return None if storable(name) else "The character NUL cannot be kept: take it out."


def _email_fault(email: str) -> str | None:
    if not email.strip():
        return "This field is required."
    if len(email) > LONGEST_EMAIL:
        return f"Ensure this value has at most {LONGEST_EMAIL} characters (it has {len(email)})."
    return None if mail.is_address(email) else "Enter a valid email address."


def _store(order: Order, arguments: Mapping[str, Argument]) -> list[Stored]:
    """The inputs, then the parameters' files. All, or nothing is kept."""
    wanted = [("input_data", each) for each in order.inputs]
    further = [(name, each.text) for name, each in arguments.items() if each.kind is Kind.FILE and each.text]
    wanted += [(name, order.files[name]) for name, _ in further]
    blobs = _put(wanted)
    inputs = [
        Stored(last_segment(each.name), blob, number=number)
        for (number, each), blob in zip(_numbered(order), blobs, strict=False)
    ]
    return inputs + [
        Stored(last_segment(order.files[name].name), blob, name, ending)
        for (name, ending), blob in zip(further, blobs[len(inputs) :], strict=True)
    ]


def _put(wanted: Sequence[tuple[str, Incoming]]) -> list[storage.Blob]:
    """Keep these files, each of its field. Raises Invalid."""
    limit = settings().portal_max_upload_bytes
    with storage.putting() as together:
        for name, incoming in wanted:
            try:
                blob = together.put(f"uploads/{uuid4()}", incoming.stream, limit)
            except storage.TooLarge as wrong:
                raise storage.TooLarge(**{name: wrong.fields["input_data"]}) from None
            if blob.size == 0:
                alone = [field for field, _ in wanted].count(name) == 1
                raise Invalid(**{name: EMPTY if alone else f"{EMPTY[:-1]}: {last_segment(incoming.name)}."})
    return together.blobs


def _discard(stored: Sequence[Stored]) -> None:
    for each in stored:
        storage.delete(each.blob.key)


@dataclass
class _Accepting:
    """The one transaction that makes the rows; run again when its answer is lost, as the key keeps it from being two.

    `uncertain`: a commit was sent, and nobody knows yet what came of it. `kept`: the batch names our files.
    """

    session: Session
    order: Order
    arguments: Mapping[str, Argument]
    stored: Sequence[Stored]
    uncertain: bool = False
    kept: bool = False

    def until_answered(self) -> str:
        """The UUID of what was made."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self._found() or self._made()
            except (DBAPIError, NoConnection) as failure:
                if not away(failure):
                    raise
                if time.monotonic() > deadline:
                    raise Unavailable("The portal's database does not answer: try again in a minute.") from None
            time.sleep(PAUSE)

    def _found(self) -> str | None:
        """What an earlier try of ours has made after all."""
        if not self.uncertain:
            return None
        self.session.rollback()
        return self._earlier()

    def _earlier(self) -> str | None:
        """What stands under the key of our order; perhaps with our files."""
        batch = earlier(self.session, self.order)
        self.kept = batch is not None and self.stored[0].blob.key in {upload.key for upload in batch.uploads}
        return batch.uuid if batch else None

    def _made(self) -> str:
        """A commit that was refused has done nothing; what an earlier one did nobody knows still."""
        before, its = self.uncertain, _batch(self.order)
        try:
            with transaction(self.session):
                self._write(its)
                self.uncertain = True
        except DBAPIError as failure:
            if not away(failure):
                self.uncertain = before
            if not isinstance(failure, IntegrityError):
                raise
            found = self._earlier()
            if found is None:
                raise
            return found
        self.kept = True
        return str(its["uuid"])

    def _write(self, batch: Row) -> None:
        priority = admit(self.session, self.order)
        kept = sum(each.blob.size for each in self.stored)
        quotas.check(self.session, self.order.account, self.order.address, kept)
        least = backends.least_level_for(self.order.account)
        chosen = [_offer(self.session, self.order, name) for name in self.order.jobs]
        frozen = [freeze(each, self.arguments, priority, least) for each in chosen]
        members = [(each, number) for number, _ in _numbered(self.order) for each in frozen]
        enter(self.session, batch, [each.row for each in self.stored], members)
        audit.record(self.session, "submitted", "batch", batch["uuid"], **_detail(chosen, len(self.order.inputs)))
        self._refresh()

    def _refresh(self) -> None:
        """The locks may have been waited for so long that a file seems to belong to nothing."""
        try:
            for each in self.stored:
                storage.refresh(each.blob.key)
        except NotFound:
            raise Unavailable("The portal was busy for too long: send the request again.") from None


def kept_key(account: Account | None, address: str, key: str | None) -> str | None:
    """An idempotency key as it is kept: each sender has keys of their own, and learns nothing of those of others."""
    return hashlib.sha256(f"{_sender(account, address)}\n{key}".encode()).hexdigest() if key else None


def _admitted_as(order: Order) -> str:
    """Whose submissions the queue rules count together."""
    return _sender(order.account, order.address)


def _sender(account: Account | None, address: str) -> str:
    return f"account {account.id}" if account else f"address {address}"


def _batch(order: Order) -> Row:
    return {
        "uuid": str(uuid4()),
        "name": order.name,
        "email": order.email.strip(),
        "address": order.address,
        "account_id": order.account.id if order.account else None,
        "idempotency_key": order.kept_key,
    }


def _detail(chosen: Sequence[Offer], inputs: int) -> dict[str, Any]:
    told = {"jobs": [each.job.name for each in chosen]}
    return told if inputs == 1 else told | {"inputs": inputs}
