"""docs/asvs.md answers every requirement of OWASP ASVS 5.0.0, levels 1 and 2, and what its answers name is there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache

from flask import Flask

from portal.settings import Settings
from tests.attacks import listed
from tests.servers import ROOT

PAGE = ROOT / "docs" / "asvs.md"
ROW = re.compile(r"^\| (V[\d.]+) \| ([12]) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
API_ROW = re.compile(r"^\| (API\d+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
ATTACK = re.compile(r"\b[A-Z]{2}-\d\d\b")
NAMED = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)]+)\)")
UNANSWERED = ("not here: ", "no: ")

SECTIONS = {
    # the numbers of level 1, and of level 2
    "1.1": ("", "1-2"), "1.2": ("1-5", "6-9"), "1.3": ("1-2", "3-11"), "1.4": ("", "1-3"), "1.5": ("1", "2"),
    "2.1": ("1", "2-3"), "2.2": ("1-2", "3"), "2.3": ("1", "2-4"), "2.4": ("", "1"),
    "3.2": ("1-2", ""), "3.3": ("1", "2-4"), "3.4": ("1-2", "3-6"), "3.5": ("1-3", "4-5"), "3.7": ("", "1-2"),
    "4.1": ("1", "2-3"), "4.2": ("", "1"), "4.3": ("", "1-2"), "4.4": ("1", "2-4"),
    "5.1": ("", "1"), "5.2": ("1-2", "3"), "5.3": ("1-2", ""), "5.4": ("", "1-3"),
    "6.1": ("1", "2-3"), "6.2": ("1-8", "9-12"), "6.3": ("1-2", "3-4"), "6.4": ("1-2", "3-4"), "6.5": ("", "1-5"),
    "6.6": ("", "1-3"), "6.8": ("", "1-4"),
    "7.1": ("", "1-3"), "7.2": ("1-4", ""), "7.3": ("", "1-2"), "7.4": ("1-2", "3-5"), "7.5": ("", "1-2"),
    "7.6": ("", "1-2"),
    "8.1": ("1", "2"), "8.2": ("1-2", "3"), "8.3": ("1", ""), "8.4": ("", "1"),
    "9.1": ("1-3", ""), "9.2": ("1", "2-4"),
    "10.1": ("", "1-2"), "10.2": ("", "1-2"), "10.3": ("", "1-4"), "10.4": ("1-5", "6-11"), "10.5": ("", "1-5"),
    "10.6": ("", "1-2"), "10.7": ("", "1-3"),
    "11.1": ("", "1-2"), "11.2": ("", "1-3"), "11.3": ("1-2", "3"), "11.4": ("1", "2-4"), "11.5": ("", "1"),
    "11.6": ("", "1"),
    "12.1": ("1", "2-3"), "12.2": ("1-2", ""), "12.3": ("", "1-4"),
    "13.1": ("", "1"), "13.2": ("", "1-5"), "13.3": ("", "1-2"), "13.4": ("1", "2-5"),
    "14.1": ("", "1-2"), "14.2": ("1", "2-4"), "14.3": ("1", "2-3"),
    "15.1": ("1", "2-3"), "15.2": ("1", "2-3"), "15.3": ("1", "2-7"),
    "16.1": ("", "1"), "16.2": ("", "1-5"), "16.3": ("", "1-4"), "16.4": ("", "1-3"), "16.5": ("", "1-3"),
    "17.1": ("", "1"), "17.2": ("", "1-4"), "17.3": ("", "1-2"),
}  # fmt: skip
CHAPTERS = (27, 11, 19, 10, 9, 35, 18, 7, 7, 29, 14, 9, 13, 9, 13, 16, 7)


def numbers(text: str) -> Iterator[int]:
    first, _, last = text.partition("-")
    if first:
        yield from range(int(first), int(last or first) + 1)


def asked() -> list[tuple[str, str]]:
    return [
        (f"V{section}.{number}", level)
        for section, levels in SECTIONS.items()
        for number, level in sorted(
            (each, level) for level, text in zip("12", levels, strict=True) for each in numbers(text)
        )
    ]


@cache
def page() -> str:
    return PAGE.read_text("utf-8")


@cache
def known() -> dict[str, listed.Attack]:
    return listed.every()


def answers() -> list[tuple[str, str]]:
    rows = [(number, answer) for number, _, _, answer in ROW.findall(page())]
    return rows + [(number, answer) for number, _, answer in API_ROW.findall(page())]


@cache
def names_of_tests() -> set[str]:
    files = (ROOT / "tests").rglob("test_*.py")
    return {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text("utf-8"), re.MULTILINE)}


def is_there(name: str, addresses: set[str]) -> bool:
    """Whether a test, a setting, a target of make, an address or a file of this name exists."""
    if name.startswith("test_"):
        return name in names_of_tests()
    if re.fullmatch(r"[A-Z][A-Z_]+", name):
        return name.lower() in Settings.model_fields
    if name.startswith("make "):
        return f"\n{name.removeprefix('make ')}:" in (ROOT / "Makefile").read_text("utf-8")
    if name.startswith("/"):
        return name in addresses
    return (ROOT / name).is_file()


def test_it_answers_every_requirement_of_levels_1_and_2_and_no_other() -> None:
    answered = [(number, level) for number, level, _, _ in ROW.findall(page())]

    assert answered == asked()
    assert tuple(Counter(int(number[1:].split(".")[0]) for number, _ in answered).values()) == CHAPTERS
    assert Counter(level for _, level in answered) == {"1": 70, "2": 183}


def test_it_answers_the_ten_risks_of_apis() -> None:
    assert [number for number, _, _ in API_ROW.findall(page())] == [f"API{number}" for number in range(1, 11)]


def missing_of(answer: str, addresses: set[str]) -> list[str]:
    """What an answer names and is not there, or is not tried; the whole answer where it names nothing at all."""
    attacks, names, links = ATTACK.findall(answer), NAMED.findall(answer), LINK.findall(answer)
    if not (attacks or names or links or answer.startswith(UNANSWERED)):
        return [answer]
    tried = {number for number, attack in known().items() if answer.startswith(UNANSWERED) or not attack.absent}
    wanting = set(attacks) - tried
    wanting |= {name for name in names if not ATTACK.fullmatch(name) and not is_there(name, addresses)}
    return sorted(wanting | {link for link in links if not (PAGE.parent / link).is_file()})


def test_everything_that_an_answer_names_is_there(app: Flask) -> None:
    addresses = {rule.rule for rule in app.url_map.iter_rules()}
    wrong = {number: missing_of(answer, addresses) for number, answer in answers()}

    assert {number: names for number, names in wrong.items() if names} == {}


def test_it_counts_what_is_missing() -> None:
    [(whole, absent, missing)] = re.findall(r"(\d+) hold, (\d+) find nothing here, (\d+) do not hold", page())
    given = [answer for number, answer in answers() if number.startswith("V")]

    assert int(absent) == sum(answer.startswith("not here: ") for answer in given)
    assert int(missing) == sum(answer.startswith("no: ") for answer in given)
    assert int(whole) == len(given) - int(absent) - int(missing)
