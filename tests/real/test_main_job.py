"""The main job through real servers and real workers, its numbers against an independent computation."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest

from tests.examples import independent
from tests.examples.running import PENGUINS
from tests.real.conftest import Inbox
from tests.real.rest import Client

pytestmark = pytest.mark.real

FIELDS = {"job": "penguins", "submission_name": "by curl", "email": "ann@example.org"}


def test_it_runs_from_four_fields_alone_and_its_numbers_are_right(rest: Client, tmp_path: Path) -> None:
    answer = rest.post(PENGUINS, **FIELDS)
    assert list(answer) == ["UUID", "submission_name"]

    batch = rest.ended(answer["UUID"])

    assert batch["state"] == "Complete"
    [submission] = batch["submissions"]
    assert submission["last_message"] == "Completed job at step #3"
    assert [result["step"] for result in submission["results"]] == [1, 1, 2, 2, 2, 3]
    dropped = json.loads(rest.download(submission, ".dropped.json", tmp_path).read_text())
    assert (dropped["read"], dropped["kept"]) == (344, 333)
    clean = rest.download(submission, ".clean.csv", tmp_path)
    coefficients = independent.read_coefficients(rest.download(submission, ".coefficients.csv", tmp_path))
    independent.assert_agree(coefficients, independent.coefficients(clean))
    anova = independent.read_anova(rest.download(submission, ".anova.csv", tmp_path))
    independent.assert_agree(anova, independent.anova(PENGUINS))
    assert rest.download(submission, ".png", tmp_path).read_bytes().startswith(b"\x89PNG")
    report = rest.download(submission, ".report.txt", tmp_path).read_text()
    assert "flipper_length_mm" in report
    assert "Chinstrap vs Gentoo" in report


def test_its_parameters_are_used(rest: Client, tmp_path: Path) -> None:
    answer = rest.post(PENGUINS, **FIELDS, report_rows="1", bill_length_alpha="0.001", body_mass_title="It's; $HOME")

    [submission] = rest.ended(answer["UUID"])["submissions"]

    assert submission["state"] == "Complete"
    table = rest.download(submission, ".anova.csv", tmp_path).read_text()
    assert ",no" in table.splitlines()[-1]
    report = rest.download(submission, ".report.txt", tmp_path).read_text()
    assert "Chinstrap vs Gentoo" not in report


def test_a_file_that_is_no_table_is_refused(rest: Client, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("a,b\n1,2,3\n")

    answer = rest.post(wrong, **FIELDS)

    assert answer == {"error": {"input_data": ["Input data could not be validated"]}}


def test_the_submitter_gets_one_letter_with_the_link(rest: Client, inbox: Inbox) -> None:
    address = f"{uuid4()}@example.org"
    answer = rest.post(PENGUINS, **{**FIELDS, "email": address, "submission_name": "Süß & co"})
    [submission] = rest.ended(answer["UUID"])["submissions"]

    letter = inbox.letter_to(address)

    assert letter["Subject"] == "Süß & co: complete"
    assert f"/runs/{submission['UUID']}" in letter.get_content()


def test_the_letter_of_a_failure_names_step_status_and_last_lines(rest: Client, inbox: Inbox, tmp_path: Path) -> None:
    wrong = tmp_path / "other.csv"
    wrong.write_text("species,island\nAdelie,Biscoe\n")
    address = f"{uuid4()}@example.org"
    answer = rest.post(wrong, **{**FIELDS, "email": address})
    batch = rest.ended(answer["UUID"])
    assert batch["state"] == "Error"

    text = inbox.letter_to(address).get_content()

    assert "Step 1 (clean)" in text
    assert "Exit status: 1" in text
    assert "bill_length_mm" in text
