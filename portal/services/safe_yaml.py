"""YAML from anybody: nothing that its tags name is made, and what is too deep or merged without end is refused."""

from __future__ import annotations

from typing import Any

import yaml

DEEPEST = 50
MOST_MERGED = 10_000

Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# What its own readers of numbers, dates and truth values raise for a text that is tagged as one and is none.
UNREADABLE = (yaml.YAMLError, ValueError, RecursionError, TypeError, LookupError, AttributeError, OverflowError)


class _Reader(Safe):  # type: ignore[misc]
    """The safe reader, which merges no more than a person would write."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MOST_MERGED:
            raise ValueError("it merges mappings into mappings without end.")


def read(text: str, reader: Any = _Reader) -> Any:
    """What the text says. Raises one of UNREADABLE."""
    _check_depth(text)
    return yaml.load(text, reader)  # noqa: S506


def _check_depth(text: str) -> None:
    """The fast reader of YAML calls itself for every level: what is too deep would end the process."""
    depth = 0
    for event in yaml.parse(text, Safe):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"it has lists in lists, {DEEPEST} deep and more.")


def reason(wrong: Exception) -> str:
    """What was wrong, in one line."""
    return " ".join(str(wrong).split())[:300] or type(wrong).__name__
