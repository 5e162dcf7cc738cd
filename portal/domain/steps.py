"""The steps of a job laid out: steps that are jobs are replaced by their own steps, each with all that it comes after.

Stated once: by order number a step comes after all of its job with a smaller number, and runs whether or not those were
skipped; a step that names what it needs comes after just that, and is skipped when something of it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from portal.domain import conditions, plan
from portal.domain.conditions import Condition
from portal.domain.states import State

UNNAMED = "deleted"


@dataclass(frozen=True)
class Part:
    """A step of a job as its author sees it: a task, or the parts of another job. `task` is for the caller to know."""

    name: str
    order: int
    task: Any = None
    parts: tuple[Part, ...] | None = None
    needs: tuple[str, ...] | None = None
    condition: Condition | None = None

    @property
    def size(self) -> int:
        """How many tasks it stands for."""
        return 1 if self.parts is None else sum(part.size for part in self.parts)


@dataclass(frozen=True)
class Leaf:
    """A task where it runs: `name` tells the jobs that it stands in, `root` is the number of the outermost step."""

    name: str
    task: Any
    root: int
    stage: int
    needs: frozenset[int]
    earlier: frozenset[int]
    conditions: tuple[Condition, ...] = ()


def names(given: Sequence[tuple[str, str]]) -> list[str]:
    """What steps are called, by the name that each was given, if any, and by what it runs: fit, fit 2."""
    taken = {name for name, _ in given if name}
    found = []
    for name, thing in given:
        found.append(name or _free(thing or UNNAMED, taken))
        taken.add(found[-1])
    return found


def _free(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number, free = number + 1, f"{name} {number + 1}"
    return free


def ways(parts: Sequence[Part]) -> dict[int, list[int]]:
    """The numbers of the parts of one job that each of them comes after."""
    return {index: _after(part, parts) for index, part in enumerate(parts)}


def _after(part: Part, parts: Sequence[Part]) -> list[int]:
    if part.needs is None:
        return [index for index, other in enumerate(parts) if other.order < part.order]
    return [index for index, other in enumerate(parts) if other.name in part.needs]


def earlier(parts: Sequence[Part]) -> dict[int, frozenset[int]]:
    """The numbers of all parts of one job that come before each, near and far."""
    found = ways(parts)
    stages = plan.stages(found)
    return plan.before(plan.Place(each, stages[each], State.WAITING, frozenset(found[each])) for each in found)


def by_order(parts: Sequence[Part]) -> list[Part]:
    """The same without the needs, for a picture of what cannot run as it stands."""
    return [replace(part, needs=None) for part in parts]


def lay_out(parts: Sequence[Part]) -> list[Leaf]:
    """All the tasks of a job, at their places from 0 on. Raises ValueError when some wait for each other."""
    layout = _Layout()
    layout.add(parts)
    return layout.leaves()


@dataclass
class _Layout:
    found: list[tuple[Part, _Setting]] = field(default_factory=list)

    def add(self, parts: Sequence[Part], around: _Setting | None = None) -> None:
        spans = _spans(parts, len(self.found))
        for index, after in ways(parts).items():
            setting = _Setting(parts[index], index, [spans[each] for each in after], around)
            setting.tell_conditions({part.name: span for part, span in zip(parts, spans, strict=True)})
            inner = parts[index].parts
            if inner is None:
                self.found.append((parts[index], setting))
            else:
                self.add(inner, setting)

    def leaves(self) -> list[Leaf]:
        needs = {place: setting.needs for place, (_, setting) in enumerate(self.found)}
        stages, near = plan.stages(needs), plan.nearest(needs)
        earlier = plan.before(plan.Place(each, stages[each], State.WAITING, near[each]) for each in needs)
        return [
            Leaf(
                setting.name,
                part.task,
                setting.root,
                stages[place],
                near[place],
                earlier[place],
                tuple(_among_all(condition, earlier) for condition in setting.conditions),
            )
            for place, (part, setting) in enumerate(self.found)
        ]


class _Setting:
    """Where a part stands: what it inherits from the jobs around it, and what it comes after itself."""

    def __init__(self, part: Part, index: int, after: Sequence[range], around: _Setting | None) -> None:
        self.part = part
        self.name: str = f"{around.name}/{part.name}" if around else part.name
        self.root: int = around.root if around else index
        self.needs: frozenset[int] = (around.needs if around else frozenset()).union(*after)
        self.conditions: list[Condition] = list(around.conditions) if around else []

    def tell_conditions(self, runs: Mapping[str, range]) -> None:
        self.conditions += [conditions.of_needs(name, runs.get(name, ())) for name in self.part.needs or ()]
        if self.part.condition is not None:
            self.conditions.append(conditions.bound(self.part.condition, runs, self.needs))


def _spans(parts: Sequence[Part], start: int) -> list[range]:
    """The places that each part takes, from `start` on."""
    found = []
    for part in parts:
        found.append(range(start, start + part.size))
        start += part.size
    return found


def _among_all(condition: Condition, earlier: Mapping[int, frozenset[int]]) -> Condition:
    """A file may have been given by anything that comes before, near or far."""
    if "among" not in condition:
        return condition
    near = condition["among"]
    return {**condition, "among": sorted(frozenset(near).union(*(earlier[place] for place in near)))}
