"""Texts that people write, kept as they are: how long each may be, as its column says, and what no database keeps."""

from __future__ import annotations

LONGEST = {
    "description": 10_000,
    "code": 200_000,
    "label": 120,
    "help": 10_000,
    "flag": 120,
    "default": 10_000,
    "choice": 1_000,
    "pattern": 300,
    "variable's value": 10_000,
    "kind": 20,
    "name": 120,
    "version": 80,
    "parameters": 10_000,
    "root directory": 500,
    "option": 2_000,
}


def check_text(what: str, text: str) -> str | None:
    """Why this text cannot be kept as a label, a description ..., or None."""
    if not storable(text):
        return f"A character in the {what}, such as NUL, cannot be kept: take it out."
    if len(text) > LONGEST[what]:
        return f"At most {LONGEST[what]} characters are allowed in the {what}, this has {len(text)}."
    return None


def storable(text: str) -> bool:
    """Whether a database can hold the text, or look for it: no NUL, no half of a character."""
    return not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text)
