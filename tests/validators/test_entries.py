"""The lines of a job's validators: which file, what kind of data, with which options."""

from __future__ import annotations

import io

import pytest

from portal import validators
from portal.validators import Entry


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("csv", Entry("csv")),
        ("csv species:text", Entry("csv", "species:text")),
        ('csv "bill length":decimal', Entry("csv", '"bill length":decimal')),
        ("regex a: b", Entry("regex", "a: b")),
        ("fit_table: csv species:text", Entry("csv", "species:text", "fit_table")),
        ("a:b_c: size 1 kB..10 MB", Entry("size", "1 kB..10 MB", "a:b_c")),
        ("it's_é: png", Entry("png", "", "it's_é")),
        ('"My task_table": csv species:text', Entry("csv", "species:text", "My task_table")),
        ('"csv fit_table": regex "a": b', Entry("regex", '"a": b', "csv fit_table")),
        ('"a: b_c": png', Entry("png", "", "a: b_c")),
        ("  fit_table:   csv   a:text ", Entry("csv", "a:text", "fit_table")),
        ("fit_table:", Entry("", "", "fit_table")),
        ("", Entry("")),
        (": csv", Entry(":", "csv")),
        ('"": csv', Entry('"":', "csv")),
    ],
)
def test_it_reads_the_file_the_validator_and_its_options(text: str, entry: Entry) -> None:
    assert validators.entry(text) == entry


@pytest.mark.parametrize(
    "text", ["csv", "csv a:text", "fit_table: csv a:text", '"My task_table": csv', '"a: b": regex "c": d', "a:b: png"]
)
def test_it_writes_an_entry_as_it_was_read(text: str) -> None:
    assert str(validators.entry(text)) == text


def test_it_checks_whichever_file_the_entry_names() -> None:
    assert validators.check("fit_table: csv a:integer", io.BytesIO(b"a\n1\n")) is None
    assert validators.check('"My task_table": size 1 B', io.BytesIO(b"ab")) == "it has more than 1 B."
