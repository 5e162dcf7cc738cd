"""The validator of protein structures."""

from __future__ import annotations

import pytest

from tests.validators.samples import ATOM, PDB, refusal


@pytest.mark.parametrize("data", [PDB, PDB.replace(b"\n", b"\r\n"), ATOM.encode(), b"REMARK \xc3\xa9\n" + PDB])
def test_it_accepts_a_structure(data: bytes) -> None:
    assert refusal("pdb", data) is None


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "it holds no ATOM or HETATM line."),
        (b"ATOMS are small.\n", "it holds no ATOM or HETATM line."),
        (b"REMARK\n" + ATOM[:40].encode(), "line 2: columns 39 to 46 must hold the coordinate y of the atom."),
        (PDB.replace(b"-12.614", b"-1x.614"), "line 3: columns 47 to 54 must hold the coordinate z of the atom."),
        (PDB.replace(b"  27.340", b"     nan"), "line 2: columns 31 to 38 must hold the coordinate x of the atom."),
        (b"x" * 81 + b"\n" + PDB, "line 1 has 81 columns, 80 at most are allowed."),
        (PDB + b"REMARK \xe9\n", "line 5 is not UTF-8 text."),
        (b"\0\0\0\0", "line 1 holds a NUL character."),
    ],
)
def test_it_says_which_line_is_wrong_and_why(data: bytes, sentence: str) -> None:
    assert refusal("pdb", data) == sentence
