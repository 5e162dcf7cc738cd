"""Jobs of the first system as drafts of ours. What is in doubt is imported, and not enabled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from portal.domain.plugins import plugins
from portal.domain.steps import names
from portal.services.dumps import conditions
from portal.services.dumps.catalogue import Catalogue
from portal.services.dumps.report import Group, Report
from portal.services.dumps.rows import Row
from portal.services.dumps.vocabulary import NO_VALIDATOR, VALIDATORS
from portal.services.jobs import JobDraft, StepDraft


@dataclass
class Jobs:
    """The jobs of a dump; `doubtful` says why a task, by its pk, may not do what was meant."""

    catalogue: Catalogue
    report: Report
    doubtful: Mapping[str, str]

    def draft(self, row: Row) -> JobDraft:
        steps = sorted(self._steps(row), key=lambda step: self._order(step))
        found = list(self._validators(row))
        reasons = [reason for _, reason in found if reason]
        reasons += [f"task {self._task_name(step)}: {doubt}" for step in steps if (doubt := self._doubt(step))]
        wanted = dict(self._conditions(steps, reasons))
        for reason in dict.fromkeys(reasons):
            self.report.change(row.label, f"imported, but not enabled: {reason}")
        plain = [StepDraft(self._order(step), self._task_name(step)) for step in steps]
        return JobDraft(
            name=self.catalogue.name(row),
            public=True,
            enabled=self.catalogue.truth(row, "runnable", False) and not reasons,
            validators=tuple(dict.fromkeys(name for name, reason in found if name and not reason)),
            steps=tuple(_conditioned(plain, wanted) if wanted else plain),
        )

    def _steps(self, job: Row) -> Iterator[Row]:
        for row in self.catalogue.of(job, "step"):
            if self.catalogue.find(row, "task", "task"):
                yield row
            elif self.catalogue.key(row, "task") is None:
                self.report.say(Group.SKIPPED, row.label, f"a step of {job.label} without a task.")

    def _order(self, step: Row) -> int:
        return self.catalogue.number(step, "ordering") or 0

    def _task_name(self, step: Row) -> str:
        task = self.catalogue.find(step, "task", "task")
        return self.catalogue.name(task) if task else ""

    def _doubt(self, step: Row) -> str:
        return self.doubtful.get(self.catalogue.key(step, "task") or "", "")

    def _validators(self, job: Row) -> Iterator[tuple[str, str]]:
        """(validator, reason why it cannot be used) for each of the job."""
        for row in self.catalogue.of(job, "validator"):
            if "re_string" in row.fields or not self.catalogue.all("validatortypes"):
                if reason := self._early_validator(row):
                    yield "", reason
            elif found := self.catalogue.find(row, "validation_type", "validatortypes"):
                name = self.catalogue.text(found, "name", NO_VALIDATOR)
                if name != NO_VALIDATOR:
                    ours = VALIDATORS.get(name, name)
                    yield ours, "" if ours in plugins("validators") else f"its validator {name} is unknown here."

    def _early_validator(self, row: Row) -> str:
        number = self.catalogue.number(row, "validation_type")
        if number in (None, 0):
            pattern = self.catalogue.text(row, "re_string")
            return _check_by_pattern(pattern) if pattern else ""
        kind = {1: "image", 2: "MP3"}.get(number or 0, str(number))
        return f"its check of type {kind} cannot be taken over: choose a validator."

    def _conditions(self, steps: Sequence[Row], reasons: list[str]) -> Iterator[tuple[int, list[int]]]:
        for place, step in enumerate(steps):
            if condition := self.catalogue.text(step, "condition").strip():
                before = [each for each in steps if self._order(each) < self._order(step)]
                nearest = [each for each in before if self._order(each) == self._order(before[-1])]
                try:
                    if len(nearest) != 1:
                        raise ValueError("it takes exactly one step before it")
                    yield place, conditions.statuses(condition)
                except ValueError as wrong:
                    reasons.append(f"the condition “{condition[:80]}” of {step.label} is not taken over, {wrong}.")


def _check_by_pattern(pattern: str) -> str:
    """Why it is not taken over: the first system looked at the beginning of the whole text, as re.match does."""
    asked = f"its check that the data begin as the regular expression “{pattern[:80]}” says"
    return f"{asked} cannot be taken over: choose a validator, such as regex for every line."


def _conditioned(steps: Sequence[StepDraft], statuses: Mapping[int, list[int]]) -> Iterator[StepDraft]:
    """The steps, each named so that a condition can name the one before it; `statuses` by the place of a step."""
    called = names([("", step.task) for step in steps])
    for place, step in enumerate(steps):
        named = replace(step, name=called[place])
        if place in statuses:
            before = max(each for each in range(len(steps)) if steps[each].order < step.order)
            yield replace(named, condition={"exit_status_of": called[before], "is": statuses[place]})
        else:
            yield named
