"""Sequences of proteins or nucleotides: FASTA, or one bare sequence. A line may be as long as a chromosome."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from portal.domain.streams import LINE_ENDS, Unfit, pieces

LABEL = "FASTA sequences"
HINT = "Sequences after lines that begin with >; or one bare sequence."
OPTIONS = (
    "protein or nucleotide; the residues of each sequence, such as 30..1500; single for one sequence only; "
    "aligned for sequences of one length. Empty: any letters, any number."
)

LETTERS = {
    "": re.compile(r"[A-Za-z*.-]*"),
    "protein": re.compile(r"[A-Za-z*.-]*"),
    "nucleotide": re.compile(r"[ACGTURYKMSWBDHVNXacgturykmswbdhvnx*.-]*"),
}
RANGE = re.compile(r"([0-9]{1,12})\.\.([0-9]{1,12})")
NAME = ">"
COMMENT = ";"
NUCLEOTIDES = b"ACGTUNacgtun"
ENOUGH_TO_TELL = 30
MOSTLY = 0.95


@dataclass(frozen=True)
class Rule:
    """What the options ask for. Without a kind any letter goes."""

    kind: str = ""
    least: int = 1
    most: int | None = None
    single: bool = False
    aligned: bool = False


@dataclass
class Sequence:
    """The sequence that is being read: the line where it begins, and what it has so far."""

    rule: Rule
    line: int
    named: bool
    residues: int = 0
    nucleotides: int = 0

    def add(self, line: int, residues: str) -> None:
        if not LETTERS[self.rule.kind].fullmatch(residues):
            raise Unfit(f"line {line} holds {_other_letter(residues, self.rule)}.")
        self.residues += len(residues)
        if self.rule.kind == "protein":
            self.nucleotides += len(residues) - len(residues.encode("ascii").translate(None, NUCLEOTIDES))
        if self.rule.most is not None and self.residues > self.rule.most:
            raise Unfit(f"the sequence of line {self.line} has more than {self.rule.most:,} residues.")

    def end(self, first: Sequence) -> None:
        """All of it was read. Raises Unfit for what can be said only now."""
        has = f"the sequence of line {self.line} has {self.residues:,} residues"
        if self.residues < self.rule.least:
            raise Unfit(f"{has}, {self.rule.least:,} are the least.")
        if self.residues >= ENOUGH_TO_TELL and self.nucleotides >= MOSTLY * self.residues:
            raise Unfit(f"the sequence of line {self.line} looks like nucleotides, where a protein must be.")
        if self.rule.aligned and self.residues != first.residues:
            raise Unfit(f"{has}, the first has {first.residues:,}: aligned ones have the same.")


def check_options(text: str) -> str | None:
    try:
        rule = _rule(text)
    except ValueError as wrong:
        return str(wrong)
    if rule.most is not None and rule.least > rule.most:
        return "The fewest residues are more than the most: exchange them."
    return None


def check(stream: BinaryIO, options: str) -> str | None:
    rule = _rule(options)
    first: Sequence | None = None
    current: Sequence | None = None
    for line, text in _parts(stream):
        if current is None or text == NAME:
            current = _begun(rule, line, text == NAME, current, first)
            first = first or current
        if text != NAME:
            current.add(line, text)
    if current is None or first is None:
        return "it holds no sequence."
    current.end(first)
    return None


def _begun(rule: Rule, line: int, named: bool, before: Sequence | None, first: Sequence | None) -> Sequence:
    if before and first:
        before.end(first)
        if rule.single:
            raise Unfit(f"line {line} begins a second sequence, where only one is allowed.")
        if not before.named:
            raise Unfit(f"line {line} begins a second sequence, but the one before it has no line that names it.")
    return Sequence(rule, line, named)


def _parts(stream: BinaryIO) -> Iterator[tuple[int, str]]:
    """What matters with its line: NAME where a named sequence begins, and the residues, a long line in pieces."""
    mark = ""
    begins = True
    for line, piece in pieces(stream):
        if begins:
            mark = piece[0]
            if mark == NAME:
                yield line, NAME
        if mark not in (NAME, COMMENT) and (residues := piece.strip()):
            yield line, residues
        begins = piece.endswith(LINE_ENDS)


def _other_letter(residues: str, rule: Rule) -> str:
    found = next(letter for letter in residues if not LETTERS[rule.kind].fullmatch(letter))
    kind = f"a {rule.kind} sequence" if rule.kind else "a sequence"
    return f"“{found}”, which cannot stand in {kind}" if found.isprintable() else f"U+{ord(found):04X} in {kind}"


def _rule(text: str) -> Rule:
    """Raises ValueError with a sentence."""
    asked: dict[str, str | int | bool] = {}
    for word in text.split():
        asked |= _meaning(word)
    return Rule(**asked)  # type: ignore[arg-type]


def _meaning(word: str) -> dict[str, str | int | bool]:
    if word in ("protein", "nucleotide"):
        return {"kind": word}
    if word in ("single", "aligned"):
        return {word: True}
    if found := RANGE.fullmatch(word):
        return {"least": max(1, int(found[1])), "most": int(found[2])}
    raise ValueError(f"“{word[:40]}” is none of protein, nucleotide, single, aligned and a range such as 30..1500.")
