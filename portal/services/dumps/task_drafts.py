"""Tasks of the first system as drafts of ours."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from portal.domain.drafts import OWN_VARIABLES, ConfigurationDraft, ParameterDraft, TaskDraft
from portal.domain.names import normal_ending, normal_name, own_alias
from portal.domain.parameters import Kind, Rule, check_default
from portal.domain.verdict import Then
from portal.domain.work import VALUE_FLAG
from portal.services.dumps.catalogue import Catalogue
from portal.services.dumps.dialects import Flag, rewrite
from portal.services.dumps.homes import Homes
from portal.services.dumps.report import Group, Report
from portal.services.dumps.rows import Row, Unquoted
from portal.services.dumps.vocabulary import CONFIGURATION_TYPES, EARLIER_BEHAVIOURS, THEN, USUAL_STDOUT


@dataclass
class Tasks:
    """The tasks of a dump; `doubtful` says, by the pk of each that nobody can be sure of, why."""

    catalogue: Catalogue
    report: Report
    homes: Homes
    doubtful: dict[str, str] = field(default_factory=dict)

    def draft(self, row: Row) -> TaskDraft:
        backend, language = self.homes.of(row)
        parameters = self.catalogue.of(row, "parameter")
        outputs = self._endings(row, "out_glob")
        code, redirected = self._code(row, language, parameters)
        variables = dict(self._variables(row))
        if language == "command":
            code = self._exported(row, variables) + code
        self._tell_lost_variables(row, variables)
        statuses, then = self._exit_statuses(row)
        return TaskDraft(
            name=self.catalogue.name(row),
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
            self._doubt(row, found.doubt)
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
        if goes_on and finishes:
            self._doubt(
                row, f"it goes on after exit status {goes_on[0]} and ends the job after {finishes[0]}: choose one."
            )
        for statuses, then in ((goes_on, Then.CONTINUE), (finishes, Then.FINISH), (fails, Then.FAIL)):
            if kept := tuple(dict.fromkeys(each for each in statuses if then is Then.FAIL or each not in fails)):
                return kept, then
        return (), Then.CONTINUE

    def _doubt(self, row: Row, why: str) -> None:
        self.doubtful[str(row.pk)] = why
        self.report.change(row.label, why)

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
            alias=own_alias(self.catalogue.name(task), public),
            label=public.removeprefix(f"{self.catalogue.name(task)}_")[:120],
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


def _status(part: object) -> int:
    """Raises ValueError."""
    plain = part.value if isinstance(part, Unquoted) else part
    if isinstance(plain, str) and not plain.strip():
        return 0
    if isinstance(plain, bool) or not isinstance(plain, str | int) or not 0 <= int(plain) <= 255:
        raise ValueError("not an exit status")
    return int(plain)
