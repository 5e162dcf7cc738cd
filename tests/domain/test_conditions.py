"""Conditions: what can be wrong with one, its words, and when it holds."""

from __future__ import annotations

from typing import Any

import pytest

from portal.domain import conditions
from portal.domain.conditions import UPLOADS, Facts
from portal.domain.parameters import Argument, Kind, Rule, read

ALPHA = {"parameter": "fit_alpha", "is": ["0.05", "0.1"]}
STATUS = {"exit_status_of": "fit", "is": [3]}
CSV = {"file": ".csv", "exists": True}
FACTS = Facts({2}, {0: 3, 1: 0, 2: None}, {UPLOADS: ["upload.csv"], 0: ["x.json"], 1: ["x.clean.csv"]})


@pytest.mark.parametrize("condition", [ALPHA, STATUS, CSV, {"file": "graph.out", "exists": False}])
def test_it_finds_nothing_wrong_with_what_is_right(condition: Any) -> None:
    assert conditions.fault(condition) is None
    assert conditions.normal(condition) == condition


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("alpha == 1", "two fields"),
        ({}, "two fields"),
        ({"parameter": "p"}, "two fields"),
        ({**ALPHA, **CSV}, "two fields"),
        ({"parameter": 1, "is": ["1"]}, "which parameter"),
        ({"parameter": " ", "is": ["1"]}, "which parameter"),
        ({"parameter": "p\0", "is": ["1"]}, "which parameter"),
        ({"parameter": "p", "is": []}, "1 to 50 values"),
        ({"parameter": "p", "is": ["x"] * 51}, "1 to 50 values"),
        ({"parameter": "p", "is": [{}]}, "at most 1000 characters"),
        ({"parameter": "p", "is": ["x" * 1001]}, "at most 1000 characters"),
        ({"exit_status_of": "fit", "is": [256]}, "from 0 to 255"),
        ({"exit_status_of": "fit", "is": ["x"]}, "from 0 to 255"),
        ({"exit_status_of": "fit", "is": [True]}, "from 0 to 255"),
        ({"file": "a b", "exists": True}, "not an ending"),
        (conditions.normal({"file": "", "exists": True}), "which ending"),
        ({"file": ".csv", "exists": "yes"}, "true or false"),
    ],
)
def test_it_says_what_is_wrong(condition: Any, words: str) -> None:
    assert words in str(conditions.fault(condition))


def test_it_keeps_a_condition_in_one_form() -> None:
    assert conditions.normal({"parameter": "p", "is": True}) == {"parameter": "p", "is": ["TRUE"]}
    assert conditions.normal({"parameter": "p", "is": [0.05, "x"]}) == {"parameter": "p", "is": ["0.05", "x"]}
    assert conditions.normal({"exit_status_of": "fit", "is": 3}) == STATUS
    assert conditions.normal({"file": "csv", "exists": True}) == CSV
    assert conditions.normal(None) is None


def test_it_has_words() -> None:
    assert conditions.words(ALPHA) == "if fit_alpha is 0.05 or 0.1"
    assert conditions.words({"parameter": "p", "is": [""]}) == "if p is empty"
    assert conditions.words(STATUS) == "if the exit status of fit is 3"
    assert conditions.words(CSV) == "if there is a .csv file"
    assert conditions.words({**CSV, "exists": False}) == "if there is no .csv file"


@pytest.mark.parametrize(
    ("kind", "given", "wanted", "holds"),
    [
        (Kind.DECIMAL, "5e-2", ["0.05"], True),
        (Kind.DECIMAL, "0.06", ["0.05"], False),
        (Kind.INTEGER, "+7", ["x", "7"], True),
        (Kind.BOOLEAN, "true", ["TRUE"], True),
        (Kind.BOOLEAN, "", ["FALSE"], True),
        (Kind.TEXT, "a b", ["a b"], True),
        (Kind.TEXT, "A", ["a"], False),
        (Kind.CHOICE, "slow", ["fast", "slow"], True),
    ],
)
def test_a_parameter_is_compared_as_its_type_has_it(kind: Kind, given: str, wanted: list[str], holds: bool) -> None:
    value = read("p", Rule(kind, required=False, choices=("fast", "slow")), given)[1]
    argument = Argument("p", "", kind, given, value)

    settled = conditions.settled({"parameter": "t_p", "is": wanted}, {"t_p": argument})

    assert settled["holds"] is holds
    assert (conditions.why_not(settled, Facts()) is None) is holds


def test_it_says_why_a_parameter_keeps_a_step_from_running() -> None:
    settled = conditions.settled(ALPHA, {"fit_alpha": Argument("alpha", "", Kind.DECIMAL, "0.2", 0.2)})

    assert conditions.why_not(settled, Facts()) == "fit_alpha is 0.2, not 0.05 or 0.1"
    with pytest.raises(KeyError):
        conditions.settled(ALPHA, {})


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (0, None),
        (1, "the exit status of fit is 0, not 3"),
        (2, "fit did not run, so it has no exit status"),
        (None, "fit did not run, so it has no exit status"),
    ],
)
def test_it_looks_at_an_exit_status(run: int | None, why: str | None) -> None:
    assert conditions.why_not({**STATUS, "run": run}, FACTS) == why


@pytest.mark.parametrize(
    ("ending", "among", "there"),
    [
        (".csv", [], True),
        (".clean.csv", [0], False),
        (".clean.csv", [0, 1], True),
        (".json", [1], False),
        (".json", [0], True),
    ],
)
def test_it_looks_for_a_file_among_the_uploads_and_what_comes_before(
    ending: str, among: list[int], there: bool
) -> None:
    wanted = {"file": ending, "exists": True, "among": among}

    assert (conditions.why_not(wanted, FACTS) is None) is there
    assert (conditions.why_not({**wanted, "exists": False}, FACTS) is None) is not there


def test_what_a_step_needs_was_skipped_when_all_of_it_was() -> None:
    assert conditions.why_not(conditions.of_needs("sub", [2]), FACTS) == "sub, which it needs, was skipped"
    assert conditions.why_not(conditions.of_needs("sub", [1, 2]), FACTS) is None


def test_it_knows_values_that_a_parameter_can_never_have() -> None:
    rule = Rule(Kind.DECIMAL, minimum=0, maximum=1)

    assert conditions.fault_of_values(ALPHA, rule) is None
    sentence = str(conditions.fault_of_values({"parameter": "fit_alpha", "is": ["2"]}, rule))
    assert sentence.startswith("fit_alpha: 2 is too large, the largest is 1.")
