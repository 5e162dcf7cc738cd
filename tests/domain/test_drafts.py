"""What can be wrong with a task by itself: every sentence names the field and the limit."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from portal.domain.drafts import ConfigurationDraft, ParameterDraft, TaskDraft, faults
from portal.domain.limits import Limits
from portal.domain.parameters import Kind
from portal.domain.retries import Retries

DRAFT = TaskDraft(name="fit", language="python", backend="here", code="pass")


def found(**changes: Any) -> dict[str, str]:
    return dict(faults(replace(DRAFT, **changes)))


def of_parameter(**changes: Any) -> dict[str, str]:
    return found(parameters=(ParameterDraft(**{"alias": "n", **changes}),))


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("bound", [math.inf, -math.inf, math.nan, 10**400])
@pytest.mark.parametrize("field", ["minimum", "maximum"])
def test_it_refuses_a_bound_that_is_no_number(kind: Kind, bound: float, field: str) -> None:
    wrong = of_parameter(kind=kind, required=True, choices=(".a",), **{field: bound})

    assert list(wrong) == [f"parameters-0-{field}"]


@pytest.mark.parametrize("bound", [-1, 0.5, 10_001])
@pytest.mark.parametrize("field", ["minimum", "maximum"])
def test_it_refuses_a_number_of_characters_that_no_text_has(bound: float, field: str) -> None:
    assert of_parameter(**{field: bound}) == {
        f"parameters-0-{field}": "A text's length is a whole number of characters, from 0 to 10000."
    }


def test_it_takes_the_bounds_of_a_text_and_of_numbers() -> None:
    assert of_parameter(minimum=0, maximum=10_000) == {}
    assert of_parameter(kind=Kind.DECIMAL, required=True, minimum=-0.5, maximum=1e300) == {}


@pytest.mark.parametrize("kind", [Kind.BOOLEAN, Kind.CHOICE, Kind.DATE, Kind.FILE])
def test_it_refuses_bounds_of_what_has_no_order(kind: Kind) -> None:
    wrong = of_parameter(kind=kind, required=True, choices=("a",), minimum=1)

    assert wrong == {"parameters-0-minimum": f"A {kind} has no smallest or largest value: leave it empty."}


@pytest.mark.parametrize(
    ("bounds", "field"),
    [
        ({"minimum": 0.5, "maximum": 0.7}, "minimum"),
        ({"minimum": -0.7, "maximum": -0.5}, "minimum"),
        ({"minimum": 1e18}, "minimum"),
        ({"maximum": -1e18}, "maximum"),
    ],
)
def test_it_refuses_bounds_that_leave_no_whole_number(bounds: dict[str, float], field: str) -> None:
    wrong = of_parameter(kind=Kind.INTEGER, required=True, **bounds)

    assert wrong == {
        f"parameters-0-{field}": "No whole number of at most 18 digits is within these bounds: make them wider."
    }


@pytest.mark.parametrize(
    "bounds", [{"minimum": 0.5, "maximum": 1.2}, {"minimum": -0.5, "maximum": 0.5}, {"minimum": 0.5}]
)
def test_it_takes_bounds_with_a_whole_number_between(bounds: dict[str, float]) -> None:
    assert of_parameter(kind=Kind.INTEGER, required=True, **bounds) == {}
    assert of_parameter(kind=Kind.DECIMAL, required=True, minimum=0.5, maximum=0.7) == {}


@pytest.mark.parametrize(
    ("choices", "reason"),
    [((), "List the values"), (("a", "b", "a"), "“a” is listed twice"), (("a", ""), "cannot be empty")],
)
def test_it_refuses_choices_that_nobody_can_make(choices: tuple[str, ...], reason: str) -> None:
    wrong = of_parameter(kind=Kind.CHOICE, required=True, choices=choices)

    assert list(wrong) == ["parameters-0-choices"]
    assert reason in wrong["parameters-0-choices"]


def test_it_takes_an_empty_choice_of_an_optional_parameter() -> None:
    assert not of_parameter(kind=Kind.CHOICE, required=False, choices=("", "a"), default="")


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"description": "x" * 10_001}, "description", "At most 10000 characters are allowed in the description,"),
        ({"stdout": "x" * 60}, "stdout", "An ending has at most 60 characters with its dot, “.xxx"),
        ({"inputs": ("x" * 61,)}, "inputs", "An ending has at most 60 characters with its dot, “.xxx"),
        (
            {"variables": (("A", "x" * 10_001),)},
            "variables-0-value",
            "At most 10000 characters are allowed in the variable's value",
        ),
    ],
)
def test_it_names_the_text_that_is_too_long_and_the_limit(changes: dict[str, Any], field: str, sentence: str) -> None:
    wrong = found(**changes)

    assert list(wrong) == [field]
    assert wrong[field].startswith(sentence)


@pytest.mark.parametrize(
    ("field", "text", "limit"),
    [
        ("label", "x" * 121, 120),
        ("help", "x" * 10_001, 10_000),
        ("flag", "x" * 121, 120),
        ("choices", ("x" * 1_001,), 1_000),
    ],
)
def test_it_names_the_text_of_a_parameter_that_is_too_long(field: str, text: Any, limit: int) -> None:
    wrong = of_parameter(**{field: text})

    assert list(wrong) == [f"parameters-0-{field}"]
    assert wrong[f"parameters-0-{field}"].startswith(f"At most {limit} characters are allowed in the ")


@pytest.mark.parametrize(("field", "limit"), [("kind", 20), ("name", 120), ("version", 80), ("parameters", 10_000)])
def test_it_names_the_text_of_a_configuration_that_is_too_long(field: str, limit: int) -> None:
    texts = {"kind": "Software", "name": "sort"}
    longest, longer = (ConfigurationDraft(**{**texts, field: "x" * length}) for length in (limit, limit + 1))

    assert found(configurations=(longest,)) == {}
    assert list(found(configurations=(longest, longer))) == [f"configurations-1-{field}"]


@pytest.mark.parametrize("text", ["a\0b", "\ud83d"])
@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("description", lambda text: {"description": text}),
        ("code", lambda text: {"code": text}),
        ("parameters-0-label", lambda text: {"parameters": (ParameterDraft("n", label=text),)}),
        ("parameters-0-help", lambda text: {"parameters": (ParameterDraft("n", help=text),)}),
        ("parameters-0-flag", lambda text: {"parameters": (ParameterDraft("n", flag=text),)}),
        ("parameters-0-default", lambda text: {"parameters": (ParameterDraft("n", default=text),)}),
        ("parameters-0-pattern", lambda text: {"parameters": (ParameterDraft("n", pattern=text),)}),
        ("parameters-0-choices", lambda text: {"parameters": (ParameterDraft("n", choices=(text,)),)}),
        ("variables-0-value", lambda text: {"variables": (("A", text),)}),
        ("configurations-0-name", lambda text: {"configurations": (ConfigurationDraft("Software", text),)}),
    ],
)
def test_it_refuses_what_no_database_keeps(text: str, field: str, changes: Any) -> None:
    wrong = found(**changes(text))

    assert list(wrong) == [field]
    assert wrong[field].endswith(".")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [("[a-", "missing ]"), (r"(a)\1", "invalid escape"), ("(?=x)", "perl operator"), ("a{9000}", "repetition")],
)
def test_it_refuses_a_pattern_that_is_none_or_takes_for_ever(pattern: str, reason: str) -> None:
    [sentence] = of_parameter(pattern=pattern).values()

    assert sentence.startswith("This is not a regular expression that is known here: ") and reason in sentence


def test_it_refuses_a_pattern_of_what_is_no_text_and_one_that_is_too_long() -> None:
    assert list(of_parameter(kind=Kind.INTEGER, required=True, pattern="1+")) == ["parameters-0-pattern"]
    assert "At most 300 characters" in of_parameter(pattern="a" * 301)["parameters-0-pattern"]
    assert of_parameter(pattern="a" * 300) == {}


def test_it_holds_a_default_against_its_pattern() -> None:
    assert "not of the form [a-z]+" in of_parameter(pattern="[a-z]+", default="A1")["parameters-0-default"]


@pytest.mark.parametrize("kind", [Kind.INTEGER, Kind.DECIMAL, Kind.CHOICE, Kind.DATE])
def test_it_refuses_an_optional_parameter_that_would_have_no_value(kind: Kind) -> None:
    wrong = of_parameter(kind=kind, choices=("a",) if kind is Kind.CHOICE else ())

    assert wrong == {"parameters-0-default": "Give a default, or make the parameter required."}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"default": "a.csv"}, "default"),
        ({"choices": ("graph.out",)}, "choices"),
        ({"choices": (".a b",)}, "choices"),
        ({"alias": "out"}, "alias"),
        ({"alias": "fit", "choices": (".csv",)}, "alias"),
        ({"alias": "log"}, "alias"),
    ],
)
def test_it_names_what_a_file_cannot_have(changes: dict[str, Any], field: str) -> None:
    wrong = found(
        outputs=("graph.out", ".out", ".fit.csv"),
        stdout="log.txt",
        parameters=(ParameterDraft(**{"alias": "n", "kind": Kind.FILE, **changes}),),
    )

    assert list(wrong) == [f"parameters-0-{field}"]


def test_it_takes_files_beside_each_other_and_refuses_two_of_one_name() -> None:
    def of(*aliases: str) -> list[str]:
        return list(found(parameters=tuple(ParameterDraft(each, kind=Kind.FILE) for each in aliases)))

    assert of("first", "second") == []
    assert of("a b", "a_b") == ["parameters-1-alias"]


@pytest.mark.parametrize(("task", "alias"), [("submission", "name"), ("input", "data")])
def test_it_refuses_a_parameter_that_would_bear_the_name_of_a_field_of_every_form(task: str, alias: str) -> None:
    wrong = found(name=task, parameters=(ParameterDraft(alias),))

    assert f"{task}_{alias}" in wrong["parameters-0-alias"]


@pytest.mark.parametrize("code", ["echo $VALUE", "t $I3", "t $P2", "t $O1"])
def test_it_refuses_a_command_with_a_place_that_stands_for_nothing(code: str) -> None:
    wrong = found(language="command", code=code, inputs=(".in",), parameters=(ParameterDraft("n", flag="-t"),))

    assert "stands for nothing here" in wrong["code"]
    assert found(language="command", code="echo $VALUE", parameters=(ParameterDraft("v", flag="VALUE"),)) == {}


def test_it_refuses_a_quote_that_never_ends_in_a_command_only() -> None:
    assert found(language="command", code='echo\necho "x')["code"].startswith('Line 2: " opens here')
    assert found(language="r", code='"x') == {}


@pytest.mark.parametrize(
    ("limits", "wrong"),
    [
        (Limits(wall_seconds=0), {"wall_seconds": "Wall time: give at least 1 s, or leave it empty."}),
        (Limits(files=-1), {"files": "Number of files: give at least 1, or leave it empty."}),
        (Limits(log_bytes=10**9 + 1), {"log_bytes": "Log size: give at most 1 GB, or leave it empty."}),
        (Limits(memory_bytes=2**60 + 1), {"memory_bytes": "Memory: give at most 1024 PiB, or leave it empty."}),
        (Limits(1, 1, 1, 1, 1, 1), {}),
        (Limits(), {}),
    ],
)
def test_it_refuses_a_limit_that_can_be_none(limits: Limits, wrong: dict[str, str]) -> None:
    assert found(limits=limits) == wrong


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"most": 1}, "retries", "Choose after which failures to try again"),
        ({"most": 21, "on_crash": True}, "retries", "Give a number of retries from 0 to 20."),
        ({"most": -1, "on_crash": True}, "retries", "Give a number of retries from 0 to 20."),
        ({"exit_statuses": (0,)}, "retry_exit_statuses", "0 is not the exit status of a failure"),
        ({"exit_statuses": (75, 256)}, "retry_exit_statuses", "256 is not the exit status of a failure"),
        ({"exit_statuses": (75, 3)}, "retry_exit_statuses", "Exit status 3 is expected, so it is no failure"),
        ({"wait_seconds": -1}, "retry_wait", "Give a first waiting time from 0 s to 1 d."),
        ({"wait_seconds": 86_401}, "retry_wait", "Give a first waiting time from 0 s to 1 d."),
    ],
)
def test_it_names_what_is_wrong_with_the_retries(changes: dict[str, Any], field: str, sentence: str) -> None:
    wrong = found(exit_statuses=(3,), retries=Retries(**changes))

    assert list(wrong) == [field]
    assert wrong[field].startswith(sentence)


def test_it_takes_retries_with_a_cause_and_none_without() -> None:
    assert found(retries=Retries(20, exit_statuses=(1, 255), wait_seconds=0)) == {}
    assert found(retries=Retries(0)) == {}


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"exit_statuses": (300,)}, "exit_statuses", "'300' is no exit status: give whole numbers from 0 to 255."),
        ({"exit_statuses": (1, -1)}, "exit_statuses", "'-1' is no exit status: give whole numbers from 0 to 255."),
        ({"exit_statuses": (True,)}, "exit_statuses", "'True' is no exit status: give whole numbers from 0 to 255."),
        ({"on_exit_status": "stop"}, "on_exit_status", "What the job does then is one of continue, finish, fail."),
        ({"on_missing_output": ""}, "on_missing_output", "What the job does then is one of continue, finish, fail."),
    ],
)
def test_it_refuses_rules_that_nothing_can_follow(changes: dict[str, Any], field: str, sentence: str) -> None:
    assert found(**changes) == {field: sentence}


def test_it_refuses_a_parameter_of_no_type() -> None:
    assert list(of_parameter(kind="colour")) == ["parameters-0-kind"]
