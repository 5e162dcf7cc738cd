"""What a task is to be, and everything that can be wrong with it by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from portal.domain import command
from portal.domain.errors import Invalid
from portal.domain.names import ENDING, check_name, normal_ending
from portal.domain.parameters import Kind, Rule, check_default
from portal.domain.plugins import plugins
from portal.domain.verdict import Then

ALIAS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ .-]{0,79}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,119}")
OWN_VARIABLES = re.compile(
    r"PATH|HOME|TMPDIR|IFS|ENV|BASH_ENV|SHELLOPTS|PYTHON(STARTUP|PATH|HOME|INSPECT)|R_(PROFILE|ENVIRON|HOME)\w*|LD_\w+"
)
LONGEST_CODE = 1_000_000
NEEDS_A_VALUE = (Kind.INTEGER, Kind.DECIMAL, Kind.CHOICE)


Fault = tuple[str, str]


@dataclass(frozen=True)
class ParameterDraft:
    """What a parameter is to be."""

    alias: str
    label: str = ""
    help: str = ""
    flag: str = ""
    kind: Kind = Kind.TEXT
    default: str | None = None
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    spacing: bool = True
    switchless: bool = False

    @property
    def rule(self) -> Rule:
        return Rule(self.kind, self.required, self.default, self.minimum, self.maximum, self.choices)


@dataclass(frozen=True)
class ConfigurationDraft:
    """Software or a data set that a task rests on."""

    kind: str
    name: str
    parameters: str = ""
    version: str = ""


@dataclass(frozen=True)
class TaskDraft:
    """What a task is to be."""

    name: str
    language: str
    backend: str
    code: str
    description: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    stdout: str = ""
    exit_statuses: tuple[int, ...] = ()
    on_exit_status: Then = Then.CONTINUE
    on_missing_output: Then = Then.FAIL
    wall_seconds: int | None = None
    parameters: tuple[ParameterDraft, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    configurations: tuple[ConfigurationDraft, ...] = field(default=())


def normal_endings(endings: Sequence[str]) -> tuple[str, ...]:
    return tuple(normal_ending(each) for each in endings)


def faults(draft: TaskDraft) -> Iterator[Fault]:
    """(field, sentence) for everything that is wrong with a draft, whatever else there is."""
    if reason := check_name(draft.name):
        yield "name", reason
    if draft.language not in plugins("languages"):
        yield "language", "Choose one of the installed languages."
    yield from _code_faults(draft)
    yield from _ending_faults(draft)
    yield from _parameter_faults(draft.parameters)
    yield from _variable_faults(draft.variables)
    if draft.wall_seconds is not None and not 1 <= draft.wall_seconds <= 10_000_000:
        yield "wall_seconds", "Give a time limit of at least 1 second, or none."


def _code_faults(draft: TaskDraft) -> Iterator[Fault]:
    if not draft.code.strip():
        yield "code", "Write the code, or the command."
    elif len(draft.code) > LONGEST_CODE or "\0" in draft.code:
        yield "code", f"The code must be text of at most {LONGEST_CODE} characters."
    elif draft.language == "command":
        try:
            command.check(draft.code, set(_known_places(draft)))
        except Invalid as wrong:
            yield "code", wrong.fields["code"]


def _known_places(draft: TaskDraft) -> Iterator[str]:
    valued = [each for each in draft.parameters if "VALUE" in each.flag]
    yield from ("ID", "TMP")
    yield from (f"I{number}" for number in range(1, len(draft.inputs) + 1))
    yield from (f"O{number}" for number in range(1, len(draft.outputs) + 1))
    yield from (f"P{number}" for number in range(1, len(draft.parameters) - len(valued) + 1))
    if any(each.kind is not Kind.BOOLEAN for each in valued):
        yield "VALUE"


def _ending_faults(draft: TaskDraft) -> Iterator[Fault]:
    for name, endings in (("inputs", draft.inputs), ("outputs", draft.outputs), ("stdout", (draft.stdout or ".x",))):
        bad = next((each for each in endings if not ENDING.fullmatch(each)), None)
        if bad is not None:
            yield name, f"“{bad[:40]}” is not an ending such as .csv or a file name such as graph.out."
        elif len(set(normal_endings(endings))) < len(endings):
            yield name, "Each ending is named once."


def _parameter_faults(parameters: Sequence[ParameterDraft]) -> Iterator[Fault]:
    aliases = [each.alias for each in parameters]
    for index, each in enumerate(parameters):
        if not ALIAS.fullmatch(each.alias):
            yield f"parameters-{index}-alias", "Name the parameter with letters, digits, _ - . or blanks."
        elif aliases.index(each.alias) != index:
            yield f"parameters-{index}-alias", "Another parameter has this name: choose a different one."
        if each.kind is Kind.CHOICE and not each.choices:
            yield f"parameters-{index}-choices", "List the values to choose from."
        elif each.default is None and not each.required and each.kind in NEEDS_A_VALUE:
            yield f"parameters-{index}-default", "Give a default, or make the parameter required."
        elif reason := check_default(each.rule):
            yield f"parameters-{index}-default", f"The default is not a valid value: {reason.removeprefix('default: ')}"
        if each.minimum is not None and each.maximum is not None and each.minimum > each.maximum:
            yield f"parameters-{index}-minimum", "The smallest value is larger than the largest."


def _variable_faults(variables: Sequence[tuple[str, str]]) -> Iterator[Fault]:
    names = [name for name, _ in variables]
    for index, (name, value) in enumerate(variables):
        if not VARIABLE.fullmatch(name):
            yield f"variables-{index}-name", "Use letters, digits and _ for the variable's name."
        elif OWN_VARIABLES.fullmatch(name):
            yield f"variables-{index}-name", f"{name} is set by the portal and cannot be changed."
        elif names.index(name) != index:
            yield f"variables-{index}-name", "Each variable is named once."
        if "\0" in value:
            yield f"variables-{index}-value", "The value cannot hold a NUL character."
