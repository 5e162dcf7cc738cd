"""Making what a plan asks for. What exists is found by its name and left, unless it is to be replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from sqlalchemy.orm import Session

from portal.domain.drafts import TaskDraft
from portal.domain.errors import Invalid
from portal.domain.limits import Limits
from portal.domain.names import public_name
from portal.models import Account, Backend, Job, JobRevision, Task
from portal.services import backends, jobs, tasks
from portal.services.backends import BackendDraft
from portal.services.dumps import writing
from portal.services.dumps.planning import Plan
from portal.services.dumps.report import Report
from portal.services.jobs import JobDraft

Parts = Mapping[str, Sequence[str]]

REMEDY = "rename one of both, or let the import replace it."


@dataclass
class Applying:
    """One plan for one database; whoever calls it commits, or does not."""

    session: Session
    report: Report
    author: Account | None
    replacing: bool = False
    replaced: set[str] = field(default_factory=set)

    def apply(self, plan: Plan) -> None:
        for backend in plan.backends:
            self._try(f"backend {backend.name}", partial(self._backend, backend))
        for task in plan.tasks:
            self._try(f"task {task.name}", partial(self._task, task), _parts(task))
        if not self.report.refused:
            for job in plan.jobs:
                self._try(f"job {job.name}", partial(self._job, job))

    def _try(self, what: str, make: Callable[[], None], parts: Parts | None = None) -> None:
        try:
            make()
        except Invalid as wrong:
            for name, sentence in wrong.fields.items():
                self.report.refuse(what, _about(name, parts or {}) + sentence)

    def _backend(self, draft: BackendDraft) -> None:
        known = backends.named(self.session, draft.name)
        if known is None:
            backends.save(self.session, draft, Backend(runner=draft.runner))
            self.report.made("queue", draft.queue)
            self.report.made("backend", draft.name, f"{', '.join(draft.languages)} on {draft.runner}.")
        elif known.runner == draft.runner and set(draft.languages) <= set(known.languages):
            self.report.kept(f"backend {draft.name}", f"its queue is {known.queue}.")
        elif self.replacing:
            backends.save(self.session, _backend_with_all_of(known, draft), known)
            self.report.change(f"backend {draft.name}", "replaced.")
        else:
            self._refuse_other(f"backend {draft.name}")

    def _task(self, draft: TaskDraft) -> None:
        known = tasks.named(self.session, draft.name)
        if known is None:
            tasks.save(self.session, draft, self.author)
            self._count(draft)
        elif writing.same_task(tasks.draft_of(known.current), draft):
            self.report.kept(f"task {draft.name}")
        elif self.replacing:
            replacing = replace(_task_with_all_of(known, draft), public=known.public)
            number = tasks.save(self.session, replacing, self.author, known).number
            self.replaced.add(draft.name)
            self.report.change(f"task {draft.name}", f"replaced, by its revision {number}.")
        else:
            self._refuse_other(f"task {draft.name}")

    def _count(self, draft: TaskDraft) -> None:
        self.report.made("task", draft.name)
        parts = {"parameter": draft.parameters, "variable": draft.variables, "configuration": draft.configurations}
        self.report.tally.update({kind: len(found) for kind, found in parts.items() if found})

    def _job(self, draft: JobDraft) -> None:
        known = jobs.named(self.session, draft.name)
        if known is None:
            enabled = self._save(draft).job.enabled
            self.report.made("job", draft.name, f"{len(draft.steps)} steps{'' if enabled else ', not enabled'}.")
            self.report.tally["step"] += len(draft.steps)
        elif writing.same_job(known.current, draft):
            self._keep(known, draft)
        elif self.replacing:
            number = self._save(_job_with_all_of(known, draft)).number
            self.report.change(f"job {draft.name}", f"replaced, by its revision {number}.")
        else:
            self._refuse_other(f"job {draft.name}")

    def _keep(self, known: Job, draft: JobDraft) -> None:
        """Whether a job is enabled is for this portal to say, until a task of it is another that is in doubt."""
        replaced = [step.task for step in draft.steps if step.task in self.replaced]
        if known.enabled and not draft.enabled and replaced:
            known.enabled = False
            self.report.change(f"job {draft.name}", f"switched off, as its task {replaced[0]} was replaced.")
        else:
            self.report.kept(f"job {draft.name}")

    def _save(self, draft: JobDraft) -> JobRevision:
        """What the first system could run and this portal would not save is there all the same, to be put right."""
        known = jobs.named(self.session, draft.name)
        try:
            return jobs.save(self.session, draft, self.author, known)
        except Invalid as wrong:
            if not all(name.startswith("steps") for name in wrong.fields):
                raise
            revision = jobs.save(self.session, replace(draft, steps=(), enabled=False), self.author, known)
            revision.steps = [jobs.step(self.session, each) for each in draft.steps]
            self.report.change(f"job {draft.name}", f"imported, but not enabled: {wrong}")
            self.session.flush()
            return revision

    def _refuse_other(self, what: str) -> None:
        self.report.refuse(what, f"another one of this name is there: {REMEDY}")


def _parts(task: TaskDraft) -> Parts:
    """What the parts of a task are called in the dump."""
    return {
        "parameters": [public_name(task.name, each.alias) for each in task.parameters],
        "variables": [name for name, _ in task.variables],
        "configurations": [each.name for each in task.configurations],
    }


def _about(name: str, parts: Parts) -> str:
    """The part that a sentence is about, if it is not about the whole: parameters-0-alias is the first parameter."""
    kind, _, rest = name.partition("-")
    return f"{kind.removesuffix('s')} {parts[kind][int(rest.partition('-')[0])]}: " if kind in parts else ""


def _backend_with_all_of(known: Backend, draft: BackendDraft) -> BackendDraft:
    """What replaces a backend keeps what the first system knows nothing of."""
    languages = tuple(dict.fromkeys((*known.languages, *draft.languages)))
    limits, ceilings = Limits.of(known.limits), Limits.of(known.ceilings)
    return replace(draft, languages=languages, limits=limits, ceilings=ceilings, options=known.options)


def _task_with_all_of(known: Task, draft: TaskDraft) -> TaskDraft:
    """The same of a task."""
    current = tasks.draft_of(known.current)
    return replace(draft, limits=current.limits, retries=current.retries)


def _job_with_all_of(known: Job, draft: JobDraft) -> JobDraft:
    """The same of a job; it is not made public or enabled where somebody here decided otherwise."""
    return replace(
        draft,
        description=known.current.description,
        public=known.public,
        enabled=known.enabled and draft.enabled,
        keep_days=known.keep_days,
    )
