"""A portal with a thing of every kind for every role: its own, somebody's open one, somebody's closed one.

`Situation` names them as whoever asks sees them. For nobody, what is their own is what is open to everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import uuid4

from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.drafts import TaskDraft
from portal.domain.policy import Role
from portal.models import Account, Job, Share, Submission
from portal.services import accounts, backends, groups, jobs, resets, secrets, submissions, tasks, tokens
from portal.services.backends import BackendDraft
from portal.services.groups import GroupDraft
from portal.services.jobs import JobDraft, StepDraft
from portal.services.tokens import TokenDraft
from tests.conftest import PASSWORD
from tests.making import finish_step, order

QUEUE = "world"
NOBODY = "nobody"
ROLES = (NOBODY, *Role)
NOWHERE = 2**31 - 1


class Situation(StrEnum):
    OWN = "own"
    OPEN = "open"
    CLOSED = "closed"
    MISSING = "missing"


@dataclass(frozen=True)
class Things:
    """One thing of each kind, by the parts of addresses that name it."""

    task: str
    job: str
    run: str
    batch: str
    step: str
    file: str
    share: int
    token: int
    secret: str
    group: int
    backend: int
    account: int
    link: str

    def parts(self, kind: str) -> dict[str, Any]:
        """What the parts of an address are called, for a thing of this kind."""
        return {
            "task": {"name": self.task, "number": 1},
            "job": {"name": self.job},
            "run": {"uuid": self.run, "name": self.run, "run_uuid": self.step, "run": self.step, "share_id": self.share}
            | {"stream": "stdout"},
            "file": {"uuid": self.run, "name": self.file},
            "batch": {"uuid": self.batch, "name": self.batch},
            "token": {"token_id": self.token, "id": self.token},
            "secret": {"name": self.secret},
            "group": {"group_id": self.group},
            "backend": {"backend_id": self.backend},
            "account": {"account_id": self.account},
            "link": {"secret": self.link},
            "-": {},
        }[kind]


@dataclass(frozen=True)
class World:
    """All there is: by role and situation."""

    things: Mapping[str, Mapping[Situation, Things]] = field(default_factory=dict)


MISSING = Things(
    task="absent_thing",
    job="absent_thing",
    run=str(uuid4()),
    batch=str(uuid4()),
    step=str(uuid4()),
    file=f"{uuid4()}.txt",
    share=NOWHERE,
    token=NOWHERE,
    secret="absent_thing",
    group=NOWHERE,
    backend=NOWHERE,
    account=NOWHERE,
    link="A" * 43,
)


def build(session: Session) -> World:
    with transaction(session):
        backend = backends.save(session, BackendDraft(QUEUE, "local", QUEUE, ("command",))).id
        people = {role: accounts.create(session, role.value, PASSWORD, role) for role in Role}
        stranger = accounts.create(session, "stranger", PASSWORD, Role.ANALYST, "stranger@example.org")
        group = groups.save(session, GroupDraft("a group", ("stranger",)), stranger).id
    link = resets.new_link(stranger.id).rpartition("/")[2]
    make = _maker(session, group=group, backend=backend, account=stranger.id, link=link)
    public = make(stranger, "public_thing", True, sender=None)
    around = {
        Situation.OPEN: make(stranger, "opened_thing", True),
        Situation.CLOSED: make(stranger, "closed_thing", False),
        Situation.MISSING: MISSING,
    }
    own = {NOBODY: public} | {role.value: make(each, f"{role.value}_thing", False) for role, each in people.items()}
    return World({role: {Situation.OWN: thing, **around} for role, thing in own.items()})


def _maker(session: Session, **of_the_portal: Any) -> Callable[..., Things]:
    nobody = object()

    def make(owner: Account, name: str, public: bool, sender: Any = nobody) -> Things:
        job = service(session, owner, name, public)
        run = finished(session, job, owner if sender is nobody else sender)
        with transaction(session):
            share = Share(submission_id=run.id, group_id=of_the_portal["group"])
            session.add(share)
            made = tokens.create(session, owner, TokenDraft("a program", ("read",))).token
            secret = secrets.make(session, owner, name, "a value of somebody").name
        [step], [result] = run.runs, run.results
        return Things(
            task=name,
            job=name,
            run=run.uuid,
            batch=run.batch.uuid,
            step=step.uuid,
            file=result.name,
            share=share.id,
            token=made.id,
            secret=secret,
            **of_the_portal,
        )

    return make


def service(session: Session, owner: Account | None, name: str, public: bool, **more: Any) -> Job:
    """A task and a job of it, both of this name, and of this owner, who need not be an analyst any more."""
    with transaction(session):
        draft = TaskDraft(name, "command", QUEUE, "wc -l $I1", inputs=(".txt",), stdout=".txt", public=public)
        task = tasks.save(session, draft, None).task
        job = jobs.save(session, JobDraft(name, public=public, steps=(StepDraft(1, name),), **more), None).job
        task.owner = job.owner = owner
        return job


def finished(
    session: Session, job: Job, sender: Account | None, content: bytes = b"a result of somebody\n"
) -> Submission:
    """A run of the job that has ended, with a result and a log."""
    if sender:
        session.refresh(sender)
    submission = submissions.submit(session, order(job.name, account=sender)).submissions[0]
    finish_step(session, content, of=QUEUE)
    session.refresh(submission)
    return submission
