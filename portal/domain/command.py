"""A command line with places in it: $I1 $O1 $P1 $VALUE $ID $TMP.

A value never becomes part of the script's text: the script refers to it as a quoted shell variable, so that it is one
word whatever it holds, even where this reader of quotes should be mistaken about the shell's own reading.
"""

from __future__ import annotations

import re
import shlex
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from portal.domain.errors import Invalid

PLACE = re.compile(r"\$(?:(?P<kind>[PIO])(?P<number>[1-9][0-9]*)|(?P<word>VALUE|ID|TMP)(?![A-Za-z0-9]))", re.ASCII)
BRACED = re.compile(r"\$\{((?:[PIO][1-9][0-9]*)|VALUE|ID|TMP)\}", re.ASCII)
HEREDOC = re.compile(
    r"""<<(?P<tabs>-?)[ \t]*(?:'(?P<single>[^'\n]+)'|"(?P<double>[^"\n]+)"|(?P<bare>[^\s;&|<>()'"`]+))"""
)
CASE = re.compile(r"\bcase\b")
LONGEST_SHOWN = 50_000
LONGEST_PLACE = 20
REMEMBERED = 64  # lines
ENDS = {"'": "'", '"': '"', "`": "`", "${": "}", "$(": ")"}


class Quoting(Enum):
    """How the shell reads the text around a place."""

    BARE = "bare"
    DOUBLE = "double"
    SINGLE = "single"
    BACKTICK = "backtick"
    BRACE = "brace"
    ARITHMETIC = "arithmetic"
    COMMENT = "comment"
    HEREDOC = "here-document"
    LITERAL = "literal here-document"


@dataclass(frozen=True)
class Place:
    """One $I1, $P2 ... of a line: its name without the dollar sign, where it stands, and how it is quoted."""

    name: str
    line: int
    quoting: Quoting


@dataclass(frozen=True)
class Binding:
    """What a place stands for: fixed words before the value (a flag), and the value, if it has one."""

    words: tuple[str, ...] = ()
    value: str | None = None
    spacing: bool = True


@dataclass(frozen=True)
class Opened:
    """A quoting that lasts until it is closed: the characters that begin it, where they stand, and what places in it
    are quoted as: all that stands in ${ } is of it, up to a command of its own."""

    quoting: Quoting
    mark: str = ""
    at: int = 0
    of_places: Quoting = Quoting.BARE


@dataclass(frozen=True)
class Heredoc:
    """A here-document: the line that begins it and the one that ends it, whether it is `<<-`, and quoted."""

    line: int
    delimiter: str
    tabs: bool
    literal: bool

    def ends_with(self, line: str) -> bool:
        return (line.lstrip("\t") if self.tabs else line) == self.delimiter


Piece = str | Place
_Spelling = Callable[[Place, str], str]


class _Reader:
    """Reads a line as sh does, as far as needed to know how each place is quoted, in a time that grows with the line.

    `glued` is where a word goes on, whatever stands before; `sure` is False once sh may have read something else.
    """

    def __init__(self, line: str) -> None:
        self.line = line
        self.at = 0
        self.glued = 0
        self.sure = True
        self.stack = [Opened(Quoting.BARE)]
        self.awaited: deque[Heredoc] = deque()
        self.bodies: list[Heredoc] = []
        self.breaks = [found.start() for found in re.finditer("\n", line)]
        self.cases = [found.start() for found in CASE.finditer(line)]

    def pieces(self) -> Iterator[Piece]:
        while self.at < len(self.line):
            yield self._next()

    def _next(self) -> Piece:
        if place := self._place():
            return place
        return self._take(_STEPS[self.stack[-1].quoting](self))

    def unclosed(self) -> Opened | None:
        """After reading: what is opened last and never closed. Parentheses are left to the shell."""
        opened = [each for each in self.stack if each.mark not in ("", "(", "#")]
        return opened[-1] if self.sure and opened and opened[-1].mark in ENDS else None

    def endless(self) -> list[Heredoc]:
        """After reading: the here-documents whose end did not come."""
        return [*self.bodies, *self.awaited]

    def _take(self, length: int) -> str:
        text = self.line[self.at : self.at + length]
        self.at += length
        return text

    def _place(self) -> Place | None:
        found = PLACE.match(self.line, self.at) or BRACED.match(self.line, self.at)
        if not found:
            return None
        here = self.line_number(self.at)
        self.at = found.end()
        return Place(found[0].strip("${}"), here, self.stack[-1].of_places)

    def line_number(self, at: int) -> int:
        return bisect_left(self.breaks, at) + 1

    def _open(self, quoting: Quoting, length: int = 1) -> int:
        inside = self.stack[-1].of_places is Quoting.BRACE and quoting is not Quoting.BARE
        mark = self.line[self.at : self.at + length]
        self.stack.append(Opened(quoting, mark, self.at, Quoting.BRACE if inside else quoting))
        return length

    def _close(self) -> int:
        if len(self.stack) > 1 and self.stack.pop().mark == "$(":
            self.glued = self.at + 1
        return 1

    def _close_parenthesis(self) -> int:
        """A `)` may be of a pattern, as in `case x in a)`: this reader does not know."""
        opened = self.stack[-1]
        if opened.mark == "$(" and bisect_left(self.cases, opened.at) < bisect_right(self.cases, self.at):
            self.sure = False
        return self._close()

    def _begins_word(self) -> bool:
        return self.at == 0 or (self.at != self.glued and self.line[self.at - 1] in " \t\n;|&()")

    def _looking_at(self, text: str) -> bool:
        return self.line.startswith(text, self.at)

    def bare(self) -> int:
        char = self.line[self.at]
        if char == "\n" and self.awaited:
            return self._open_heredoc()
        if char == "<" and (found := HEREDOC.match(self.line, self.at)):
            self.awaited.append(self._heredoc(found))
            return len(found[0])
        if char == "#" and self._begins_word():
            return self._open(Quoting.COMMENT)
        if char == "'":
            return self._open(Quoting.SINGLE)
        if char == '"':
            return self._open(Quoting.DOUBLE)
        if char == "(":
            return self._open(Quoting.BARE)
        if char == ")":
            return self._close_parenthesis()
        return self._inside_any()

    def double(self) -> int:
        return self._close() if self._looking_at('"') else self._inside_any()

    def single(self) -> int:
        return self._close() if self._looking_at("'") else 1

    def comment(self) -> int:
        if self._looking_at("\n"):
            self.stack.pop()
            return 0
        return 1

    def backtick(self) -> int:
        return self._close() if self._looking_at("`") else self._escaped()

    def brace(self) -> int:
        """Quotes quote in ${ } too; inside other quotes, shells differ in how."""
        if self.line[self.at] in "'\"":
            if self.stack[-2].quoting is Quoting.BARE:
                return self.bare()
            self.sure = False
        return self._close() if self._looking_at("}") else self._inside_any()

    def arithmetic(self) -> int:
        if self._looking_at("("):
            return self._open(Quoting.ARITHMETIC)
        return self._close() if self._looking_at(")") else self._inside_any()

    def _inside_any(self) -> int:
        if self._looking_at("$$"):
            return 2
        if self._looking_at("$(("):
            self._open(Quoting.ARITHMETIC)
            return self._open(Quoting.ARITHMETIC, 3)
        if self._looking_at("$("):
            return self._open(Quoting.BARE, 2)
        if self._looking_at("${"):
            return self._open(Quoting.BRACE, 2)
        if self._looking_at("`"):
            return self._open(Quoting.BACKTICK)
        return self._escaped()

    def _escaped(self) -> int:
        if not self._looking_at("\\"):
            return 1
        if not self._looking_at("\\\n"):
            self.glued = self.at + 2
        return 2

    def _heredoc(self, found: re.Match[str]) -> Heredoc:
        bare = found["bare"] or ""
        delimiter = found["single"] or found["double"] or bare.replace("\\", "")
        return Heredoc(self.line_number(self.at), delimiter, bool(found["tabs"]), delimiter != bare)

    def _open_heredoc(self) -> int:
        self.bodies.append(self.awaited.popleft())
        return self._open(Quoting.LITERAL if self.bodies[-1].literal else Quoting.HEREDOC)

    def heredoc(self) -> int:
        if self.line[self.at - 1] == "\n":
            end = self.line.find("\n", self.at)
            line = self.line[self.at : end if end >= 0 else None]
            if self.bodies[-1].ends_with(line):
                self.bodies.pop()
                self.stack.pop()
                return len(line)
        return 1 if self.stack[-1].quoting is Quoting.LITERAL else self._inside_any()


_STEPS = {
    Quoting.BARE: _Reader.bare,
    Quoting.DOUBLE: _Reader.double,
    Quoting.SINGLE: _Reader.single,
    Quoting.BACKTICK: _Reader.backtick,
    Quoting.BRACE: _Reader.brace,
    Quoting.ARITHMETIC: _Reader.arithmetic,
    Quoting.COMMENT: _Reader.comment,
    Quoting.HEREDOC: _Reader.heredoc,
    Quoting.LITERAL: _Reader.heredoc,
}
UNUSABLE = {
    Quoting.BACKTICK: "between backticks: write $( ) instead",
    Quoting.BRACE: "inside ${ }: write it outside",
    Quoting.ARITHMETIC: "inside $(( )): give it to a variable first, and name that",
    Quoting.LITERAL: "in a here-document with a quoted delimiter: leave the quotes out",
}


@lru_cache(REMEMBERED)
def pieces(line: str) -> tuple[Piece, ...]:
    """The line as literal text and places, in order; a place in a comment is text."""
    return tuple(_read(line)[0])


def _read(line: str) -> tuple[list[Piece], _Reader]:
    """The pieces of a line, and its reader, who knows what does not end in it."""
    reader = _Reader(line.replace("\r", ""))
    found = [
        f"${piece.name}" if isinstance(piece, Place) and piece.quoting is Quoting.COMMENT else piece
        for piece in reader.pieces()
    ]
    return found, reader


def check(line: str, known: set[str]) -> None:
    """Raise Invalid(code=...) for a place that nothing is bound to, or that stands where no value can go.

    Quotes and here-documents without an end are refused too: nobody can tell how what follows them is quoted.
    """
    found, reader = _read(line)
    for place in (piece for piece in found if isinstance(piece, Place)):
        if place.name not in known:
            name = place.name[:LONGEST_PLACE]
            raise Invalid(code=f"Line {place.line}: ${name} stands for nothing here. {_remedy(name)}")
        if place.quoting in UNUSABLE:
            raise Invalid(code=f"Line {place.line}: ${place.name} cannot stand {UNUSABLE[place.quoting]}.")
    if opened := reader.unclosed():
        number, end = reader.line_number(opened.at), f"write {ENDS[opened.mark]} where it ends{_as_text(opened.mark)}"
        raise Invalid(code=f"Line {number}: {opened.mark} opens here and is never closed: {end}.")
    for endless in reader.endless():
        end = f"write {endless.delimiter} alone on the line after its last"
        raise Invalid(code=f"Line {endless.line}: the here-document never ends: {end}.")


def _as_text(mark: str) -> str:
    return f", or \\{mark} for the character itself" if len(mark) == 1 else ""


def _remedy(name: str) -> str:
    kinds = {"I": "Add an input ending", "O": "Add an output ending", "P": "Add a parameter"}
    return f"{kinds.get(name[0], 'Add a parameter whose flag is VALUE')}, or take ${name} out."


def script(line: str, bindings: Mapping[str, Binding]) -> str:
    """The sh script that runs the line: the values as shell variables, then the line referring to them."""
    parts = pieces(line)
    used = {part.name for part in parts if isinstance(part, Place)}
    values = {name: bindings[name].value for name in sorted(used & set(bindings))}
    variables = [f"{name}={shlex.quote(value)}\n" for name, value in values.items() if value is not None]
    return "".join(variables) + "".join(_spelt(part, bindings, _reference) for part in parts) + "\n"


def shown(line: str, bindings: Mapping[str, Binding]) -> str:
    """The line as a person reads it: each value, quoted where it must be, in its place."""
    return _beginning(_spelt(part, bindings, _literal) for part in pieces(line))


def _beginning(parts: Iterable[str]) -> str:
    """As much as anybody reads: a long value may have very many places."""
    kept: list[str] = []
    room = LONGEST_SHOWN
    for part in parts:
        kept.append(part[:room])
        room -= len(part)
        if room < 0:
            return "".join(kept) + " …"
    return "".join(kept)


def _spelt(piece: Piece, bindings: Mapping[str, Binding], spell: _Spelling) -> str:
    if isinstance(piece, str):
        return piece
    binding = bindings.get(piece.name)
    if binding is None:
        return f"${piece.name}"
    words = " ".join(_word(word, piece.quoting) for word in binding.words)
    if binding.value is None:
        return words
    gap = " " if words and binding.spacing else ""
    return words + gap + spell(piece, binding.value)


def _word(word: str, quoting: Quoting) -> str:
    return shlex.quote(word) if quoting is Quoting.BARE else word


def _reference(place: Place, value: str) -> str:
    return {Quoting.BARE: '"${%s}"', Quoting.SINGLE: "'\"${%s}\"'"}.get(place.quoting, "${%s}") % place.name


def _literal(place: Place, value: str) -> str:
    quoted = shlex.quote(value)
    if place.quoting is Quoting.BARE or quoted == value:
        return quoted
    mark = {Quoting.DOUBLE: '"', Quoting.SINGLE: "'"}.get(place.quoting, "")
    return mark + quoted + mark if mark else value
