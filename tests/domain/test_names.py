"""Names that enter or leave the portal."""

from __future__ import annotations

import pytest

from portal.domain.names import (
    Priority,
    check_name,
    file_for,
    fits,
    last_segment,
    namesakes,
    normal_ending,
    normal_name,
    public_file,
    public_name,
    queue_form,
    queue_forms,
)


@pytest.mark.parametrize(
    ("given", "kept"), [("csv", ".csv"), (".csv", ".csv"), (" .tar.gz ", ".tar.gz"), ("graph.out", "graph.out")]
)
def test_it_keeps_an_ending_with_its_dot_and_a_file_name_as_it_is(given: str, kept: str) -> None:
    assert normal_ending(given) == kept


@pytest.mark.parametrize(
    ("name", "ending", "counts"),
    [
        ("x.csv", ".csv", True),
        ("x.tar.gz", ".tar.gz", True),
        ("x.tar.gz", ".gz", True),
        ("x.targz", ".gz", False),
        ("x.ss2", ".ss", False),
        ("x.ss", ".ss", True),
        ("x.ss", ".ss2", False),
        ("x.CSV", ".csv", False),
        ("graph.out", "graph.out", True),
        ("id.graph.out", "graph.out", True),
        ("subgraph.out", "graph.out", False),
    ],
)
def test_it_counts_a_file_for_a_whole_ending_only(name: str, ending: str, counts: bool) -> None:
    assert fits(name, ending) is counts


@pytest.mark.parametrize(("ending", "name"), [(".csv", "0d9f.csv"), ("graph.out", "0d9f.graph.out")])
def test_it_names_a_file_by_the_identity_and_the_ending(ending: str, name: str) -> None:
    assert file_for("0d9f", ending) == name
    assert fits(name, ending)


@pytest.mark.parametrize(
    ("kept", "public"), [("0d9f.csv", "0d9f.csv"), ("plot.png", "0d9f.plot.png"), (".hidden", "0d9f.hidden")]
)
def test_it_publishes_every_file_under_the_identity(kept: str, public: str) -> None:
    assert public_file("0d9f", kept) == public


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\data\\my file.csv", "my_file.csv"),
        ("a\r\nSet-Cookie: x", "aSet-Cookie:_x"),
        ("a\0b\x1b[1m.csv", "ab[1m.csv"),
        ("\u202efdp.exe", "fdp.exe"),
        ("", "upload"),
        ("dir/", "upload"),
        ("é😀.csv", "é😀.csv"),
        ("x" * 300, "x" * 200),
        ("x" * 300 + ".tar.gz", "x" * 193 + ".tar.gz"),
    ],
)
def test_it_shows_the_last_segment_of_what_a_client_calls_its_file(sent: str, shown: str) -> None:
    assert last_segment(sent) == shown


@pytest.mark.parametrize("name", ["fit", "Fit 2.0", "O'Brien's", "größe_x-1", "a" * 80])
def test_it_takes_an_ordinary_name(name: str) -> None:
    assert check_name(name) is None


@pytest.mark.parametrize(
    "name", ["", "  ", " a", "a ", "a/b", "a\\b", "a,b", "a?b", "a#b", "a&b", "a%b", "<b>", 'a"b', "a\nb", "a\0b"]
)
def test_it_refuses_a_name_that_an_address_or_a_list_could_not_hold(name: str) -> None:
    assert check_name(name)


def test_it_refuses_a_name_that_is_too_long_or_the_portals_own() -> None:
    assert "80 characters, this has 81" in str(check_name("a" * 81))
    assert all("the portal's own" in str(check_name(name)) for name in ("new", "preview", "graph", ".", ".."))


@pytest.mark.parametrize("char", ["\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u034f", "\u3164", "\ufe0f"])
def test_it_refuses_what_nobody_can_see_in_a_name_and_names_it(char: str) -> None:
    assert ascii(char) in str(check_name(f"fit{char}ness"))


def test_it_has_one_form_of_a_name_however_it_was_typed() -> None:
    assert normal_name("e\u0301te\u0301") == normal_name("\u00e9t\u00e9") == "\u00e9t\u00e9"


def test_it_names_both_parameters_that_would_bear_one_public_name() -> None:
    sentence = "“b_c” of a and “c” of a_b would both be called a_b_c: give one of them another name."

    assert namesakes({"a": ["x", "b_c"], "z": ["c"], "a_b": ["c"]}) == sentence
    assert namesakes({"a": ["b", "c"], "b": ["b", "c"]}) is None


def test_it_puts_the_task_before_a_parameters_name() -> None:
    assert public_name("fit", "alpha") == "fit_alpha"


def test_it_names_the_three_forms_of_a_queue_the_most_urgent_first() -> None:
    assert queue_forms("R") == ["high_R", "R", "low_R"]
    assert queue_form("R", Priority.PLAIN) == "R"
