"""The validator of comma-separated tables."""

from __future__ import annotations

import io

import pytest

from portal import validators


def refusal(data: bytes) -> str | None:
    return validators.check("csv", io.BytesIO(data))


@pytest.mark.parametrize(
    "data",
    [
        b"a,b\n1,2\n",
        b"a,b",
        b"a,b\r\n1,2\r\n",
        b"\xef\xbb\xbfa,b\n1,2\n",
        "größe,😀\n1,2\n".encode(),
        b'a,b\n"x, ""y""\nz",2\n',
        b"a\n1\n\n2\n",
    ],
)
def test_it_accepts_a_table(data: bytes) -> None:
    assert refusal(data) is None


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "the first line must name the columns."),
        (b"\n1,2\n", "the first line must name the columns."),
        (b" , \n1,2\n", "the first line must name the columns."),
        (b"a,b\n1,2\n1,2,3\n", "line 3 has 3 fields where the header has 2."),
        (b'a,b\n"x\ny",2\n1\n', "line 4 has 1 fields where the header has 2."),
        (b"a,b\n1,2\n\xff,3\n", "line 3 is not UTF-8 text."),
        (b"a,b\n" + b"1,2\n" * 9000 + b"\xe9,3\n", "line 9002 is not UTF-8 text."),
        (b'a,b\n1,"2"x\n', "line 2: "),
        (b'a,b\n1,"2\n', "line 2: "),
        (b"\x89PNG\r\n\x1a\n", "line 1 is not UTF-8 text."),
    ],
)
def test_it_says_which_line_is_wrong_and_why(data: bytes, sentence: str) -> None:
    assert str(refusal(data)).startswith(sentence)


def test_it_says_that_a_validator_is_not_installed() -> None:
    assert validators.check("fasta_of_old", io.BytesIO(b"")) == "the validator fasta_of_old is not installed."


BIRDS = b"species,bill,year,day,flag\nAdelie,39.1,2007,2007-11-11,TRUE\nGentoo,NA,,,\n"
TYPED = "species:text bill:decimal year:integer day:date flag:boolean"


@pytest.mark.parametrize(
    ("options", "data"),
    [
        (TYPED, BIRDS),
        ("year:integer species:text!", BIRDS),
        ("semicolon a:integer", b"a;b\n1;x,y\n"),
        ("tab a:integer b:decimal", b"a\tb\n-1\t1e-5\n"),
        ("only a:integer b:boolean!", b"b,a\nno,\n1, 7 \n"),
        ("'bill length':decimal \"x:y\":date", b"bill length,x:y\n.5,2024-02-29\n"),
    ],
)
def test_it_accepts_columns_of_their_types(options: str, data: bytes) -> None:
    assert validators.check(f"csv {options}", io.BytesIO(data)) is None


@pytest.mark.parametrize(
    ("options", "data", "sentence"),
    [
        ("a:integer", b"a\n1\n1.5\n", "line 3: “1.5” in the column a is not a whole number."),
        ("a:decimal", b"a\n1,5\n", "line 2 has 2 fields where the header has 1."),
        ("semicolon a:decimal", b"a\n1,5\n", "line 2: “1,5” in the column a is not a number such as 1.5."),
        ("a:decimal", b"a\ninf\n", "line 2: “inf” in the column a is not a number such as 1.5."),
        ("a:date", b"a\n2026-02-29\n", "line 2: “2026-02-29” in the column a is not a date such as 2026-11-21."),
        ("a:date", b"a\n20260228\n", "line 2: “20260228” in the column a is not a date such as 2026-11-21."),
        ("a:boolean", b"a\nperhaps\n", "line 2: “perhaps” in the column a is not true or false."),
        ("a:text!", b"a,b\nx,y\n ,y\n", "line 3: the column a is empty."),
        ("a:integer", b'b,a\n"x\ny",1\nz,q\n', "line 4: “q” in the column a is not a whole number."),
        ("year:integer", b"species,Year\n", "line 1 has no column year: the columns are species, Year."),
        ("a:integer", b"a,b,a\n", "line 1 has more than one column a: the columns are a, b, a."),
        ("only a:text", b"a,b\n", "line 1 has a column “b”, which is not among a."),
        ("tab a:text", b"a,b\n1,2\n", "line 1 has no column a: the columns are a,b."),
    ],
)
def test_it_says_which_cell_is_not_of_its_type(options: str, data: bytes, sentence: str) -> None:
    assert validators.check(f"csv {options}", io.BytesIO(data)) == sentence


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("year:number", "“year:number” is no column with a type (text, integer, decimal, date, boolean), such as"),
        ("coma", "“coma” is no column with a type"),
        (":text", "“:text” is no column with a type"),
        ("a:text a:integer", "The column a is named twice."),
        ("tab comma", "Name one separator: comma, semicolon or tab."),
        ("only", "Name the columns beside only."),
        ("'a:text", "A quotation mark is not closed."),
    ],
)
def test_it_says_what_is_wrong_with_its_options(options: str, sentence: str) -> None:
    assert str(validators.check_options("csv", options)).startswith(sentence)


def test_it_refuses_a_row_that_never_ends() -> None:
    row = b'"a\nb",' * 200_000

    assert str(refusal(b"a,b\n" + row)).endswith("belongs to a row of more than 1,048,576 characters.")
