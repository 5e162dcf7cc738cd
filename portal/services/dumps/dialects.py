"""The three dialects in which the first system's commands were written, and how each is said in ours.

2015: `$FLAGS` and `$OPTIONS`, redirection by hand. To February 2017: `$INPUT` and `$OUTPUT`, the parameters put right
after the first word. Since: `$I1 $O1 $P1 $VALUE`. A line that mixes them is left as it is, and that is said.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

OLD = re.compile(r"\$(INPUT|OUTPUT|FLAGS|OPTIONS)(?![A-Za-z0-9_])")
PLACEHOLDERS = re.compile(r"\s*\$(FLAGS|OPTIONS)(?![A-Za-z0-9_])")
NEW = re.compile(r"\$(?:[PIO][1-9][0-9]*|VALUE(?![A-Za-z0-9]))")
REDIRECTED = re.compile(r"\s*>\s*\$OUTPUT\s*$")
NEVER_RAN = re.compile(r">|<<|^\s*#", re.MULTILINE)
LISTS = frozenset({";", "||", "&&", "&"})
LOST = "output of all but the last command was lost in A_A; here it is kept."
UNUSED = "its parameters are asked for, and are nowhere on its command line."


@dataclass(frozen=True)
class Flag:
    """A parameter as commands see it: the number of its place, its flag, and whether it is nothing but that."""

    number: int
    flag: str
    boolean: bool

    @property
    def place(self) -> str:
        return f"$P{self.number}"


@dataclass(frozen=True)
class Rewritten:
    """A command in our dialect. `doubt` says why it was left as it is, `redirected` that its output was the first file.

    `remarks` are what a person should know of it.
    """

    line: str
    redirected: bool = False
    remarks: tuple[str, ...] = ()
    doubt: str = ""


def rewrite(line: str, flags: Sequence[Flag], current: bool) -> Rewritten:
    """The command as ours; `current` tells that its parameters are those of the newest dialect."""
    joined = _joined(line.replace("\r", "").strip())
    if doubt := _doubt(joined, flags, current):
        return Rewritten(joined, doubt=doubt)
    found = _by_dialect(joined, flags, current)
    changed = (f"`{line.strip()}` is now `{found.line}`",) if found.line != line.strip() else ()
    lists = (LOST,) if _is_list(found.line) else ()
    return Rewritten(found.line, found.redirected, (*changed, *found.remarks, *lists))


def _joined(line: str) -> str:
    """As one line, for the first system took a new line for a blank; but not what cannot have run there."""
    return line if NEVER_RAN.search(line) and not OLD.search(line) else line.replace("\n", " ")


def _doubt(line: str, flags: Sequence[Flag], current: bool) -> str:
    old, new = OLD.search(line), NEW.search(line)
    if old and new:
        return f"its command mixes {old[0]} and {new[0]}, which are of different times: write it anew."
    if old and current and flags:
        return f"its command has {old[0]}, but its parameters are of a later time: write it anew."
    return ""


def _by_dialect(line: str, flags: Sequence[Flag], current: bool) -> Rewritten:
    if PLACEHOLDERS.search(line) or REDIRECTED.search(line):
        return _of_2015(line, flags)
    if OLD.search(line) or (flags and not current and not NEW.search(line)):
        return Rewritten(_files(_inserted(line, flags)))
    unused = flags and not re.search(r"\$P[1-9]", line)
    return Rewritten(line, remarks=(UNUSED,) if unused else ())


def _of_2015(line: str, flags: Sequence[Flag]) -> Rewritten:
    places = {"FLAGS": _places(flags, True), "OPTIONS": _places(flags, False)}
    unused = any(places[word] and f"${word}" not in line for word in places)
    redirected = bool(REDIRECTED.search(line))
    filled = PLACEHOLDERS.sub(lambda found: _after_blank(places[found[1]]), REDIRECTED.sub("", line))
    return Rewritten(_files(filled), redirected, (UNUSED,) if unused else ())


def _after_blank(places: str) -> str:
    return f" {places}" if places else ""


def _inserted(line: str, flags: Sequence[Flag]) -> str:
    """All booleans, then the valued ones by their flags, right after the first word."""
    first, blank, rest = line.partition(" ")
    places = f"{_places(flags, True)} {_places(flags, False)}".strip()
    return f"{first} {places}{blank}{rest}" if places else line


def _places(flags: Sequence[Flag], boolean: bool) -> str:
    chosen = [each for each in flags if each.boolean is boolean]
    if not boolean:
        chosen.sort(key=lambda each: each.flag)
    return " ".join(each.place for each in chosen)


def _files(line: str) -> str:
    return OLD.sub(lambda found: {"INPUT": "$I1", "OUTPUT": "$O1"}.get(found[1], found[0]), line)


def _is_list(line: str) -> bool:
    """Whether the line is several commands, of which the first system caught the last one's output only."""
    try:
        return not LISTS.isdisjoint(shlex.shlex(line, punctuation_chars=True))
    except ValueError:
        return False
