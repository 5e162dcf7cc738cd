"""What can be wrong with the steps of a job together: names, needs, circles, conditions, inputs that nothing gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from portal.domain import conditions, plan, steps
from portal.domain.drafts import Fault
from portal.domain.names import file_for, fits, namesakes
from portal.domain.parameters import Kind, Rule, file_part
from portal.domain.steps import Leaf, Part
from portal.domain.verdict import Then
from portal.models import TaskRevision

MOST_STEPS = 500
LONGEST_NAME = 200
MOST_LISTED = 12


def faults(parts: Sequence[Part]) -> Iterator[Fault]:
    """(field, sentence) for each. What rests on something wrong is not looked at."""
    for found in (list(look(parts)) for look in (_of_names, _of_needs, of_size, _of_circles)):
        if found:
            yield from found
            return
    leaves = steps.lay_out(parts)
    yield from _of_long_names(leaves)
    yield from _of_namesakes(leaves)
    yield from of_conditions(parts)
    yield from _of_inputs(leaves)


def _of_names(parts: Sequence[Part]) -> Iterator[Fault]:
    names = [part.name for part in parts]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield f"steps-{index}-name", f"Another step is called {name}: give one of them another name."


def _of_needs(parts: Sequence[Part]) -> Iterator[Fault]:
    names = [part.name for part in parts]
    for index, part in enumerate(parts):
        field, needs = f"steps-{index}-needs", part.needs or ()
        if part.name in needs:
            yield field, f"{part.name} cannot need itself: take it out."
        elif unknown := [each for each in needs if each not in names]:
            yield field, f"No step is called {_listed(unknown)}: the steps are {_listed(names)}."


def of_size(parts: Sequence[Part]) -> Iterator[Fault]:
    total = sum(part.size for part in parts)
    if total > MOST_STEPS:
        yield "steps", f"A job has at most {MOST_STEPS} steps, this has {total} with those of the jobs in it."
    for index, part in enumerate(parts):
        if part.parts is not None and not part.size:
            yield f"steps-{index}-task", f"The job of the step {part.name} has no steps yet: give it some first."


def _of_circles(parts: Sequence[Part]) -> Iterator[Fault]:
    circle = plan.circle(steps.ways(parts))
    if not circle:
        return
    ways = [_way(parts[one], parts[other]) for one, other in zip(circle, [*circle[1:], circle[0]], strict=True)]
    remedy = "Take one of the needs out, or give other order numbers."
    blamed = next(index for index in circle if parts[index].needs)
    yield f"steps-{blamed}-needs", f"These steps wait for each other: {'; '.join(ways)}. {remedy}"


def _way(part: Part, other: Part) -> str:
    if part.needs is None:
        return f"{part.name} comes after {other.name} by its order number"
    return f"{part.name} needs {other.name}"


def _of_long_names(leaves: Sequence[Leaf]) -> Iterator[Fault]:
    for leaf in leaves:
        if len(leaf.name) > LONGEST_NAME:
            sentence = f"{leaf.name[:40]}… is too long with the names of the jobs around it: shorten this step's name."
            yield f"steps-{leaf.root}-name", sentence
            return


def _of_namesakes(leaves: Sequence[Leaf]) -> Iterator[Fault]:
    revisions = dict.fromkeys(leaf.task for leaf in leaves if leaf.task)
    aliases = {each.task.name: [parameter.alias for parameter in each.parameters] for each in revisions}
    if sentence := namesakes(aliases):
        yield "steps", sentence


def of_conditions(parts: Sequence[Part]) -> Iterator[Fault]:
    """Of a job whose steps do not wait for each other."""
    if not any(part.condition for part in parts):
        return
    rules = _rules(steps.lay_out(parts))
    earlier = steps.earlier(parts)
    for index, part in enumerate(parts):
        before = [parts[each] for each in sorted(earlier[index])]
        if part.condition and (sentence := _fault_of(part, rules, before)):
            yield f"steps-{index}-condition", sentence


def of_files(parts: Sequence[Part], named: Sequence[str]) -> Iterator[tuple[int, str]]:
    """(place, sentence) for each of these names that is of no file that comes with a submission; the input has none."""
    if not any(named):
        return
    known = file_fields(parts)
    for place, name in enumerate(named):
        if name and name not in known:
            yield (
                place,
                f"No task of this job takes a file {name[:80]}: name {_or(known)}no file, which is for the input.",
            )


def file_fields(parts: Sequence[Part]) -> list[str]:
    """The files that come with a submission beside its input, by public name."""
    return [name for name, rule in _rules(steps.lay_out(parts)).items() if rule.kind is Kind.FILE]


def _fault_of(part: Part, rules: dict[str, Rule], before: Sequence[Part]) -> str | None:
    condition = part.condition or {}
    if "parameter" in condition:
        rule = rules.get(condition["parameter"])
        if rule is None:
            return f"No task of this job has the parameter {condition['parameter']}: there is {_listed(rules)}."
        return conditions.fault_of_values(condition, rule)
    return _fault_of_status(part, before) if "exit_status_of" in condition else None


def _fault_of_status(part: Part, before: Sequence[Part]) -> str | None:
    condition = part.condition or {}
    name = condition["exit_status_of"]
    asked = next((each for each in before if each.name == name), None)
    if asked is None:
        return f"{name} is not a step before {part.name}: there is {_listed([each.name for each in before])}."
    if asked.parts is not None:
        return f"{name} is a job and has no exit status: name a step that is a task."
    possible = _statuses(asked.task)
    if impossible := [str(each) for each in condition["is"] if asked.task and each not in possible]:
        return (
            f"After the exit status {', '.join(impossible)} of {name} no step follows: "
            "add it to those that its task expects and goes on with, or take it out here."
        )
    return None


def _statuses(revision: TaskRevision | None) -> set[int]:
    """Those that a job goes on after."""
    expected = revision.exit_statuses if revision and revision.on_exit_status is Then.CONTINUE else []
    return {0, *expected}


def _rules(leaves: Sequence[Leaf]) -> dict[str, Rule]:
    revisions = dict.fromkeys(leaf.task for leaf in leaves if leaf.task)
    return {
        parameter.public_name(revision.task.name): parameter.rule
        for revision in revisions
        for parameter in revision.parameters
    }


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join([*found[:MOST_LISTED], *(["…"] if len(found) > MOST_LISTED else [])]) or "none"


def _or(names: Sequence[str]) -> str:
    return f"{_listed(names)}, or " if names else ""


def _of_inputs(leaves: Sequence[Leaf]) -> Iterator[Fault]:
    """The first steps take what is sent; later ones take that too, or what the steps before them gave."""
    sent = [ending for leaf in leaves if leaf.task for ending in _sent(leaf)]
    for leaf in leaves:
        given = [each for place in leaf.earlier for each in _given(leaves[place].task)]
        for ending in leaf.task.inputs if leaf.task and leaf.earlier and (sent or given) else ():
            if not (any(_is(each, ending) for each in sent) or any(_may_be(each, ending) for each in given)):
                remedy = "put a step that gives it before, or take it out of the task's inputs"
                yield f"steps-{leaf.root}-task", f"{leaf.name} takes {ending}, which no earlier step gives: {remedy}."


def _sent(leaf: Leaf) -> Iterator[str]:
    """The endings of what comes with a submission, as far as they can be known; an empty one stands for any."""
    if not leaf.earlier:
        yield from leaf.task.inputs
    for each in leaf.task.parameters:
        if each.kind is Kind.FILE:
            yield from [file_part(each.alias, choice) for choice in each.choices] or [""]


def _given(revision: TaskRevision | None) -> list[str]:
    return [each for each in (*revision.outputs, revision.stdout) if each] if revision else []


def _is(ending: str, wanted: str) -> bool:
    """Whether a file that is called by the one ending counts for the other."""
    return not ending or fits(file_for("x", ending), wanted)


def _may_be(ending: str, wanted: str) -> bool:
    """The same of a file that a task may call as it likes: a .csv may be x.clean.csv."""
    return _is(ending, wanted) or _is(wanted, ending)
