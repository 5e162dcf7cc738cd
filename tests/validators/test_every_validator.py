"""What holds for every validator, whatever it is given: an answer, little memory, an end."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal import validators
from portal.domain.plugins import plugins
from tests.validators import samples
from tests.validators.samples import Endless, refusal

NEEDED = {"size": "10 B..1 GB", "regex": "[a-z]*"}
ENTRIES = sorted(f"{name} {NEEDED.get(name, '')}".strip() for name in plugins("validators"))
TYPED = "csv a:integer b:date c:boolean"
BEGINNINGS = st.sampled_from(
    [b"", samples.PNG, samples.GIF, samples.JPEG, samples.PDB, b">a\nMKT\n", b"a,b,c\n1,2,3\n", b'[{"a": [1, "b']
)
SIZE = 50_000_000
MOST_HELD = 1_500_000
A_LONG_LINE = 3_000_000
A_WIDE_ROW = 15_000_000


@contextmanager
def little_memory(most: int = MOST_HELD) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("entry", [*ENTRIES, TYPED, "fasta protein aligned", "text utf-16", "text windows-1252"])
@settings(deadline=None)
@given(BEGINNINGS, st.integers(0, 200), st.binary(max_size=300), st.booleans())
def test_it_answers_random_bytes(entry: str, begin: bytes, length: int, rest: bytes, whole: bool) -> None:
    answer = refusal(entry, (begin if whole else begin[:length]) + rest)

    assert answer is None or (isinstance(answer, str) and answer.endswith("."))


@pytest.mark.parametrize("name", sorted(plugins("validators")))
@settings(deadline=None)
@given(st.text(max_size=40))
def test_it_answers_random_options(name: str, options: str) -> None:
    wrong = validators.check_options(name, options)

    assert wrong is None or wrong
    assert wrong or refusal(f"{name} {options}", b"a,b\n1,2\n") != ""


@pytest.mark.parametrize("entry", ENTRIES)
def test_it_says_what_it_checks_and_what_its_options_are(entry: str) -> None:
    known = validators.entry(entry)
    name, options = known.name, known.options
    constants = plugins("validators")[name].constants

    assert constants["LABEL"] and constants["HINT"].endswith(".")
    assert validators.check_options(name, options) is None
    if not constants["OPTIONS"]:
        assert "takes no options" in str(validators.check_options(name, "any"))


@pytest.mark.parametrize("entry", ENTRIES)
def test_it_gives_up_after_a_while(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validators, "PATIENCE", -1.0)

    assert "could not be checked within" in str(refusal(entry, b"x"))


def test_it_refuses_data_when_its_options_became_wrong() -> None:
    assert str(refusal("size soon", b"x")).startswith("the options of the validator size are wrong: “soon” is not")


LONG = {
    "text": (b"some text\n", b"", b""),
    "csv": (b"Adelie,39.1,2007,a bird of the Southern Ocean\n", b"species,bill,year,what\n", b""),
    "fasta protein": (samples.PROTEIN + b"\n", b">one\n", b""),
    "fasta": (b"ACGT", b">a chromosome in one line\n", b"\n"),
    "json": (b'{"species": "Adelie", "bill": [39.1, null]}, ', b"[", b"1]"),
    "json array": (b"x", b'["', b'"]'),
    "pdb": (samples.ATOM.encode() + b"\n", b"", b""),
    "size 1 GB": (b"x", b"", b""),
    "regex [a-z ]+": (b"some text of which there is plenty " * 20 + b"\n", b"", b""),
    "gif": (b"\x04abcd", samples.GIF_SCREEN + samples.GIF_IMAGE[:11], b"\0\x3b"),
    "jpeg": (b"a\xff\0bcde", samples.JPEG_START + samples.JPEG_FRAME + samples.JPEG_SCAN[:10], b"\xff\xd9"),
    "png": (
        samples.chunk(b"IDAT", b"x" * 100_000),
        samples.PNG_SIGNATURE + samples.png_header(),
        samples.chunk(b"IEND"),
    ),
}


@pytest.mark.parametrize("entry", LONG)
def test_it_reads_much_and_holds_little(entry: str) -> None:
    piece, begin, end = LONG[entry]
    stream = Endless(SIZE // 20, piece, begin, end)

    with little_memory():
        assert validators.check(entry, stream) is None
    assert stream.taken > SIZE // 22


ENDLESS = {
    "csv": (b"x", b"a,b\n"),
    "csv a:text": (b'"some text\nand more",', b"a,b\n"),
    "csv b:text": (b'"a', b"b\n"),
    "pdb": (b"x", b""),
    "regex [a-z]*": (b"x", b""),
    "json": (b"[", b""),
    "json object": (b'{"a":', b""),
    "json array": (b"9", b"["),
    "gif": (b"x", b""),
    "png": (b"\0", samples.PNG),
    "jpeg": (b"x", samples.JPEG_START),
    "text": (b"\x1b", b""),
}


@pytest.mark.parametrize("entry", ENDLESS)
def test_it_stops_at_the_first_fault(entry: str) -> None:
    piece, begin = ENDLESS[entry]
    stream = Endless(SIZE, piece, begin)

    with little_memory(A_WIDE_ROW if entry == "csv a:text" else A_LONG_LINE):
        assert validators.check(entry, stream)
    assert stream.taken < 3_000_000


@pytest.mark.parametrize("entry", ["fasta", "json", "text", "jpeg", "gif"])
def test_it_holds_little_of_what_has_no_end(entry: str) -> None:
    begin = {"json": b'"', "jpeg": LONG["jpeg"][1], "gif": LONG["gif"][1]}.get(entry, b"")
    stream = Endless(SIZE, b"a", begin)

    with little_memory():
        validators.check(entry, stream)
    assert stream.taken > SIZE * 0.9


def test_it_closes_nothing_of_its_caller() -> None:
    stream = io.BytesIO(b"a,b\n1\n")

    for entry in ENTRIES:
        validators.check(entry, stream)

    assert not stream.closed
