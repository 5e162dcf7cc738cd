"""Work: everything a run needs, frozen when it is submitted, so that no later edit touches it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from portal.domain import command
from portal.domain.limits import USUAL, Limits
from portal.domain.names import file_for, output_for
from portal.domain.parameters import Argument, Kind, Value
from portal.domain.retries import NO_RETRIES, Retries
from portal.domain.verdict import Rules, Then

VALUE_FLAG = "VALUE"


@dataclass(frozen=True)
class Placement:
    """Where a run happens: the runner's name, the backend's root directory and options, and whether it has network."""

    backend: str
    runner: str
    root_directory: str = ""
    options: dict[str, str] = field(default_factory=dict)
    network: bool = False


@dataclass(frozen=True)
class Work:
    """One run's whole task. `identity` is the submission's UUID: it begins the name of every file.

    `secrets` has the names of secrets by variable, never a value; they were there when the task was `saved`.
    """

    identity: str
    task: str
    language: str
    code: str
    placement: Placement
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    stdout: str = ""
    arguments: tuple[Argument, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    saved: str = ""
    rules: Rules = field(default_factory=Rules)
    limits: Limits = USUAL
    retries: Retries = NO_RETRIES

    def file(self, ending: str) -> str:
        return file_for(self.identity, ending)

    def output(self, ending: str) -> str:
        """The name for an output: another than the input's where both have this ending."""
        return output_for(self.identity, ending) if ending in self.inputs else self.file(ending)

    def text(self, argument: Argument) -> str:
        """What a command has for a value: of a file, its name in the working directory."""
        return self.file(argument.text) if argument.kind is Kind.FILE and argument.text else argument.text

    def value(self, argument: Argument) -> Value:
        """What code has for a value: of a file, its name in the working directory, or None."""
        return argument.value if argument.kind is not Kind.FILE else self.text(argument) or None

    def files(self) -> list[Argument]:
        """The arguments that are files, and were sent."""
        return [each for each in self.arguments if each.kind is Kind.FILE and each.text]

    def flagged(self) -> list[Argument]:
        """The arguments that P1, P2 ... stand for; one whose flag holds VALUE takes no number."""
        return [each for each in self.arguments if VALUE_FLAG not in each.flag]

    def to_json(self) -> dict[str, Any]:
        parts = {name: dict(vars(value)) for name, value in vars(self).items() if is_dataclass(value)}
        return vars(self) | parts | {"arguments": tuple(dict(vars(each)) for each in self.arguments)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Work:
        """From what this or another version froze: what it does not know is left out, what is missing is as usual."""
        return cls(**{name: _READERS.get(name, _as_it_is)(data[name]) for name in _NAMES[cls] if name in data})


def _as_it_is(value: Any) -> Any:
    return value


def _placement(data: Mapping[str, Any]) -> Placement:
    return Placement(**_known(Placement, data))


def _arguments(data: Sequence[Mapping[str, Any]]) -> tuple[Argument, ...]:
    return tuple(Argument(**{**_known(Argument, each), "kind": Kind(each["kind"])}) for each in data)


def _rules(data: Mapping[str, Any]) -> Rules:
    return Rules(**{name: _RULES[name](value) for name, value in _known(Rules, data).items()})


def _known(kind: type[Placement | Argument | Rules], data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in _NAMES[kind] if name in data}


_NAMES = {kind: [each.name for each in fields(kind)] for kind in (Work, Placement, Argument, Rules)}
_RULES: dict[str, Callable[[Any], Any]] = {"exit_statuses": tuple, "on_exit_status": Then, "on_missing_output": Then}
_READERS: dict[str, Callable[[Any], Any]] = {
    "placement": _placement,
    "inputs": tuple,
    "outputs": tuple,
    "arguments": _arguments,
    "rules": _rules,
    "limits": Limits.of,
    "retries": Retries.of,
}


def bindings(work: Work, directory: str) -> dict[str, command.Binding]:
    """What each place of a command stands for. A boolean that is off, or no file, leaves nothing but its number."""
    found = {"ID": command.Binding(value=work.identity), "TMP": command.Binding(value=directory)}
    for number, ending in enumerate(work.inputs, 1):
        found[f"I{number}"] = command.Binding(value=work.file(ending))
    for number, ending in enumerate(work.outputs, 1):
        found[f"O{number}"] = command.Binding(value=work.output(ending))
    return found | _of_arguments(work)


def _of_arguments(work: Work) -> dict[str, command.Binding]:
    found = {f"P{number}": _of_argument(work, each) for number, each in enumerate(work.flagged(), 1)}
    values = [each for each in work.arguments if VALUE_FLAG in each.flag and each.kind is not Kind.BOOLEAN]
    if values:
        found["VALUE"] = _of_value(work, values[0], ())
    return found


def _of_argument(work: Work, argument: Argument) -> command.Binding:
    words = tuple(argument.flag.split())
    if argument.kind is Kind.BOOLEAN:
        return command.Binding(words if argument.value else ())
    return _of_value(work, argument, () if argument.switchless else words)


def _of_value(work: Work, argument: Argument, words: tuple[str, ...]) -> command.Binding:
    """A file that was not sent leaves nothing."""
    if argument.kind is Kind.FILE and not argument.text:
        return command.Binding()
    return command.Binding(words, work.text(argument), argument.spacing)
