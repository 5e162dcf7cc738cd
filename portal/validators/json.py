"""JSON: one value in UTF-8. It is scanned and not built, so that only a piece of it is held and nesting is bounded."""

from __future__ import annotations

import codecs
import re
from typing import BinaryIO

from portal.domain.streams import BLOCK, Unfit

LABEL = "JSON"
HINT = "One JSON value in UTF-8, nested no deeper than 500 levels."
OPTIONS = "array or object: what it must be. Empty: any value."

DEEPEST = 500
LONGEST_NUMBER = 1000
FIRST = {"array": "[", "object": "{"}
CLOSING = {"[": "]", "{": "}"}

# What is scanned in one go: many members of little depth. The counts bound what the engine remembers of its way.
_BLANK = r"[ \t\n\r]*"
_ESCAPE = r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})'
_STRING = rf'"[^"\\\x00-\x1f]*(?:{_ESCAPE}[^"\\\x00-\x1f]*){{0,100}}"'
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_NAME = rf"{_STRING}{_BLANK}:{_BLANK}"
_PLAIN = rf"{_STRING}|{_NUMBER}|true|false|null"


def _nesting(value: str) -> str:
    """Such a value, or a short list or object of them."""
    member = rf"(?:{value}){_BLANK}"
    named = rf"{_NAME}{member}"
    lists = rf"\[{_BLANK}(?:{member}(?:,{_BLANK}{member}){{0,30}})?\]"
    objects = rf"\{{{_BLANK}(?:{named}(?:,{_BLANK}{named}){{0,30}})?\}}"
    return f"{_PLAIN}|{lists}|{objects}"


_FLAT = _nesting(_PLAIN)
BLANK = re.compile(_BLANK)
INSIDE = re.compile(rf'(?:[^"\\\x00-\x1f]+|{_ESCAPE}){{0,200}}')
WORD = re.compile(rf"{_NUMBER}|true|false|null")
MEMBERS = {
    "]": re.compile(rf"(?:{_BLANK}(?:{_nesting(_FLAT)}){_BLANK},){{0,100}}"),
    "}": re.compile(rf"(?:{_BLANK}{_NAME}(?:{_FLAT}){_BLANK},){{0,100}}"),
}


def check_options(text: str) -> str | None:
    return None if not text or text in FIRST else f"“{text[:40]}” is neither array nor object."


def check(stream: BinaryIO, options: str) -> str | None:
    text = _Text(stream)
    if options and text.next() != FIRST[options]:
        return f"line {text.line} must begin an {options}."
    _Scanner(text).scan()
    return None


class _Text:
    """The text that comes next, a few blocks of it."""

    def __init__(self, stream: BinaryIO) -> None:
        self.ahead, self.at = "", 0
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._lines_before = 0
        self._over = False

    @property
    def line(self) -> int:
        return 1 + self._lines_before + self.ahead.count("\n", 0, self.at)

    def next(self) -> str:
        """The next character that is no blank, '' at the end. At least a number's characters are ahead."""
        while True:
            self.fill(2 * LONGEST_NUMBER)
            end = self.pass_over(BLANK)
            if not end:
                return self.ahead[self.at : self.at + 1]

    def pass_over(self, pattern: re.Pattern[str]) -> int:
        """Take what matches; gives how much that was."""
        found = pattern.match(self.ahead, self.at)
        length = found.end() - self.at if found else 0
        self.at += length
        return length

    def fill(self, least: int) -> None:
        """Have at least so many characters ahead, if there are so many."""
        while len(self.ahead) - self.at < least and not self._over:
            block = self._stream.read(BLOCK)
            self._over = not block
            more = self._decoded(block)
            self._lines_before += self.ahead.count("\n", 0, self.at)
            self.ahead, self.at = self.ahead[self.at :] + more, 0

    def _decoded(self, block: bytes) -> str:
        try:
            return self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as wrong:
            line = 1 + self._lines_before + self.ahead.count("\n") + wrong.object[: wrong.start].count(10)
            raise Unfit(f"line {line} is not UTF-8 text.") from None


class _Scanner:
    """Where we are in the value: what closes each list and object that is open, the innermost last."""

    def __init__(self, text: _Text) -> None:
        self.text = text
        self.open: list[str] = []
        self.member_due = self.just_opened = False

    def scan(self) -> None:
        self._value()
        while self.open:
            if self.member_due:
                self._member()
            else:
                self._after_member()
        if self.text.next():
            raise self._fault("nothing more is expected")

    def _member(self) -> None:
        """A member must come, or the end of what was just opened. Plain ones are passed over, many at once."""
        closing = self.open[-1]
        if self.text.pass_over(MEMBERS[closing]):
            self.just_opened = False
        if self.text.next() == closing and self.just_opened:
            self._close()
            return
        if closing == "}":
            self._name()
        self._value()

    def _after_member(self) -> None:
        char = self.text.next()
        if char == self.open[-1]:
            self._close()
        elif char == ",":
            self.text.at += 1
            self.member_due, self.just_opened = True, False
        else:
            raise self._fault(f"a comma or {self.open[-1]} is expected")

    def _value(self) -> None:
        char = self.text.next()
        self.member_due = False
        if char in CLOSING:
            self._open(CLOSING[char])
        elif char == '"':
            self._string()
        elif not (length := self.text.pass_over(WORD)):
            raise self._fault("a value is expected")
        elif length > LONGEST_NUMBER:
            raise Unfit(f"line {self.text.line} has a number of more than {LONGEST_NUMBER:,} characters.")

    def _open(self, closing: str) -> None:
        if len(self.open) == DEEPEST:
            raise Unfit(f"line {self.text.line} is nested deeper than {DEEPEST} levels.")
        self.open.append(closing)
        self.text.at += 1
        self.member_due = self.just_opened = True

    def _close(self) -> None:
        self.open.pop()
        self.text.at += 1
        self.member_due = False

    def _name(self) -> None:
        if self.text.next() != '"':
            raise self._fault("a name in double quotes is expected")
        self._string()
        if self.text.next() != ":":
            raise self._fault("a colon is expected")
        self.text.at += 1

    def _string(self) -> None:
        """A string of any length."""
        self.text.at += 1
        self.text.fill(BLOCK)
        while self.text.pass_over(INSIDE):
            self.text.fill(BLOCK)
        if self.text.ahead[self.text.at : self.text.at + 1] != '"':
            raise self._fault("the string must go on, or end with a double quote")
        self.text.at += 1

    def _fault(self, expected: str) -> Unfit:
        """What stands here instead."""
        found = self.text.ahead[self.text.at : self.text.at + 1]
        what = f"not “{found}”" if found.isprintable() else f"not U+{ord(found):04X}"
        return Unfit(f"line {self.text.line}: {expected}, {what if found else 'but here it ends'}.")
