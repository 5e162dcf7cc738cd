"""From the rows of a dump to drafts of ours: nothing here touches the database."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from portal.domain.drafts import OWN_VARIABLES, ConfigurationDraft, ParameterDraft, TaskDraft
from portal.domain.limits import USUAL
from portal.domain.names import normal_ending, normal_name, own_alias
from portal.domain.parameters import Kind, Rule, check_default
from portal.domain.plugins import plugins
from portal.domain.verdict import Then
from portal.domain.work import VALUE_FLAG
from portal.services.backends import BackendDraft
from portal.services.dumps import clocks, conditions
from portal.services.dumps.catalogue import Catalogue
from portal.services.dumps.dialects import Flag, rewrite
from portal.services.dumps.report import Group, Report
from portal.services.dumps.rows import Row, Unquoted
from portal.services.dumps.vocabulary import (
    BEHAVIOURS,
    CONFIGURATION_TYPES,
    EARLIER_BEHAVIOURS,
    NO_VALIDATOR,
    THEN,
    USUAL_ROOT,
    USUAL_STDOUT,
    VALIDATORS,
    Behaviour,
)
from portal.services.jobs import JobDraft, StepDraft

NOT_IN_A_QUEUE = re.compile(r"[^A-Za-z0-9_-]")
HOMELESS = "unassigned"


@dataclass(frozen=True)
class PlannedJob:
    """A job, and by its steps' places the exit statuses of the step before under which they run."""

    draft: JobDraft
    conditions: dict[int, list[int]] = field(default_factory=dict)


@dataclass
class Plan:
    """What a dump asks for, in the order in which it can be made."""

    backends: list[BackendDraft] = field(default_factory=list)
    tasks: list[TaskDraft] = field(default_factory=list)
    jobs: list[PlannedJob] = field(default_factory=list)


def plan(rows: Sequence[Row], report: Report) -> Plan:
    """What is to be made of these rows. What cannot be is refused in the report, or told there."""
    return _Planner(Catalogue(rows, report), report).plan()


@dataclass
class _Planner:
    catalogue: Catalogue
    report: Report
    doubtful: dict[str, str] = field(default_factory=dict)

    def plan(self) -> Plan:
        found = Plan([self._backend(row) for row in self.catalogue.all("backend")])
        found.tasks = [self._task(row) for row in self.catalogue.all("task")]
        if any(task.backend == HOMELESS for task in found.tasks):
            found.backends.append(BackendDraft(HOMELESS, "local", "localhost", ("command",), enabled=False))
        found.jobs = [self._job(row) for row in self.catalogue.all("job")]
        self._tell_idle_queues()
        clocks.tell(self.catalogue)
        return found

    # Backends

    def _backend(self, row: Row) -> BackendDraft:
        name, behaviour = self._name(row), self._behaviour(row)
        known = behaviour or BEHAVIOURS[1]
        if behaviour is None:
            self.report.change(
                row.label, "it has no queue: it is switched off until somebody gives it one and allows it."
            )
        root = self.catalogue.text(row, "root_path")
        return BackendDraft(
            name=name,
            runner=known.runner,
            queue=self._queue(row, known),
            languages=(known.language,),
            root_directory="" if root == USUAL_ROOT else root,
            limits=USUAL,
            enabled=behaviour is not None,
        )

    def _behaviour(self, backend: Row) -> Behaviour | None:
        queue = self.catalogue.find(backend, "queue_type", "queuetype")
        source, name = (queue, "execution_behaviour") if queue else (backend, "server_type")
        number = self.catalogue.number(source, name)
        if number is not None and number not in BEHAVIOURS:
            self.report.refuse(source.label, f"{name} {number} is unknown; known are 1 to {len(BEHAVIOURS)}.")
        return BEHAVIOURS.get(number or 0)

    def _queue(self, backend: Row, behaviour: Behaviour) -> str:
        queue = self.catalogue.find(backend, "queue_type", "queuetype")
        name = self.catalogue.text(queue, "name") if queue else ""
        kept = NOT_IN_A_QUEUE.sub("_", name)[:80] or behaviour.queue
        if queue and kept != name:
            self.report.change(queue.label, f"its workers listen on the queue {kept}.")
        return kept

    def _tell_idle_queues(self) -> None:
        used = {self.catalogue.key(row, "queue_type") for row in self.catalogue.all("backend")}
        for row in self.catalogue.all("queuetype"):
            if row.pk not in used:
                self.report.say(Group.SKIPPED, row.label, "no backend uses this queue.")

    def _language(self, task: Row) -> tuple[str, str]:
        """The name of the task's backend, and the language that its queue stands for."""
        row = self.catalogue.find(task, "backend", "backend")
        if row is None:
            self.report.change(task.label, f"it has no backend: it is on one called {HOMELESS}, which is switched off.")
            return HOMELESS, BEHAVIOURS[1].language
        return self._name(row), (self._behaviour(row) or BEHAVIOURS[1]).language

    # Tasks

    def _task(self, row: Row) -> TaskDraft:
        backend, language = self._language(row)
        parameters = self.catalogue.of(row, "parameter")
        outputs = self._endings(row, "out_glob")
        code, redirected = self._code(row, language, parameters)
        variables = dict(self._variables(row))
        if language == "command":
            code = self._exported(row, variables) + code
        self._tell_lost_variables(row, variables)
        statuses, then = self._exit_statuses(row)
        return TaskDraft(
            name=self._name(row),
            language=language,
            backend=backend,
            code=code,
            description=self.catalogue.text(row, "description"),
            inputs=self._endings(row, "in_glob"),
            outputs=outputs,
            stdout=outputs[0] if redirected and outputs else self._stdout(row),
            exit_statuses=statuses,
            on_exit_status=then,
            on_missing_output=self._on_missing_output(row),
            parameters=tuple(self._parameter(row, each) for each in parameters),
            variables=tuple((name, value) for name, value in variables.items() if not OWN_VARIABLES.fullmatch(name)),
            configurations=tuple(self._configurations(row)),
        )

    def _name(self, row: Row) -> str:
        return normal_name(self.catalogue.text(row, "name"))

    def _code(self, row: Row, language: str, parameters: Sequence[Row]) -> tuple[str, bool]:
        """The code, and whether its standard output was redirected to its first output by hand."""
        code = self.catalogue.text(row, "executable")
        if language != "command":
            return code.replace("\r", ""), False
        current = any(name in each.fields for each in parameters for name in ("spacing", "switchless"))
        found = rewrite(code, list(self._flags(parameters)), current)
        for remark in found.remarks:
            self.report.change(row.label, remark)
        if found.doubt:
            self.doubtful[str(row.pk)] = found.doubt
            self.report.change(row.label, f"left as it is, {found.doubt}")
        return found.line, found.redirected

    def _flags(self, parameters: Sequence[Row]) -> Iterator[Flag]:
        number = 0
        for row in parameters:
            flag = self.catalogue.key(row, "flag") or ""
            if VALUE_FLAG not in flag:
                number += 1
                yield Flag(number, flag, self.catalogue.truth(row, "bool_valued", False))

    def _endings(self, row: Row, name: str) -> tuple[str, ...]:
        """The endings of a list such as `.a, .b`: white space means nothing there."""
        globs = [glob for glob in "".join(self.catalogue.text(row, name).split()).split(",") if glob]
        for glob in globs:
            if normal_ending(glob) != glob:
                self.report.change(row.label, f"{name}: {glob} is now {normal_ending(glob)}")
        return tuple(dict.fromkeys(map(normal_ending, globs)))

    def _stdout(self, row: Row) -> str:
        glob = "".join(self.catalogue.text(row, "stdout_glob").split()).lstrip(".")
        return f".{glob}" if glob else USUAL_STDOUT

    def _on_missing_output(self, row: Row) -> Then:
        number = self.catalogue.number(row, "incomplete_outputs_behaviour")
        for name in EARLIER_BEHAVIOURS:
            if number is None and (number := self.catalogue.number(row, name)) is not None:
                self.report.change(row.label, f"{name} {number} is read as incomplete_outputs_behaviour.")
        return self._then(row, "incomplete_outputs_behaviour", number)

    def _then(self, row: Row, name: str, number: int | None) -> Then:
        if number is not None and number not in THEN:
            self.report.refuse(row.label, f"{name} {number} is unknown; known are 0, 1 and 3.")
        return THEN.get(3 if number is None else number, Then.FAIL)

    def _exit_statuses(self, row: Row) -> tuple[tuple[int, ...], Then]:
        """Exit statuses beside 0 that are expected, and what follows: one thing, for all of them."""
        if stated := self._statuses(row, "custom_exit_status"):
            return stated, self._then(row, "custom_exit_behaviour", self.catalogue.number(row, "custom_exit_behaviour"))
        goes_on = (*self._statuses(row, "custom_success_exit"), *self._statuses(row, "success_codes"))
        finishes = self._statuses(row, "custom_terminate_exit")
        fails = (*self._statuses(row, "custom_fail_exit"), *self._statuses(row, "permanent_fail_codes"))
        if both := set(finishes) & set(goes_on) or (finishes if goes_on else ()):
            listed = ", ".join(map(str, sorted(both)))
            doubt = f"exit status {listed} ends its job and others let it go on: a task can say one of both."
            self.doubtful[str(row.pk)] = doubt
            self.report.change(row.label, f"{doubt} What goes on is kept.")
        if goes_on or finishes:
            kept = tuple(each for each in dict.fromkeys(goes_on or finishes) if each not in fails)
            return kept, Then.CONTINUE if goes_on else Then.FINISH
        return tuple(dict.fromkeys(fails)), Then.FAIL if fails else Then.CONTINUE

    def _statuses(self, row: Row, name: str) -> tuple[int, ...]:
        """The numbers of '1,2', of 1, or of a list. 0 is success in any case."""
        value = row.fields.get(name)
        parts = value if isinstance(value, list) else str(self.catalogue.key(row, name) or "").split(",")
        try:
            return tuple(dict.fromkeys(number for part in parts if (number := _status(part))))
        except ValueError:
            self.report.refuse(row.label, f"{name} is not a list of exit statuses from 0 to 255, such as 1,2.")
            return ()

    def _parameter(self, task: Row, row: Row) -> ParameterDraft:
        boolean = self.catalogue.truth(row, "bool_valued", False)
        public = normal_name(self.catalogue.text(row, "rest_alias"))
        kind = Kind.BOOLEAN if boolean else Kind.TEXT
        return ParameterDraft(
            alias=own_alias(self._name(task), public),
            label=public.removeprefix(f"{self._name(task)}_")[:120],
            flag=self.catalogue.text(row, "flag"),
            kind=kind,
            default=self._default(row, kind),
            required=True,
            spacing=self.catalogue.truth(row, "spacing", True),
            switchless=self.catalogue.truth(row, "switchless", False),
        )

    def _default(self, row: Row, kind: Kind) -> str | None:
        """The default, if it is a value at all: none is needed, as every parameter is asked for."""
        text = self.catalogue.text(row, "default")
        reason = check_default(Rule(kind, False, text)) if text else None
        if reason:
            self.report.change(row.label, f"its default is left out. {reason}")
        return text if text and not reason else None

    def _variables(self, task: Row) -> Iterator[tuple[str, str]]:
        for row in self.catalogue.of(task, "environment"):
            if name := self.catalogue.text(row, "env").strip():
                yield name, self.catalogue.text(row, "value")
            else:
                self.report.say(Group.SKIPPED, row.label, f"a variable of {task.label} without a name.")

    def _exported(self, row: Row, variables: dict[str, str]) -> str:
        """Variables that the portal sets itself, set by the command: taken out of `variables`."""
        own = [name for name, value in variables.items() if OWN_VARIABLES.fullmatch(name) and "$" not in value]
        words = "".join(f"export {name}={shlex.quote(variables.pop(name))}; " for name in own)
        for name in own:
            self.report.change(row.label, f"the variable {name} is set by its command, as the portal sets one for all.")
        return words

    def _tell_lost_variables(self, row: Row, variables: dict[str, str]) -> None:
        for name in filter(OWN_VARIABLES.fullmatch, variables):
            self.report.change(row.label, f"the variable {name} is left out: the portal sets it.")

    def _configurations(self, task: Row) -> Iterator[ConfigurationDraft]:
        for row in self.catalogue.of(task, "configuration"):
            parameters, version = self.catalogue.text(row, "parameters"), self.catalogue.text(row, "version")
            for kind, name in self._named_configurations(row):
                yield ConfigurationDraft(kind, name, parameters, version)

    def _named_configurations(self, row: Row) -> Iterator[tuple[str, str]]:
        """(kind, name); for two weeks there was a column for each kind."""
        earlier = {"Software": self.catalogue.text(row, "software"), "Dataset": self.catalogue.text(row, "dataset")}
        if any(earlier.values()):
            yield from ((kind, name) for kind, name in earlier.items() if name)
            return
        number = self.catalogue.number(row, "type") or 0
        if number not in CONFIGURATION_TYPES:
            self.report.refuse(row.label, f"type {number} is unknown; known are 0, 1 and 2.")
        yield CONFIGURATION_TYPES.get(number, ""), self.catalogue.text(row, "name")

    # Jobs

    def _job(self, row: Row) -> PlannedJob:
        steps = sorted(self._steps(row), key=lambda step: self._order(step))
        found = list(self._validators(row))
        reasons = [reason for _, reason in found if reason]
        reasons += [f"task {self._task_name(step)}: {doubt}" for step in steps if (doubt := self._doubt(step))]
        wanted = dict(self._conditions(steps, reasons))
        for reason in dict.fromkeys(reasons):
            self.report.change(row.label, f"imported, but not enabled: {reason}")
        draft = JobDraft(
            name=self._name(row),
            public=True,
            enabled=self.catalogue.truth(row, "runnable", False) and not reasons,
            validators=tuple(dict.fromkeys(name for name, reason in found if name and not reason)),
            steps=tuple(StepDraft(self._order(step), self._task_name(step)) for step in steps),
        )
        return PlannedJob(draft, wanted)

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
        return self._name(task) if task else ""

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
            return f"its check by the regular expression “{pattern[:80]}” cannot be taken over." if pattern else ""
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


def _status(part: object) -> int:
    """Raises ValueError."""
    plain = part.value if isinstance(part, Unquoted) else part
    if isinstance(plain, str) and not plain.strip():
        return 0
    if isinstance(plain, bool) or not isinstance(plain, str | int) or not 0 <= int(plain) <= 255:
        raise ValueError("not an exit status")
    return int(plain)
