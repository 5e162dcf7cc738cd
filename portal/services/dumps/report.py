"""What came of an import, or what would: every thing that was made, left, changed, skipped or refused, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

LONGEST = 500


class Group(StrEnum):
    MADE = "Made"
    KEPT = "There already"
    CHANGED = "Changed"
    SKIPPED = "Skipped"
    REFUSED = "Refused"


@dataclass(frozen=True)
class Line:
    """What it is about, what is said of it, and how many rows of the file that concerns."""

    what: str
    sentence: str = ""
    count: int = 1


@dataclass
class Report:
    """The lines by group. With one refusal or more, nothing is imported."""

    lines: dict[Group, list[Line]] = field(default_factory=lambda: {group: [] for group in Group})
    tally: Counter[str] = field(default_factory=Counter)

    def say(self, group: Group, what: str, sentence: str = "", count: int = 1) -> None:
        """Add a line, once. What a hostile file calls things is shown, and does nothing to a terminal."""
        line = Line(_harmless(what), _harmless(sentence), count)
        if line not in self.lines[group]:
            self.lines[group].append(line)

    def made(self, kind: str, name: str, sentence: str = "") -> None:
        before = len(self.lines[Group.MADE])
        self.say(Group.MADE, f"{kind} {name}", sentence)
        self.tally[kind] += len(self.lines[Group.MADE]) - before

    def change(self, what: str, sentence: str) -> None:
        self.say(Group.CHANGED, what, sentence)

    def refuse(self, what: str, sentence: str) -> None:
        self.say(Group.REFUSED, what, sentence)

    def kept(self, what: str, sentence: str = "") -> None:
        """It is there already: nothing of it is changed after all."""
        self.say(Group.KEPT, what, sentence)
        self.lines[Group.CHANGED] = [line for line in self.lines[Group.CHANGED] if line.what != _harmless(what)]

    def of(self, group: Group) -> Sequence[Line]:
        return self.lines[group]

    def number(self, group: Group) -> int:
        return sum(line.count for line in self.lines[group])

    @property
    def refused(self) -> bool:
        return bool(self.lines[Group.REFUSED])

    @property
    def made_in_words(self) -> str:
        """2 queues, 1 backend, 16 tasks ..."""
        return ", ".join(f"{number} {kind}{'s' if number != 1 else ''}" for kind, number in self.tally.items())


def _harmless(text: str) -> str:
    shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[: LONGEST + 1])
    return shown if len(text) <= LONGEST else f"{shown[:LONGEST]}…"
