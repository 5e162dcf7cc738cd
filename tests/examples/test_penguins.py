"""The four tasks of the penguins job: what each keeps, refuses and computes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .independent import (
    anova,
    assert_agree,
    coefficients,
    complete_rows,
    read_anova,
    read_coefficients,
    read_table,
)
from .running import PENGUINS, Done, needs_r, run_command, run_python, run_r, succeed

HEADER = "species,island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year"


def clean(source: Path, directory: Path) -> Done:
    outputs = {".clean.csv": directory / "1.clean.csv", ".dropped.json": directory / "1.dropped.json"}
    return run_python("penguins/clean.py", directory, {".csv": source}, outputs)


def clean_text(text: str, directory: Path) -> Done:
    source = directory / "upload.csv"
    source.write_text(text, encoding="utf-8")
    return clean(source, directory)


def fit(source: Path, directory: Path, title: str = "Body mass by flipper length") -> None:
    outputs = {".coefficients.csv": directory / "2.coefficients.csv", ".png": directory / "2.png"}
    succeed(run_r("penguins/fit.R", directory, {".clean.csv": source}, outputs, title=title))


def compare(source: Path, directory: Path, alpha: float = 0.05) -> Path:
    table = directory / "3.anova.csv"
    outputs = {".anova.csv": table}
    succeed(run_python("penguins/anova.py", directory, {".clean.csv": source}, outputs, alpha=alpha))
    return table


def significant(table: Path) -> dict[str, str]:
    return {row["comparison"]: row["significant"] for row in read_table(table)}


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("clean")
    succeed(clean(PENGUINS, directory))
    return directory / "1.clean.csv"


def test_it_keeps_the_complete_rows_unchanged(cleaned: Path) -> None:
    assert cleaned.read_text().splitlines()[0] == HEADER
    assert read_table(cleaned) == complete_rows(PENGUINS)
    assert len(read_table(cleaned)) == 333


def test_it_says_which_rows_it_dropped_and_why(cleaned: Path) -> None:
    story = json.loads(cleaned.with_name("1.dropped.json").read_text())

    assert (story["read"], story["kept"], len(story["dropped"])) == (344, 333, 11)
    assert story["dropped"][0] == {
        "row": 4,
        "missing": ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "sex"],
    }
    assert story["dropped"][1] == {"row": 9, "missing": ["sex"]}


def test_it_takes_an_empty_or_absent_cell_for_missing(tmp_path: Path) -> None:
    rows = ["A,B,1,2,3,4,male,2007", "A,B,1,,3,4,male,2007", "A,B,1,2,3,4,male"]
    succeed(clean_text("\n".join([HEADER, *rows]), tmp_path))

    story = json.loads((tmp_path / "1.dropped.json").read_text())
    assert story["dropped"] == [{"row": 2, "missing": ["bill_depth_mm"]}, {"row": 3, "missing": ["year"]}]


def test_it_reads_a_table_saved_by_a_spreadsheet(tmp_path: Path) -> None:
    succeed(clean_text(f"\ufeff{HEADER}\r\nA,B,1,2,3,4,male,2007\r\n", tmp_path))

    assert (tmp_path / "1.clean.csv").read_bytes() == f"{HEADER}\nA,B,1,2,3,4,male,2007\n".encode()


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("species,year\nA,2007\n", "lacks the column(s) bill_length_mm, flipper_length_mm, body_mass_g"),
        ("", "lacks the column(s) species"),
        (f"{HEADER}\nA,B,1,2,3,4,male,2007,more\n", "Row 1 has more cells"),
        (f"{HEADER}\nA,B,NA,2,3,4,male,2007\n", "No row of the table is complete"),
    ],
)
def test_it_refuses_a_table_it_cannot_use(text: str, remark: str, tmp_path: Path) -> None:
    done = clean_text(text, tmp_path)

    assert done.returncode == 1
    assert remark in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "1.clean.csv").exists()


@needs_r
def test_it_fits_the_same_coefficients_as_an_independent_computation(cleaned: Path, tmp_path: Path) -> None:
    fit(cleaned, tmp_path)

    assert_agree(read_coefficients(tmp_path / "2.coefficients.csv"), coefficients(PENGUINS))


@needs_r
def test_it_draws_a_plot_under_the_title_asked_for(cleaned: Path, tmp_path: Path) -> None:
    fit(cleaned, tmp_path, title="One title")
    first = (tmp_path / "2.png").read_bytes()
    fit(cleaned, tmp_path, title='Another "title", d\u2019\u00e9t\u00e9')
    second = (tmp_path / "2.png").read_bytes()

    assert first[:8] == second[:8] == b"\x89PNG\r\n\x1a\n"
    assert first != second


def test_it_compares_bill_lengths_as_an_independent_computation_does(cleaned: Path, tmp_path: Path) -> None:
    assert_agree(read_anova(compare(cleaned, tmp_path)), anova(PENGUINS))


def test_it_calls_significant_what_lies_below_the_level(cleaned: Path, tmp_path: Path) -> None:
    usual = significant(compare(cleaned, tmp_path))
    strict = significant(compare(cleaned, tmp_path, alpha=0.001))

    assert set(usual.values()) == {"yes"}
    assert {name for name in strict if strict[name] == "no"} == {"Chinstrap vs Gentoo"}


COEFFICIENTS = """term,estimate,std_error,t_value,p_value
(Intercept),-4031.4769285,584.151,-6.9014,2.5499999999999999e-11
flipper_length_mm,40.705,3.071,13.254,1.4e-32
speciesGentoo,266.8096,95.264,2.8007,0.0053919
"""
ANOVA = """comparison,statistic,df,p_value,p_corrected,significant
species (one-way ANOVA),397.3,2;330,1.4e-88,1.4e-88,yes
Adelie vs Chinstrap,-23.8,106.97,2.1e-44,4.2e-44,yes
"""


def report(directory: Path, rows: int) -> list[str]:
    (directory / "4.coefficients.csv").write_text(COEFFICIENTS)
    (directory / "4.anova.csv").write_text(ANOVA)
    names = {"I1": "4.coefficients.csv", "I2": "4.anova.csv", "P1": f"-n {rows}"}
    return succeed(run_command("penguins/report.sh", directory, **names)).splitlines()


def test_it_reports_both_tables_aligned_with_the_smallest_p_value_first(tmp_path: Path) -> None:
    assert report(tmp_path, rows=10) == [
        "Body mass (g) by flipper length (mm) and species: linear model",
        "--------------------------------------------------------------",
        "",
        "term               estimate  std_error  t_value    p_value",
        "flipper_length_mm    40.705      3.071   13.254    1.4e-32",
        "(Intercept)         -4031.5     584.15  -6.9014   2.55e-11",
        "speciesGentoo        266.81     95.264   2.8007  0.0053919",
        "",
        "Bill length (mm) by species: ANOVA, then Welch t-tests corrected after Holm",
        "---------------------------------------------------------------------------",
        "",
        "comparison               statistic      df  p_value  p_corrected  significant",
        "species (one-way ANOVA)      397.3   2;330  1.4e-88      1.4e-88          yes",
        "Adelie vs Chinstrap          -23.8  106.97  2.1e-44      4.2e-44          yes",
    ]


def test_it_reports_no_more_rows_than_asked_for(tmp_path: Path) -> None:
    lines = report(tmp_path, rows=1)

    assert [line.split("  ")[0] for line in lines if line[:3] in ("fli", "(In", "spe", "Ade")] == [
        "flipper_length_mm",
        "species (one-way ANOVA)",
    ]


@needs_r
def test_it_reports_what_the_other_tasks_wrote(cleaned: Path, tmp_path: Path) -> None:
    fit(cleaned, tmp_path)
    compare(cleaned, tmp_path)

    names = {"I1": "2.coefficients.csv", "I2": "3.anova.csv", "P1": "-n 10"}
    text = succeed(run_command("penguins/report.sh", tmp_path, **names))

    names_of_rows = [*coefficients(PENGUINS), *anova(PENGUINS)]
    assert all(any(line.startswith(name) for line in text.splitlines()) for name in names_of_rows)


def test_it_fails_to_report_on_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("")

    done = run_command("penguins/report.sh", tmp_path, I1="1.csv", I2="1.csv", P1="-n 10")

    assert done.returncode != 0
