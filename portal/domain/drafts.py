"""What a task is to be, and everything that can be wrong with it by itself."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from portal.domain import command, limits, patterns, retries
from portal.domain.errors import Invalid
from portal.domain.limits import UNLIMITED, Limits
from portal.domain.names import OWN_FIELDS, check_ending, check_name, normal_ending, public_name
from portal.domain.parameters import LONGEST, MOST_DIGITS, Kind, Rule, check_default, file_part
from portal.domain.plugins import plugins
from portal.domain.retries import NO_RETRIES, Retries
from portal.domain.texts import check_text
from portal.domain.verdict import Then
from portal.domain.work import VALUE_FLAG

ALIAS = re.compile(r"(?!=$)[A-Za-z0-9_=][A-Za-z0-9_ .-]{0,79}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,119}")
OWN_VARIABLES = re.compile(
    r"PATH|HOME|TMPDIR|IFS|PS4|ENV|BASH_ENV|BASHOPTS|SHELLOPTS|LD_\w+|GLIBC_TUNABLES|GCONV_PATH|LOCPATH|MALLOC_\w+"
    r"|PYTHON(STARTUP|PATH|HOME|INSPECT|USERBASE|BREAKPOINT|WARNINGS|EXECUTABLE|PLATLIBDIR|PYCACHEPREFIX)"
    r"|R_(PROFILE|ENVIRON|HOME)\w*"
)
MOST = {"parameters": 100, "variables": 100, "configurations": 100, "inputs": 50, "outputs": 50, "exit_statuses": 256}
MOST_CHOICES = 1_000
LARGEST_ENVIRONMENT = 100_000
NEEDS_A_VALUE = (Kind.INTEGER, Kind.DECIMAL, Kind.CHOICE, Kind.DATE)
UNORDERED = (Kind.BOOLEAN, Kind.CHOICE, Kind.DATE, Kind.FILE)
FARTHEST = sys.float_info.max
NO_WHOLE_NUMBER = f"No whole number of at most {MOST_DIGITS} digits is within these bounds: make them wider."

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
    pattern: str = ""

    @property
    def rule(self) -> Rule:
        return Rule(self.kind, self.required, self.default, self.minimum, self.maximum, self.choices, self.pattern)


@dataclass(frozen=True)
class ConfigurationDraft:
    """Software or a data set that a task rests on."""

    kind: str
    name: str
    parameters: str = ""
    version: str = ""


@dataclass(frozen=True)
class TaskDraft:
    """What a task is to be. `variables` have values; `secrets` are the variables that have a secret's, by its name.

    Any analyst may use a public one; `groups` None: shared as it is.
    """

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
    limits: Limits = UNLIMITED
    retries: Retries = NO_RETRIES
    parameters: tuple[ParameterDraft, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()
    configurations: tuple[ConfigurationDraft, ...] = field(default=())
    public: bool = True
    groups: tuple[str, ...] | None = None


def normal_endings(endings: Sequence[str]) -> tuple[str, ...]:
    return tuple(normal_ending(each) for each in endings)


def faults_of_numbers(draft: TaskDraft) -> Iterator[Fault]:
    """(field, sentence) for what there is too much of to look at each."""
    for name, most in MOST.items():
        if (number := len(getattr(draft, name))) > most:
            yield name, f"A task has at most {most} {name.replace('_', ' ')}, this has {number}: make two tasks of it."


def faults(draft: TaskDraft) -> Iterator[Fault]:
    """(field, sentence) for everything that is wrong with a draft, whatever else there is."""
    if reason := check_name(draft.name):
        yield "name", reason
    if draft.language not in plugins("languages"):
        yield "language", "Choose one of the installed languages."
    if reason := check_text("description", draft.description):
        yield "description", reason
    yield from _code_faults(draft)
    yield from _ending_faults(draft)
    yield from _parameter_faults(draft)
    yield from _variable_faults(draft)
    yield from _configuration_faults(draft.configurations)
    yield from _rule_faults(draft)
    yield from limits.faults(draft.limits)
    yield from retries.faults(draft.retries, draft.exit_statuses)


def _rule_faults(draft: TaskDraft) -> Iterator[Fault]:
    if wrong := [each for each in draft.exit_statuses if isinstance(each, bool) or each not in range(256)]:
        yield "exit_statuses", f"{str(wrong[0])[:40]!r} is no exit status: give whole numbers from 0 to 255."
    for name in ("on_exit_status", "on_missing_output"):
        if getattr(draft, name) not in list(Then):
            yield name, f"What the job does then is one of {', '.join(Then)}."


def _code_faults(draft: TaskDraft) -> Iterator[Fault]:
    if not draft.code.strip():
        yield "code", "Write the code, or the command."
    elif reason := check_text("code", draft.code):
        yield "code", reason
    elif draft.language == "command":
        try:
            command.check(draft.code, set(_known_places(draft)))
        except Invalid as wrong:
            yield "code", wrong.fields["code"]


def _known_places(draft: TaskDraft) -> Iterator[str]:
    valued = [each for each in draft.parameters if VALUE_FLAG in each.flag]
    yield from ("ID", "TMP")
    yield from (f"I{number}" for number in range(1, len(draft.inputs) + 1))
    yield from (f"O{number}" for number in range(1, len(draft.outputs) + 1))
    yield from (f"P{number}" for number in range(1, len(draft.parameters) - len(valued) + 1))
    if any(each.kind is not Kind.BOOLEAN for each in valued):
        yield VALUE_FLAG


def _ending_faults(draft: TaskDraft) -> Iterator[Fault]:
    for name, endings in (("inputs", draft.inputs), ("outputs", draft.outputs), ("stdout", (draft.stdout or ".x",))):
        if reasons := [reason for each in endings if (reason := check_ending(each))]:
            yield name, reasons[0]
        elif len(set(normal_endings(endings))) < len(endings):
            yield name, "Each ending is named once."


def _parameter_faults(draft: TaskDraft) -> Iterator[Fault]:
    for index, each in enumerate(draft.parameters):
        if reason := _alias_fault(draft, index):
            yield f"parameters-{index}-alias", reason
        for name, sentence in _own_faults(each):
            yield f"parameters-{index}-{name}", sentence


def _alias_fault(draft: TaskDraft, index: int) -> str | None:
    aliases = [each.alias for each in draft.parameters]
    if not ALIAS.fullmatch(aliases[index]):
        return "Name the parameter with letters, digits, _ - . or blanks."
    if aliases[index] in aliases[:index]:
        return "Another parameter has this name: choose a different one."
    name = public_name(draft.name, aliases[index])
    if name in OWN_FIELDS:
        return f"Forms have a field {name} already: choose another name."
    return _file_name_fault(draft, index) if draft.parameters[index].kind is Kind.FILE else None


def _file_name_fault(draft: TaskDraft, index: int) -> str | None:
    """Whether a parameter's file would bear the name of another file of the run."""
    own, before = draft.parameters[index], draft.parameters[:index]
    others = [file_part(each.alias, "") for each in before if each.kind is Kind.FILE]
    stdout = (draft.stdout,) if draft.stdout else ()
    endings = [f".{each.lstrip('.')}" for each in normal_endings((*draft.inputs, *draft.outputs, *stdout))]
    if file_part(own.alias, "") in others or any(_may_end_so(own, each) for each in endings):
        return "Another file of this task would bear this parameter's name: choose a different one."
    return None


def _may_end_so(draft: ParameterDraft, ending: str) -> bool:
    """Whether the name of a parameter's file may end so after the submission's UUID."""
    if draft.choices:
        return ending in [file_part(draft.alias, normal_ending(each)) for each in draft.choices]
    return f"{ending}.".startswith(f"{file_part(draft.alias, '')}.")


def _own_faults(draft: ParameterDraft) -> Iterator[Fault]:
    if draft.kind not in list(Kind):
        yield "kind", f"The type of a parameter is one of {', '.join(Kind)}."
        return
    for name in ("label", "help", "flag"):
        if reason := check_text(name, getattr(draft, name)):
            yield name, reason
    shape = [*_bound_faults(draft), *_pattern_faults(draft)]
    yield from shape or _value_faults(draft)


def _pattern_faults(draft: ParameterDraft) -> Iterator[Fault]:
    if draft.pattern and draft.kind is not Kind.TEXT:
        yield "pattern", "Only a text has a pattern: leave it empty."
    elif reason := patterns.fault(draft.pattern):
        yield "pattern", reason


def _bound_faults(draft: ParameterDraft) -> Iterator[Fault]:
    bounds = {"minimum": draft.minimum, "maximum": draft.maximum}
    given = {name: bound for name, bound in bounds.items() if bound is not None}
    own = [(name, reason) for name, bound in given.items() if (reason := _bound_fault(draft.kind, bound))]
    yield from own
    if len(given) == 2 and given["minimum"] > given["maximum"]:
        yield "minimum", "The smallest value is larger than the largest."
    elif not own and draft.kind is Kind.INTEGER and not _whole_numbers(draft):
        yield next(iter(given)), NO_WHOLE_NUMBER


def _whole_numbers(draft: ParameterDraft) -> range:
    """Those that can be sent, and are within the bounds."""
    largest = 10**MOST_DIGITS - 1
    low = -largest if draft.minimum is None else max(-largest, math.ceil(draft.minimum))
    high = largest if draft.maximum is None else min(largest, math.floor(draft.maximum))
    return range(low, high + 1)


def _bound_fault(kind: Kind, bound: float) -> str | None:
    if kind in UNORDERED:
        return f"A {kind} has no smallest or largest value: leave it empty."
    if kind is Kind.TEXT and bound not in range(LONGEST + 1):
        return f"A text's length is a whole number of characters, from 0 to {LONGEST}."
    return None if -FARTHEST <= bound <= FARTHEST else "Give a number that is not infinite, or none."


def _value_faults(draft: ParameterDraft) -> Iterator[Fault]:
    reasons = [reason for each in draft.choices[:MOST_CHOICES] if (reason := check_text("choice", each))]
    if len(draft.choices) > MOST_CHOICES:
        yield "choices", f"A parameter has at most {MOST_CHOICES} choices, this has {len(draft.choices)}."
    elif reasons:
        yield "choices", reasons[0]
    elif reason := _choices_fault(draft):
        yield "choices", reason
    elif draft.kind is Kind.FILE:
        yield from _file_faults(draft)
    elif draft.default is None and not draft.required and draft.kind in NEEDS_A_VALUE:
        yield "default", "Give a default, or make the parameter required."
    elif reason := check_text("default", draft.default or "") or check_default(draft.rule):
        yield "default", f"The default is not a valid value: {reason.removeprefix('default: ')}"


def _choices_fault(draft: ParameterDraft) -> str | None:
    if draft.kind is not Kind.CHOICE:
        return None
    if not draft.choices:
        return "List the values to choose from."
    if draft.required and "" in draft.choices:
        return "A required value cannot be empty: take the empty choice out, or make the parameter optional."
    twice = [each for at, each in enumerate(draft.choices) if each in draft.choices[:at]]
    return f"“{twice[0][:40]}” is listed twice: take one of them out." if twice else None


def _file_faults(draft: ParameterDraft) -> Iterator[Fault]:
    if draft.default is not None:
        yield "default", "A file has no default: leave it empty."
    for each in draft.choices:
        if reason := check_ending(each):
            yield "choices", reason
        elif not normal_ending(each).startswith("."):
            yield "choices", f"“{each}” is not an ending such as .csv."


def _variable_faults(draft: TaskDraft) -> Iterator[Fault]:
    """Those with a secret are numbered after the others."""
    names = [name for name, _ in (*draft.variables, *draft.secrets)]
    for index, name in enumerate(names):
        if not VARIABLE.fullmatch(name):
            yield f"variables-{index}-name", "Use letters, digits and _ for the variable's name."
        elif OWN_VARIABLES.fullmatch(name):
            yield f"variables-{index}-name", f"{name} is set by the portal: export it in the code, if it must differ."
        elif names.index(name) != index:
            yield f"variables-{index}-name", "Each variable is named once."
    for index, (_, value) in enumerate(draft.variables):
        if reason := check_text("variable's value", value):
            yield f"variables-{index}-value", reason
    if sum(len(f"{name}={value}".encode("utf-8", "replace")) for name, value in draft.variables) > LARGEST_ENVIRONMENT:
        most = f"at most {LARGEST_ENVIRONMENT} bytes go into a program's environment"
        yield (
            f"variables-{len(draft.variables) - 1}-value",
            f"Together, {most}: put long ones into the code, or a file.",
        )


def _configuration_faults(configurations: Sequence[ConfigurationDraft]) -> Iterator[Fault]:
    for index, each in enumerate(configurations):
        for name in ("kind", "name", "version", "parameters"):
            if reason := check_text(name, getattr(each, name)):
                yield f"configurations-{index}-{name}", reason
