"""Patterns: whole texts, in a time that grows no faster than the text."""

from __future__ import annotations

import pytest

from portal.domain import patterns
from portal.domain.parameters import LONGEST


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$", "(a|aa)+$", "(.*a){12}$", "((a?){30}){30}$"])
def test_it_answers_whatever_the_pattern_for_the_longest_text(pattern: str) -> None:
    assert patterns.fault(pattern) is None
    assert not patterns.matches(pattern, "a" * (LONGEST - 1) + "!")


def test_it_matches_characters_and_not_bytes() -> None:
    assert patterns.matches("..", "é😀")
    assert not patterns.matches("....", "😀")
