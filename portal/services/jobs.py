"""Jobs: composing tasks into steps, and what a person must know to run one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, joinedload

from portal import validators
from portal.database import is_postgresql, transaction
from portal.domain import conditions, graph, plan, steps
from portal.domain.drafts import Fault
from portal.domain.errors import Conflict, Invalid, NotFound
from portal.domain.names import check_name, normal_name
from portal.domain.parameters import Rule
from portal.domain.plugins import plugins
from portal.domain.policy import Action
from portal.domain.steps import Leaf, Part
from portal.domain.texts import check_text, storable
from portal.models import Account, Job, JobRevision, Step, Submission, Task, TaskRevision, Worker
from portal.services import access, audit, backends, catalogue, composing, nesting, sharing, tasks, twins
from portal.services.composing import MOST_STEPS

LONGEST_KEPT_DAYS = 36_500
LARGEST_ORDER = 100_000
MOST_VALIDATORS = 20


@dataclass(frozen=True)
class StepDraft:
    """A step: a task, or another job. Without `needs` it has its turn by its order number; no name: its task's."""

    order: int
    task: str = ""
    name: str = ""
    needs: tuple[str, ...] | None = None
    condition: Mapping[str, Any] | None = None
    job: str = ""

    @property
    def thing(self) -> str:
        return self.task or self.job


@dataclass(frozen=True)
class JobDraft:
    """What a job is to be. `open_links` None: open where it is public; `groups` None: shared as it is."""

    name: str
    description: str = ""
    public: bool = False
    enabled: bool = True
    validators: tuple[str, ...] = ()
    steps: tuple[StepDraft, ...] = ()
    keep_days: int | None = None
    open_links: bool | None = None
    groups: tuple[str, ...] | None = None

    @property
    def links(self) -> bool:
        return self.public if self.open_links is None else self.open_links


@dataclass(frozen=True)
class Field:
    """One field of a job's form: a parameter of one of its tasks under its public name."""

    name: str
    label: str
    help: str
    rule: Rule
    task: str


def every(session: Session) -> Sequence[Job]:
    return session.scalars(select(Job).order_by(Job.name)).all()


def seen_by(session: Session, account: Account | None, after: str = "", limit: int | None = None) -> Sequence[Job]:
    """The jobs that somebody may see and run, by name: those after this name, so many of them."""
    seen = select(Job).where(Job.name > after, access.where(account, Action.RUN_JOB))
    return session.scalars(seen.order_by(Job.name).limit(limit).options(joinedload(Job.owner))).all()


def seen(session: Session, name: str, account: Account | None) -> Job:
    """The job of this name. Raises NotFound, the same for one that somebody may not see."""
    return access.shown(account, named(session, name), f"There is no job {name}.")


def to_change(session: Session, name: str, account: Account | None) -> Job:
    """The same, for who changes it. Raises NotFound or NotAllowed."""
    job = seen(session, name, account)
    access.check(account, Action.CHANGE_JOB, job)
    return job


def get(session: Session, name: str) -> Job:
    job = named(session, name)
    if job is None:
        raise NotFound(f"There is no job {name}.")
    return job


def named(session: Session, name: str) -> Job | None:
    """The job of this name, if it could be one and is."""
    return session.scalar(select(Job).where(Job.name == normal_name(name))) if storable(name) else None


def runnable_by(session: Session, account: Account | None) -> list[Job]:
    enabled = [job for job in seen_by(session, account) if job.enabled]
    return [job for job in catalogue.jobs_at_hand(session, enabled) if job.current.steps]


@dataclass(frozen=True)
class Choice:
    """What the author of a job may make it of: what they may use, and what is in their job already.

    Where there is no author, whoever has the machine writes, and may use everything.
    """

    session: Session
    author: Account | None = None
    job: Job | None = None

    def tasks(self) -> list[str]:
        kept = {step.task.name for step in self._kept if step.task}
        return sorted(kept | {each.name for each in tasks.seen_by(self.session, self.author)})

    def jobs(self) -> list[str]:
        """Those that have steps, but for the job itself."""
        kept = {step.subjob.name for step in self._kept if step.subjob}
        seen = catalogue.jobs_at_hand(self.session, seen_by(self.session, self.author))
        found = [each for each in seen if each is not self.job and each.current.steps]
        return sorted(kept | {each.name for each in found})

    def know(self, drafts: Sequence[StepDraft]) -> None:
        """Look up all that these steps are at once."""
        names = {normal_name(name) for each in drafts for name in (each.task, each.job) if name and storable(name)}
        found_tasks = self.session.scalars(select(Task).where(Task.name.in_(names))).all()
        found_jobs = self.session.scalars(select(Job).where(Job.name.in_(names))).all()
        catalogue.tasks_at_hand(self.session, found_tasks)
        catalogue.jobs_at_hand(self.session, found_jobs)
        self._known_tasks.update({each.name: each for each in found_tasks})
        self._known_jobs.update({each.name: each for each in found_jobs})

    def task(self, name: str) -> Task | None:
        found = self._known_tasks.get(name) or tasks.named(self.session, name) if name else None
        return found if found and (self.author is None or found.id in self._usable_tasks) else None

    def subjob(self, name: str) -> Job | None:
        found = self._known_jobs.get(name) or named(self.session, name) if name else None
        return found if found and (self.author is None or found.id in self._usable_jobs) else None

    @cached_property
    def _known_tasks(self) -> dict[str, Task]:
        return {}

    @cached_property
    def _known_jobs(self) -> dict[str, Job]:
        return {}

    @cached_property
    def _usable_tasks(self) -> set[int | None]:
        usable = select(Task.id).where(access.where(self.author, Action.USE_TASK))
        return {*self.session.scalars(usable), *(step.task_id for step in self._kept)}

    @cached_property
    def _usable_jobs(self) -> set[int | None]:
        usable = select(Job.id).where(access.where(self.author, Action.RUN_JOB))
        return {*self.session.scalars(usable), *(step.subjob_id for step in self._kept)}

    @cached_property
    def _kept(self) -> Sequence[Step]:
        """What is in the job already, for who may change it."""
        if self.job is None or not access.may(self.author, Action.CHANGE_JOB, self.job):
            return []
        return self.job.current.steps


@contextmanager
def changing(session: Session) -> Iterator[Session]:
    """A transaction that changes jobs: one at a time, so that two never put their jobs into each other."""
    with transaction(session) as writing:
        if is_postgresql(writing):
            writing.execute(select(func.pg_advisory_xact_lock(func.hashtext("jobs"))))
        yield writing


def save(session: Session, draft: JobDraft, author: Account | None, job: Job | None = None) -> JobRevision:
    """Add a revision to a job, or make one. Raises Invalid naming every field that is wrong."""
    draft = replace(draft, name=normal_name(draft.name), steps=tuple(map(_normal, draft.steps)))
    draft = replace(draft, validators=tuple(map(_normal_entry, draft.validators)))
    choice = Choice(session, author, job)
    wrong = dict(_faults(choice, draft))
    if wrong:
        raise Invalid(**wrong)
    before = sharing.told(session, job) if job else {}
    job = job or Job(owner=author)
    job.name, job.public, job.enabled = draft.name, draft.public, draft.enabled
    job.open_links, job.keep_days = draft.links, draft.keep_days
    session.add(job)
    revision = JobRevision(
        number=job.revisions[-1].number + 1 if job.revisions else 1,
        author=author,
        description=draft.description,
        validators=list(draft.validators),
        steps=[_step(choice, each) for each in draft.steps],
    )
    job.revisions.append(revision)
    audit.record(session, "saved", "job", job.name, revision=revision.number, enabled=job.enabled)
    session.flush()
    sharing.with_groups(session, job, draft.groups)
    sharing.record(session, job, before, author)
    return revision


def _normal(step: StepDraft) -> StepDraft:
    return replace(
        step,
        name=normal_name(step.name),
        needs=tuple(normal_name(each) for each in step.needs) if step.needs else None,
        condition=conditions.normal(step.condition),
    )


def _normal_entry(text: str) -> str:
    """A validator's entry as it is kept: the file is named as its task is."""
    entry = validators.entry(text)
    return str(replace(entry, field=normal_name(entry.field))) if entry.field else text


def step(session: Session, draft: StepDraft) -> Step:
    """A row for the draft, whether or not it can be saved."""
    return _step(Choice(session), draft)


def _step(choice: Choice, draft: StepDraft) -> Step:
    return Step(
        order=draft.order,
        task=choice.task(draft.task),
        subjob=choice.subjob(draft.job),
        name=draft.name,
        needs=list(draft.needs) if draft.needs else None,
        condition=dict(draft.condition) if draft.condition else None,
    )


def delete(session: Session, job: Job, account: Account | None = None) -> None:
    """Its submissions stay, with the name it had, and as open. Raises Conflict while it is a step of another job."""
    if using := [each for each in nesting.having(session, [job]) if each is not job]:
        raise Conflict(f"The job {job.name} is a step of {access.names(account, using)}: take it out there first.")
    session.execute(update(Submission).where(Submission.job_id == job.id).values(open_link=job.open_links))
    audit.record(session, "deleted", "job", job.name)
    session.delete(job)


def draft_of(job: Job) -> JobDraft:
    return draft_from(job.current)


def draft_from(revision: JobRevision) -> JobDraft:
    """What a revision says, with what its job is now whatever the revision."""
    job = revision.job
    return JobDraft(
        name=job.name,
        description=revision.description,
        public=job.public,
        enabled=job.enabled,
        keep_days=job.keep_days,
        validators=tuple(revision.validators),
        steps=tuple(_draft_of(each) for each in revision.steps),
        open_links=None if job.open_links == job.public else job.open_links,
    )


def _draft_of(step: Step) -> StepDraft:
    return StepDraft(
        step.order,
        step.task.name if step.task else "",
        step.name,
        tuple(step.needs) if step.needs else None,
        step.condition,
        step.subjob.name if step.subjob else "",
    )


def stages(job: Job) -> list[list[str]]:
    """What runs side by side, stage by stage: the names of the job's own steps."""
    parts = nesting.parts(job)
    found = plan.stages(steps.ways(parts))
    return [[parts[index].name for index in found if found[index] == at] for at in sorted(set(found.values()))]


def first(job: Job) -> TaskRevision | None:
    """The task that the input is named for."""
    leaves = steps.lay_out(nesting.parts(job))
    return min(leaves, key=lambda leaf: leaf.stage).task if leaves else None


def fields(job: Job) -> list[Field]:
    """The job's parameters in step order. A task that stands in several steps is asked for once."""
    return [field for revision in nesting.revisions(job) for field in _fields_of(revision)]


def _fields_of(revision: TaskRevision) -> list[Field]:
    task = revision.task.name
    return [
        Field(each.public_name(task), each.label or each.alias, each.help, each.rule, task)
        for each in revision.parameters
    ]


def obstacles(session: Session, job: Job, heard: Sequence[Worker] | None = None) -> list[str]:
    """Why the job cannot run now: a sentence for each reason, none if it can; `heard` are the workers, where known."""
    if heard is None:
        catalogue.jobs_at_hand(session, [job])
        heard = backends.heard(session)
    if found := _obstacles_of_steps(session, job, heard):
        return found
    return [sentence for _, sentence in composing.of_files(nesting.parts(job), _checked_files(job.current.validators))]


def _checked_files(entries: Sequence[str]) -> list[str]:
    """The files that validators read, by public name; the input has none."""
    return [validators.entry(each).field for each in entries]


def _obstacles_of_steps(session: Session, job: Job, heard: Sequence[Worker]) -> list[str]:
    if not job.current.steps:
        return [f"The job {job.name} has no steps yet."]
    try:
        parts = nesting.parts(job)
    except Conflict as circle:
        return [str(circle)]
    found = [sentence for step in job.current.steps for sentence in _obstacles(session, step, heard)]
    return list(dict.fromkeys(found)) or [sentence for _, sentence in _lasting_faults(parts)]


def _lasting_faults(parts: Sequence[Part]) -> Iterator[Fault]:
    """What a later change of a task, or of a job that is a step, can have made wrong."""
    wrong = list(composing.of_size(parts))
    yield from wrong or composing.of_conditions(parts)


def _obstacles(session: Session, step: Step, heard: Sequence[Worker]) -> list[str]:
    if step.subjob:
        off = [] if step.subjob.enabled else [f"The job {step.subjob.name} is switched off."]
        return [*off, *_obstacles_of_steps(session, step.subjob, heard)]
    if step.task is None:
        return ["The task of a step is deleted: take the step out of the job."]
    revision = step.task.current
    reason = backends.obstacle(session, revision.backend, revision.language, heard)
    return [f"Step {step.task.name}: {reason}"] if reason else []


@dataclass(frozen=True)
class Picture:
    """What a draft would be, as far as its steps are chosen: how it runs, what its author must mend before it can be
    saved, and the files that come with a submission beside its input, by public name."""

    drawing: graph.Drawing
    warnings: list[str]
    files: list[str]


def picture(session: Session, draft: JobDraft, author: Account | None = None) -> Picture:
    """The picture of a job, of no more steps than a job may have."""
    parts = _parts(Choice(session, author, named(session, draft.name)), _at_most(draft))
    drawable = _drawable(parts)
    return Picture(
        graph.draw([_node(place, leaf) for place, leaf in enumerate(steps.lay_out(drawable))]),
        [sentence for _, sentence in composing.faults(parts)],
        composing.file_fields(drawable),
    )


def _at_most(draft: JobDraft) -> list[StepDraft]:
    return [_normal(each) for each in draft.steps[:MOST_STEPS]]


def _drawable(parts: Sequence[Part]) -> Sequence[Part]:
    """What cannot run is drawn by its order numbers; jobs with too many steps as one box each."""
    if any(composing.of_size(parts)):
        parts = [replace(part, parts=None) for part in parts]
    return steps.by_order(parts) if plan.circle(steps.ways(parts)) else parts


def _node(place: int, leaf: Leaf) -> graph.Node:
    return graph.Node(
        key=str(place),
        label=leaf.name,
        word=_language_label(leaf.task),
        css="plain",
        stage=leaf.stage,
        after=tuple(str(each) for each in sorted(leaf.needs)),
        note=conditions.all_words(leaf.conditions),
    )


def _parts(choice: Choice, drafts: Sequence[StepDraft]) -> list[Part]:
    """The steps for the rules, as far as they can be understood."""
    choice.know(drafts)
    names = steps.names([(each.name, each.thing) for each in drafts])
    return [_part(choice, each, name) for each, name in zip(drafts, names, strict=True)]


def _part(choice: Choice, draft: StepDraft, name: str) -> Part:
    task = choice.task(draft.task)
    return Part(
        name,
        draft.order,
        task.current if task else None,
        _inner(choice, draft),
        draft.needs,
        None if conditions.fault(draft.condition) else draft.condition,
    )


def _inner(choice: Choice, draft: StepDraft) -> tuple[Part, ...] | None:
    subjob = choice.subjob(draft.job)
    try:
        return nesting.parts(subjob, (choice.job,) if choice.job else ()) if subjob else None
    except Conflict:
        return None


def _language_label(revision: TaskRevision | None) -> str:
    known = plugins("languages").get(revision.language) if revision else None
    return known.label if known else ""


def _faults(choice: Choice, draft: JobDraft) -> Iterator[Fault]:
    if (reason := check_name(draft.name)) or (reason := twins.refusal(choice.session, Job, draft.name, choice.job)):
        yield "name", reason
    if reason := check_text("description", draft.description):
        yield "description", reason
    if draft.keep_days is not None and not 1 <= draft.keep_days <= LONGEST_KEPT_DAYS:
        yield "keep_days", f"Keep results for 1 to {LONGEST_KEPT_DAYS:,} days, or leave it empty."
    if reason := sharing.fault(choice.session, draft.groups):
        yield "groups", reason
    yield from _validator_faults(draft.validators)
    if len(draft.steps) > MOST_STEPS:
        yield "steps", f"A job has at most {MOST_STEPS} steps, this has {len(draft.steps)}: make two jobs of it."
    else:
        parts = _parts(choice, draft.steps)
        wrong = list(_step_faults(choice, draft.steps, parts))
        yield from wrong or _file_faults(parts, draft.validators)


def _validator_faults(entries: Sequence[str]) -> Iterator[Fault]:
    if len(entries) > MOST_VALIDATORS:
        yield "validators", f"A job has at most {MOST_VALIDATORS} validators, this has {len(entries)}."
    for index, entry in enumerate(map(validators.entry, entries[:MOST_VALIDATORS])):
        if entry.name not in plugins("validators"):
            yield f"validators-{index}-name", f"The validator {entry.name[:40]} is not installed: choose another."
        elif reason := check_text("option", entry.options) or validators.check_options(entry.name, entry.options):
            yield f"validators-{index}-options", reason


def _file_faults(parts: Sequence[Part], entries: Sequence[str]) -> Iterator[Fault]:
    for index, sentence in composing.of_files(parts, _checked_files(entries)):
        yield f"validators-{index}-file", sentence


def _step_faults(choice: Choice, drafts: Sequence[StepDraft], parts: Sequence[Part]) -> Iterator[Fault]:
    own = [fault for index, each in enumerate(drafts) for fault in _own_faults(choice, index, each)]
    yield from own or composing.faults(parts)
    if choice.job and not own:
        yield from _outer_faults(choice.session, choice.job, sum(part.size for part in parts))


def _outer_faults(session: Session, job: Job, size: int) -> Iterator[Fault]:
    """What the jobs around this one would become."""
    for outer in nesting.containing(session, [job]):
        if (total := nesting.size(outer, {job: size})) > MOST_STEPS:
            yield "steps", f"The job {outer.name} has this one as a step: it would have {total}, at most {MOST_STEPS}."


def _own_faults(choice: Choice, index: int, draft: StepDraft) -> Iterator[Fault]:
    if reason := _fault_of_thing(choice, draft):
        yield f"steps-{index}-task", reason
    if not 0 <= draft.order <= LARGEST_ORDER:
        yield f"steps-{index}-order", f"{draft.order} is no order number: give one from 0 to {LARGEST_ORDER}."
    if draft.name and (reason := check_name(draft.name)):
        yield f"steps-{index}-name", reason
    if draft.condition is not None and (reason := conditions.fault(draft.condition)):
        yield f"steps-{index}-condition", reason


def _unknown_task(name: str) -> str:
    return f"Choose one of the tasks{f': there is no {name[:40]}' if name else ''}."


def _fault_of_thing(choice: Choice, draft: StepDraft) -> str | None:
    if draft.task and draft.job:
        return "A step is a task or a job, not both: take one of them out."
    if not draft.job:
        return None if choice.task(draft.task) else _unknown_task(draft.task)
    subjob = choice.subjob(draft.job)
    if subjob is None:
        return f"There is no job {draft.job}: choose one of the jobs, or a task."
    try:
        nesting.parts(subjob, (choice.job,) if choice.job else ())
    except Conflict as circle:
        return str(circle)
    return None
