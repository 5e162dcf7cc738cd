"""Making what a plan asks for. What exists is found by its name and left, unless it is to be replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy.orm import Session

from portal.domain.drafts import TaskDraft
from portal.domain.errors import Invalid
from portal.domain.limits import Limits
from portal.domain.steps import names
from portal.models import Account, Backend, JobRevision, Step
from portal.services import backends, jobs, tasks
from portal.services.backends import BackendDraft
from portal.services.dumps import writing
from portal.services.dumps.job_drafts import PlannedJob
from portal.services.dumps.planning import Plan
from portal.services.dumps.report import Report

REMEDY = "rename one of both, or let the import replace it."


@dataclass
class Applying:
    """One plan for one database; whoever calls it commits, or does not."""

    session: Session
    report: Report
    author: Account | None
    replacing: bool = False

    def apply(self, plan: Plan) -> None:
        for backend in plan.backends:
            self._try(f"backend {backend.name}", partial(self._backend, backend))
        for task in plan.tasks:
            self._try(f"task {task.name}", partial(self._task, task))
        if not self.report.refused:
            for job in plan.jobs:
                self._try(f"job {job.draft.name}", partial(self._job, job))

    def _try(self, what: str, make: Callable[[], None]) -> None:
        try:
            make()
        except Invalid as wrong:
            for sentence in wrong.fields.values():
                self.report.refuse(what, sentence)

    def _backend(self, draft: BackendDraft) -> None:
        known = backends.named(self.session, draft.name)
        if known is None:
            backends.save(self.session, draft, Backend(runner=draft.runner))
            self.report.made("queue", draft.queue)
            self.report.made("backend", draft.name, f"{', '.join(draft.languages)} on {draft.runner}.")
        elif known.runner == draft.runner and set(draft.languages) <= set(known.languages):
            self.report.kept(f"backend {draft.name}", f"its queue is {known.queue}.")
        elif self.replacing:
            backends.save(self.session, _with_all_of(known, draft), known)
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
            number = tasks.save(self.session, replace(draft, public=known.public), self.author, known).number
            self.report.change(f"task {draft.name}", f"replaced, by its revision {number}.")
        else:
            self._refuse_other(f"task {draft.name}")

    def _count(self, draft: TaskDraft) -> None:
        self.report.made("task", draft.name)
        parts = {"parameter": draft.parameters, "variable": draft.variables, "configuration": draft.configurations}
        self.report.tally.update({kind: len(found) for kind, found in parts.items() if found})

    def _job(self, planned: PlannedJob) -> None:
        draft = planned.draft
        known = jobs.named(self.session, draft.name)
        if known is None:
            enabled = self._save(planned).job.enabled
            self.report.made("job", draft.name, f"{len(draft.steps)} steps{'' if enabled else ', not enabled'}.")
            self.report.tally["step"] += len(draft.steps)
        elif writing.same_job(known.current, draft, planned.conditions):
            self.report.kept(f"job {draft.name}")
        elif self.replacing:
            number = self._save(planned).number
            self.report.change(f"job {draft.name}", f"replaced, by its revision {number}.")
        else:
            self._refuse_other(f"job {draft.name}")

    def _save(self, planned: PlannedJob) -> JobRevision:
        """What the first system could run and this portal would not save is there all the same, to be put right."""
        draft, known = planned.draft, jobs.named(self.session, planned.draft.name)
        try:
            revision = jobs.save(self.session, draft, self.author, known)
        except Invalid as wrong:
            if not all(name.startswith("steps") for name in wrong.fields):
                raise
            revision = jobs.save(self.session, replace(draft, steps=(), enabled=False), self.author, known)
            revision.steps = [Step(order=each.order, task=tasks.named(self.session, each.task)) for each in draft.steps]
            self.report.change(f"job {draft.name}", f"imported, but not enabled: {wrong}")
        if planned.conditions:
            _condition(revision.steps, planned.conditions)
        self.session.flush()
        return revision

    def _refuse_other(self, what: str) -> None:
        self.report.refuse(what, f"another one of this name is there: {REMEDY}")


def _condition(steps: list[Step], statuses: Mapping[int, list[int]]) -> None:
    """Name the steps, so that a condition can name the one before it."""
    for step, name in zip(steps, names([("", step.task.name if step.task else "") for step in steps]), strict=True):
        step.name = name
    for place, numbers in statuses.items():
        before = max((step for step in steps if step.order < steps[place].order), key=lambda step: step.order)
        steps[place].condition = {"exit_status_of": before.name, "is": numbers}


def _with_all_of(known: Backend, draft: BackendDraft) -> BackendDraft:
    """What replaces a backend keeps what the first system knows nothing of."""
    languages = tuple(dict.fromkeys((*known.languages, *draft.languages)))
    limits, ceilings = Limits.of(known.limits), Limits.of(known.ceilings)
    return replace(draft, languages=languages, limits=limits, ceilings=ceilings, options=known.options)
