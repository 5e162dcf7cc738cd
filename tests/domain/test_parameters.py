"""What a value must be, and the sentence when it is not."""

from __future__ import annotations

import math

import pytest

from portal.domain.errors import Invalid
from portal.domain.parameters import LONGEST, Kind, Rule, check_default, read

INTEGER, DECIMAL = Rule(Kind.INTEGER), Rule(Kind.DECIMAL)
BOOLEAN, CHOICE = Rule(Kind.BOOLEAN), Rule(Kind.CHOICE, choices=("red", "light blue"))


def refusal(rule: Rule, text: str | None) -> str:
    with pytest.raises(Invalid) as refused:
        read("fit_alpha", rule, text)
    assert list(refused.value.fields) == ["fit_alpha"]
    return refused.value.fields["fit_alpha"]


@pytest.mark.parametrize(
    ("rule", "text", "value"),
    [
        (Rule(), "a 'b' \"c\"\n\t😀", "a 'b' \"c\"\n\t😀"),
        (INTEGER, "-3", -3),
        (INTEGER, "+7", 7),
        (INTEGER, "007", 7),
        (INTEGER, "9" * 18, 10**18 - 1),
        (DECIMAL, "1e-5", 1e-5),
        (DECIMAL, ".5", 0.5),
        (DECIMAL, "5.", 5.0),
        (DECIMAL, "-0", 0.0),
        (BOOLEAN, "TRUE", True),
        (BOOLEAN, "on", True),
        (BOOLEAN, "yes", True),
        (BOOLEAN, "1", True),
        (BOOLEAN, "False", False),
        (BOOLEAN, "false", False),
        (BOOLEAN, "no", False),
        (BOOLEAN, "off", False),
        (BOOLEAN, "0", False),
        (BOOLEAN, "", False),
        (CHOICE, "light blue", "light blue"),
    ],
)
def test_it_reads_a_value_and_keeps_its_text(rule: Rule, text: str, value: object) -> None:
    kept, read_value = read("fit_alpha", rule, text)

    assert (kept, read_value, type(read_value)) == (text, value, type(value))


ODD_NUMBERS = [" ", "1 ", " 1", "1\n", "NaN", "inf", "0x1F", "1_000", "1,000", "١٢", "٣", "--1", "one"]


@pytest.mark.parametrize("text", [*ODD_NUMBERS, "1.5", "1e3"])
def test_it_refuses_what_is_no_whole_number(text: str) -> None:
    assert "is not a whole number, such as 10 or -3." in refusal(INTEGER, text)


@pytest.mark.parametrize("text", [*ODD_NUMBERS, "1e999", "-1e999", "1e", ".", "1.2.3"])
def test_it_refuses_what_is_no_number(text: str) -> None:
    assert "is not a number, such as 0.05 or 1e-5." in refusal(DECIMAL, text)


def test_it_shows_no_more_than_the_beginning_of_a_long_value() -> None:
    assert len(refusal(INTEGER, "9" * 5000)) < 120


@pytest.mark.parametrize("text", ["\0", "\x1b[31m", "a\x07", "\ud800", "a\udcffb"])
def test_it_refuses_control_characters_and_halves_of_characters(text: str) -> None:
    assert refusal(Rule(), text).startswith("fit_alpha: control characters are not allowed, this has U+")


def test_it_refuses_a_text_that_came_as_something_else_than_utf_8() -> None:
    assert refusal(Rule(), b"caf\xe9".decode("utf-8", "replace")) == "fit_alpha: this is not UTF-8 text."


@pytest.mark.parametrize(("bound", "fits"), [(math.inf, "x" * LONGEST), (-math.inf, ""), (math.nan, "x" * LONGEST)])
def test_it_bears_a_bound_that_is_no_number(bound: float, fits: str) -> None:
    assert read("x", Rule(required=False, maximum=bound), fits) == (fits, fits)


@pytest.mark.parametrize("text", ["2", "maybe", "truefalse", " true"])
def test_it_refuses_what_is_neither_true_nor_false(text: str) -> None:
    assert "neither TRUE nor FALSE" in refusal(BOOLEAN, text)


@pytest.mark.parametrize("text", ["", "Red", "red ", "red, light blue"])
def test_it_refuses_what_is_not_among_the_choices(text: str) -> None:
    wanted = "is required" if text == "" else "is not one of red, light blue."

    assert wanted in refusal(CHOICE, text)


def test_it_takes_the_bounds_themselves_and_names_the_one_that_is_passed() -> None:
    rule = Rule(Kind.DECIMAL, minimum=0, maximum=1)

    assert [read("x", rule, text)[1] for text in ("0", "1")] == [0, 1]
    assert refusal(rule, "-0.1") == "fit_alpha: -0.1 is too small, the smallest is 0."
    assert refusal(rule, "1.01") == "fit_alpha: 1.01 is too large, the largest is 1."
    assert "the largest is 5" in refusal(Rule(Kind.INTEGER, maximum=5), "6")


def test_it_names_a_number_as_it_was_sent() -> None:
    many = "1" * 18

    assert refusal(Rule(Kind.INTEGER, maximum=5), many) == f"fit_alpha: {many} is too large, the largest is 5."
    assert refusal(Rule(Kind.DECIMAL, maximum=5), "6e0") == "fit_alpha: 6e0 is too large, the largest is 5."


def test_it_says_that_a_whole_number_is_too_long() -> None:
    assert "has more than 18 digits" in refusal(Rule(Kind.INTEGER), "-" + "9" * 19)
    assert "has more than 18 digits" in refusal(Rule(Kind.INTEGER), "9" * 5000)
    assert read("x", Rule(Kind.INTEGER), "-" + "9" * 18)[1] == -(10**18 - 1)


def test_it_bounds_a_text_by_its_characters() -> None:
    rule = Rule(minimum=2, maximum=3)

    assert read("x", rule, "😀😀😀")[1] == "😀😀😀"
    assert "at most 3 characters are allowed, “abcd” has 4." in refusal(rule, "abcd")
    assert "at least 2 characters are needed, “a” has 1." in refusal(rule, "a")
    assert f"at most {LONGEST}" in refusal(Rule(), "x" * (LONGEST + 1))


@pytest.mark.parametrize("text", [None, ""])
def test_it_takes_the_default_where_nothing_is_given(text: str | None) -> None:
    assert read("x", Rule(Kind.DECIMAL, required=False, default="0.05"), text) == ("0.05", 0.05)


def test_it_requires_a_value_of_a_required_parameter_whatever_its_default() -> None:
    assert refusal(Rule(default="x"), None) == "fit_alpha is required: give it a value."
    assert refusal(Rule(default="x"), "") == "fit_alpha is required: give it a value."
    assert refusal(BOOLEAN, None) == "fit_alpha is required: give it a value."


def test_it_lets_an_optional_text_be_left_empty_whatever_its_length_and_pattern() -> None:
    assert read("x", Rule(required=False, minimum=2, pattern="[a-z]+"), "") == ("", "")


@pytest.mark.parametrize("text", ["AB-1", "ÄÖ-123"])
def test_it_takes_a_text_that_matches_its_pattern_as_a_whole(text: str) -> None:
    assert read("x", Rule(pattern=r"\p{Lu}{2}-[0-9]+"), text) == (text, text)


@pytest.mark.parametrize("text", ["xAB-1", "AB-1x", "AB-1\n", "ab-1"])
def test_it_names_the_pattern_that_a_text_does_not_match(text: str) -> None:
    assert refusal(Rule(pattern="[A-Z]{2}-[0-9]+"), text) == f"fit_alpha: “{text}” is not of the form [A-Z]{{2}}-[0-9]+"


@pytest.mark.parametrize("text", ["2026-11-21", "0001-01-01", "2024-02-29"])
def test_it_takes_a_date(text: str) -> None:
    assert read("x", Rule(Kind.DATE), text) == (text, text)


@pytest.mark.parametrize(
    "text", ["2026-02-29", "2026-13-01", "21.11.2026", "20261121", "2026-W47-6", "2026-11-21\n", "٢٠٢٦-11-21"]
)
def test_it_refuses_what_is_no_date(text: str) -> None:
    assert refusal(Rule(Kind.DATE), text) == f"fit_alpha: “{text}” is not a date, such as 2026-11-21."


@pytest.mark.parametrize(
    ("choices", "name", "ending"),
    [
        ((), "table.tsv", ".tsv"),
        ((), "reads.2.tar.gz", ".tar.gz"),
        ((), "README", ""),
        ((), ".hidden", ""),
        ((), "odd.e n d", ""),
        ((".csv", ".tsv"), "Table.TSV", ".tsv"),
        (("gz", "tar.gz", ".tar.gz"), "a.tar.gz", ".tar.gz"),
    ],
)
def test_it_knows_a_file_by_its_ending(choices: tuple[str, ...], name: str, ending: str) -> None:
    assert read("x", Rule(Kind.FILE, choices=choices), name) == (name, ending)


def test_it_names_the_endings_that_a_file_may_have() -> None:
    rule = Rule(Kind.FILE, choices=("csv", ".tsv"))

    assert refusal(rule, "a.txt") == "fit_alpha: “a.txt” does not end in .csv or .tsv."
    assert refusal(rule, None) == "fit_alpha is required: send a file."


def test_it_gives_no_file_as_nothing() -> None:
    assert read("x", Rule(Kind.FILE, required=False), None) == ("", None)


def test_it_gives_an_optional_text_without_a_default_as_the_empty_text() -> None:
    assert read("x", Rule(required=False), None) == ("", "")


@pytest.mark.parametrize(
    ("rule", "right"),
    [
        (Rule(Kind.INTEGER, default="3"), True),
        (Rule(Kind.INTEGER, default="x"), False),
        (Rule(Kind.DECIMAL, default="2", maximum=1), False),
        (Rule(Kind.CHOICE, default="green", choices=("red",)), False),
        (Rule(Kind.BOOLEAN, default="maybe"), False),
        (Rule(Kind.TEXT, default=None), True),
    ],
)
def test_it_checks_a_default_as_it_checks_a_value(rule: Rule, right: bool) -> None:
    assert (check_default(rule) is None) is right
