"""The first system's command lines, each with what became of it there, and what becomes of it here.

`command_cases.json` holds its behaviour as it was recorded; DIFFERENT says where ours is another, and why.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from portal.domain import command
from portal.domain.errors import Invalid
from portal.domain.parameters import Argument, Kind
from portal.domain.work import Placement, Work, bindings

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "command_cases.json").read_text("utf-8"))
IDENTITY = "f7a314fe"

# A value is data, a line stays as it was written, and the longest place wins.
DIFFERENT = {
    "empty value, spaced": "tool -t '' x",
    "glob without dot": "wc f7a314fe.input",
    "VALUE with $ID inside": "echo '$ID'",
    "whitespace collapsed": 'echo  "a   b"\tf7a314fe.input',
    "newline in executable": "echo a\necho b",
    "$10 clash: $I1 eats $I10": "t f7a314fe.j",
    "$P1 eats $P10": "t -j",
    "$P value containing $I1": "t -t '$I1'",
    "metacharacters pass through": "t -t 'x;id'",
    "greater-than refused": 'awk "$1>2" f7a314fe.input',
    "2> refused": "tool f7a314fe.input 2>/dev/null",
}
REFUSED = {"$VALUE missing": "$VALUE", "missing glob reference stays": "$I3"}
# Those ask for what the portal always gives, or never gives: an identity, a directory, a value.
NOT_OURS = {"default None", "identifier absent but referenced", "bad tmp_path", "param dict keyed by flag: duplicates"}


def arguments(given: dict[str, Any]) -> list[Argument]:
    found = [_argument(number, flag, given["param_values"]) for number, flag in enumerate(given["params"])]
    if given["value"] is not None:
        found.append(Argument("value", "VALUE", Kind.TEXT, given["value"], given["value"]))
    return found


def _argument(number: int, flag: str, values: dict[str, Any]) -> Argument:
    if flag not in values:
        return Argument(f"p{number}", flag, Kind.BOOLEAN, "TRUE", flag != "")
    value = values[flag]
    return Argument(
        f"p{number}", flag, Kind.TEXT, value["value"], value["value"], value["spacing"], value["switchless"]
    )


def bound(given: dict[str, Any]) -> dict[str, command.Binding]:
    work = Work(
        identity=IDENTITY,
        task="tool",
        language="command",
        code=given["executable"],
        placement=Placement("here", "local"),
        inputs=tuple(each if "." in each else f".{each}" for each in given["in_globs"]),
        outputs=tuple(given["out_globs"]),
        arguments=tuple(arguments(given)),
    )
    return bindings(work, given["tmp_path"].rstrip("/"))


def legacy(case: dict[str, Any]) -> str:
    return str(case["legacy_expected"]["command"]).removesuffix(f" > {IDENTITY}.stdout")


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case["name"] not in NOT_OURS | REFUSED.keys()],
    ids=lambda case: str(case["name"]),
)
def test_it_renders_the_line(case: dict[str, Any]) -> None:
    given = case["input"]

    shown = command.shown(given["executable"], bound(given))

    assert shown == (DIFFERENT.get(case["name"]) or legacy(case))
    command.check(given["executable"], set(bound(given)))


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses_a_place_that_stands_for_nothing_before_anything_runs(name: str) -> None:
    given = next(case["input"] for case in CASES if case["name"] == name)

    with pytest.raises(Invalid) as refusal:
        command.check(given["executable"], set(bound(given)))

    assert refusal.value.fields["code"].startswith(f"Line 1: {REFUSED[name]} stands for nothing here.")


def test_it_keeps_two_parameters_of_one_flag_apart() -> None:
    both = [Argument(f"p{value}", "-t", Kind.TEXT, value, value) for value in ("1", "2")]
    work = Work(IDENTITY, "tool", "command", "", Placement("here", "local"), arguments=tuple(both))

    assert command.shown("t $P1 $P2", bindings(work, "/tmp")) == "t -t 1 -t 2"  # noqa: S108 - a word of the line


def test_it_leaves_no_empty_word_for_a_boolean_that_is_off() -> None:
    off = Argument("all", "-a", Kind.BOOLEAN, "FALSE", False)
    work = Work(IDENTITY, "ls", "command", "", Placement("here", "local"), arguments=(off,))

    assert command.shown("ls $P1 /", bindings(work, "/run")).split() == ["ls", "/"]


def test_it_knows_every_recorded_case() -> None:
    names = {case["name"] for case in CASES}

    assert len(CASES) == 39
    assert DIFFERENT.keys() | REFUSED.keys() | NOT_OURS <= names
