"""Conditions: whether a step runs, or is skipped. A condition is plain data, compared and never evaluated as code.

As its author writes it, it is one of
    {"parameter": public name, "is": [values]}
    {"exit_status_of": a step before, "is": [statuses]}
    {"file": ending, "exists": true or false}
A submission binds it to its runs, by their places, so that it has one answer however late it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from portal.domain.errors import Invalid
from portal.domain.names import check_ending, file_for, fits, normal_ending
from portal.domain.parameters import Argument, Rule, read
from portal.domain.texts import storable

Condition = Mapping[str, Any]

FORMS = (("parameter", "is"), ("exit_status_of", "is"), ("file", "exists"))
UPLOADS = -1  # the place of the files that came with the submission
MOST_VALUES = 50
LONGEST_VALUE = 1_000


@dataclass(frozen=True)
class Facts:
    """What is known when a condition is asked, by the places of runs: which were skipped, exit statuses, files."""

    skipped: Collection[int] = ()
    exit_statuses: Mapping[int, int | None] = field(default_factory=dict)
    files: Mapping[int, Collection[str]] = field(default_factory=dict)


def normal(condition: Any) -> Any:
    """As it is kept: values in a list, those of a parameter as texts, an ending with its dot. What is wrong stays."""
    if not isinstance(condition, Mapping):
        return condition
    kept = dict(condition)
    if "is" in kept and not isinstance(kept["is"], list | tuple):
        kept["is"] = [kept["is"]]
    if "parameter" in kept and "is" in kept:
        kept["is"] = [_text(each) for each in kept["is"]]
    if isinstance(kept.get("file"), str) and kept["file"].strip():
        kept["file"] = normal_ending(kept["file"])
    return kept


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).upper()
    return str(value) if isinstance(value, int | float) else value


def fault(condition: Any) -> str | None:
    """Why this is no condition, whatever the job; or None."""
    if not isinstance(condition, Mapping) or set(condition) not in [set(form) for form in FORMS]:
        return "A condition has two fields: parameter and is, exit_status_of and is, or file and exists."
    subject = condition[_subject(condition)]
    if not isinstance(subject, str) or not subject.strip() or not storable(subject):
        return "Say which parameter, which step or which ending the condition speaks of."
    if "file" in condition:
        exists = condition["exists"]
        return check_ending(subject) or (None if isinstance(exists, bool) else "exists is true or false.")
    return _fault_of_values(condition["is"], _is_text if "parameter" in condition else _is_status)


def _fault_of_values(values: Any, right: Callable[[Any], bool]) -> str | None:
    if not isinstance(values, list | tuple) or not 1 <= len(values) <= MOST_VALUES:
        return f"Give the condition 1 to {MOST_VALUES} values to compare with."
    if right is _is_status and not all(map(right, values)):
        return "An exit status is a whole number from 0 to 255."
    return None if all(map(right, values)) else f"A value is a text of at most {LONGEST_VALUE} characters."


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_VALUE and storable(value)


def _is_status(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


def _subject(condition: Condition) -> str:
    return next(subject for subject, _ in FORMS if subject in condition)


def fault_of_values(condition: Condition, rule: Rule) -> str | None:
    """Why a parameter of this rule can never have one of the condition's values; or None."""
    for each in condition["is"]:
        try:
            read(condition["parameter"], rule, each)
        except Invalid as wrong:
            return f"{wrong} No condition can wait for it."
    return None


def words(condition: Condition) -> str:
    """'if fit_alpha is 0.05 or 0.1', 'if the exit status of fit is 3', 'if there is no .csv file'."""
    if "file" in condition:
        return f"if there is {'a' if condition['exists'] else 'no'} {condition['file']} file"
    if "parameter" in condition:
        return f"if {condition['parameter']} is {_either(condition['is'])}"
    return f"if the exit status of {condition['exit_status_of']} is {_either(condition['is'])}"


def all_words(bound_ones: Iterable[Condition]) -> str:
    """The same of all that must hold, but for the needs, which a picture has arrows for."""
    return " and ".join(words(each) for each in bound_ones if "needs" not in each)


def _either(values: Sequence[Any]) -> str:
    return " or ".join(str(each) if each != "" else "empty" for each in values)


def of_needs(name: str, places: Collection[int]) -> dict[str, Any]:
    """The bound condition of a step that names what it needs: that this was not skipped, or not all of it."""
    return {"needs": name, "runs": sorted(places)}


def bound(condition: Condition, runs: Mapping[str, Sequence[int]], earlier: Collection[int]) -> dict[str, Any]:
    """The condition of a step, with the places of the runs that it speaks of; `earlier` come before the step."""
    if "file" in condition:
        return {**condition, "among": sorted(earlier)}
    if "exit_status_of" in condition:
        return {**condition, "run": next(iter(runs.get(condition["exit_status_of"], ())), None)}
    return dict(condition)


def settled(condition: Condition, arguments: Mapping[str, Argument]) -> dict[str, Any]:
    """A bound condition with what a parameter's value makes of it. Raises KeyError when there is no such parameter."""
    if "parameter" not in condition:
        return dict(condition)
    argument = arguments[condition["parameter"]]
    holds = any(value == argument.value for value in _values(argument, condition["is"]))
    return {**condition, "text": argument.text[:LONGEST_VALUE], "holds": holds}


def _values(argument: Argument, texts: Sequence[str]) -> Iterator[Any]:
    rule = Rule(argument.kind, required=False, choices=tuple(texts))
    for each in texts:
        try:
            yield read(argument.name, rule, each)[1]
        except Invalid:
            continue


def why_not(condition: Condition, facts: Facts) -> str | None:
    """Why a bound condition does not hold, as half a sentence; None if it does."""
    if "needs" in condition:
        skipped = condition["runs"] and all(place in facts.skipped for place in condition["runs"])
        return f"{condition['needs']}, which it needs, was skipped" if skipped else None
    if "file" in condition:
        return _why_not_file(condition, facts)
    if "parameter" in condition:
        given = condition["text"] or "empty"
        return None if condition["holds"] else f"{condition['parameter']} is {given}, not {_either(condition['is'])}"
    return _why_not_status(condition, facts)


def _why_not_file(condition: Condition, facts: Facts) -> str | None:
    names = [name for place in (UPLOADS, *condition["among"]) for name in facts.files.get(place, ())]
    there = any(fits(name, condition["file"]) for name in names)
    if there == condition["exists"]:
        return None
    return f"there is a {condition['file']} file" if there else f"there is no {condition['file']} file"


def _why_not_status(condition: Condition, facts: Facts) -> str | None:
    step, status = condition["exit_status_of"], facts.exit_statuses.get(condition["run"])
    if status in condition["is"]:
        return None
    if status is None:
        return f"{step} did not run, so it has no exit status"
    return f"the exit status of {step} is {status}, not {_either(condition['is'])}"


def upload_name(ending: str) -> str:
    """A name to compare endings with, of an upload known by this one."""
    return file_for("upload", ending)
