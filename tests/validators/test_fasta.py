"""The validator of sequences."""

from __future__ import annotations

import pytest

from portal import validators
from tests.validators.samples import DNA, PROTEIN, refusal


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ("", b">one\nMKT\n"),
        ("", b"MKTAYIAKQR\nQISFVKSHFS"),
        ("", b">one\r\nMKT*\r\n>two\r\nACG-\r\n"),
        ("", b"; a remark\n>one\n\nMKT\n; another\n"),
        ("", "\ufeff>größer\nMKT\n".encode()),
        ("protein", b">one\n" + PROTEIN),
        ("protein", b">short\nGATTACA\n"),
        ("nucleotide", b">one\n" + DNA.lower() + b"\nNNNN\n"),
        ("nucleotide", b">one\nACGU\n"),
        ("30..1500", b">one\n" + PROTEIN),
        ("single", PROTEIN),
        ("aligned", b">one\nMK-T\n>two\nMKAT\n>three\n--\nAT\n"),
        ("protein 30..1500 aligned", PROTEIN),
    ],
)
def test_it_accepts_sequences(options: str, data: bytes) -> None:
    assert refusal(f"fasta {options}", data) is None


@pytest.mark.parametrize(
    ("options", "data", "sentence"),
    [
        ("", b"", "it holds no sequence."),
        ("", b"\n\n; nothing\n", "it holds no sequence."),
        ("", b">one\n>two\nMKT\n", "the sequence of line 1 has 0 residues, 1 are the least."),
        ("", b">one\nMKT\n>two\n", "the sequence of line 3 has 0 residues, 1 are the least."),
        ("", b">one\nMKT\nM KT\n", "line 3 holds “ ”, which cannot stand in a sequence."),
        ("", b">one\nMKT\nMK1\n", "line 3 holds “1”, which cannot stand in a sequence."),
        ("", b"MKT\n>two\nMKT\n", "line 2 begins a second sequence, but the one before it has no line that names it."),
        ("", b"MK\x07T\n", "line 1 holds U+0007 in a sequence."),
        ("", b">one\nMK\xffT\n", "line 2 is not UTF-8 text."),
        ("", b"\x89PNG\r\n\x1a\n", "line 1 is not UTF-8 text."),
        ("nucleotide", b">one\nACGT\nACGL\n", "line 3 holds “L”, which cannot stand in a nucleotide sequence."),
        ("protein", b">one\n" + PROTEIN + b"\n>two\n" + DNA, "the sequence of line 3 looks like nucleotides, where a"),
        ("30..1500", b">one\nMKT\n", "the sequence of line 1 has 3 residues, 30 are the least."),
        ("1..5", b">one\nMKT\nMKT\nMKT", "the sequence of line 1 has more than 5 residues."),
        ("single", b">one\nMKT\n>two\nMKT\n", "line 3 begins a second sequence, where only one is allowed."),
        ("aligned", b">one\nMKT\n>two\nMKTA\n", "the sequence of line 3 has 4 residues, the first has 3: aligned"),
    ],
)
def test_it_says_which_line_is_wrong_and_why(options: str, data: bytes, sentence: str) -> None:
    assert str(refusal(f"fasta {options}", data)).startswith(sentence)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("rna", "“rna” is none of protein, nucleotide, single, aligned and a range such as 30..1500."),
        ("9..3", "The fewest residues are more than the most: exchange them."),
        ("..3", "“..3” is none of"),
    ],
)
def test_it_says_what_is_wrong_with_its_options(options: str, sentence: str) -> None:
    assert str(validators.check_options("fasta", options)).startswith(sentence)
