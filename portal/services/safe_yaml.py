"""YAML from anybody: nothing that its tags name is made; what is too deep, too much or said twice is refused."""

from __future__ import annotations

from typing import Any

import yaml

DEEPEST = 50
MOST_NODES = 100_000
LONGEST_NUMBER = 100
MOST_MERGED = 10_000

Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# What its own readers of numbers, dates and truth values raise for a text that is tagged as one and is none.
UNREADABLE = (yaml.YAMLError, ValueError, RecursionError, TypeError, LookupError, AttributeError, OverflowError)


class Plain(Safe):  # type: ignore[misc]
    """The safe reader, which takes no number that is longer than anybody's: 1:1:1:1... takes hours to reckon."""

    def construct_yaml_int(self, node: yaml.ScalarNode) -> Any:
        if len(node.value) > LONGEST_NUMBER:
            raise ValueError(f"the number {node.value[:20]}… has more than {LONGEST_NUMBER} characters.")
        return super().construct_yaml_int(node)


Plain.add_constructor("tag:yaml.org,2002:int", Plain.construct_yaml_int)


class _Reader(Plain):
    """The reader of our own format, which merges no more than a person would write."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MOST_MERGED:
            raise ValueError("it merges mappings into mappings without end.")


def read(text: str, reader: Any = _Reader) -> Any:
    """What the text says. Raises one of UNREADABLE."""
    _Shape().check(text)
    return yaml.load(text, reader)  # noqa: S506


class _Level:
    """A list or mapping that is being read: of a mapping, every second node is a name."""

    def __init__(self, event: yaml.Event) -> None:
        self.maps = isinstance(event, yaml.MappingStartEvent)
        self.names: set[str] = set()
        self.expects_name = self.maps

    def take(self, event: yaml.Event) -> None:
        """Raises ValueError for a name that was here already."""
        if self.expects_name and isinstance(event, yaml.ScalarEvent):
            if event.value in self.names:
                raise ValueError(f"{event.value[:40]} is named twice in one mapping: take one out.")
            self.names.add(event.value)
        self.expects_name = self.maps and not self.expects_name


class _Shape:
    """What can be told of a text before anything is made of it.

    The fast reader of YAML calls itself for every level: what is too deep would end the process. Of a name that stands
    twice in a mapping it would take the last.
    """

    def __init__(self) -> None:
        self.levels: list[_Level] = []
        self.nodes = 0

    def check(self, text: str) -> None:
        """Raises ValueError."""
        for event in yaml.parse(text, Safe):
            if isinstance(event, yaml.CollectionEndEvent):
                self.levels.pop()
            elif isinstance(event, yaml.NodeEvent):
                self._take(event)

    def _take(self, event: yaml.NodeEvent) -> None:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise ValueError(f"it has more than {MOST_NODES} names and values: make several files of it.")
        if self.levels:
            self.levels[-1].take(event)
        if isinstance(event, yaml.CollectionStartEvent):
            self.levels.append(_Level(event))
            if len(self.levels) > DEEPEST:
                raise ValueError(f"it has lists in lists, {DEEPEST} deep and more.")


def reason(wrong: Exception) -> str:
    """What was wrong, in one line."""
    return " ".join(str(wrong).split())[:300] or type(wrong).__name__
