"""The numbers of the penguins job computed a second way, from the definitions, to hold results against.

Every function takes the raw table or the clean one: incomplete rows are dropped here too. Results are keyed
by the name in a table's first column; each value is the tuple of that row's numbers, column by column.
"""

from __future__ import annotations

import csv
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy import special, stats

Numbers = tuple[float, ...]
Vector = npt.NDArray[np.float64]


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as source:
        return list(csv.DictReader(source))


def complete_rows(path: Path) -> list[dict[str, str]]:
    return [row for row in read_table(path) if not {"", "NA"} & set(row.values())]


def coefficients(csv_path: Path) -> dict[str, Numbers]:
    """term -> estimate, standard error, t, p of body_mass_g ~ flipper_length_mm + species."""
    rows = complete_rows(csv_path)
    mass = np.array([float(row["body_mass_g"]) for row in rows])
    terms, design = _design(rows)
    estimates = np.linalg.lstsq(design, mass, rcond=None)[0]
    residuals = mass - design @ estimates
    freedom = len(rows) - len(terms)
    triangle_inverse = np.linalg.inv(np.linalg.qr(design, mode="r"))
    covariance = triangle_inverse @ triangle_inverse.T * (residuals @ residuals / freedom)
    errors = np.sqrt(np.diag(covariance))
    t_values = estimates / errors
    p_values = 2 * stats.t.sf(np.abs(t_values), freedom)
    columns = np.column_stack([estimates, errors, t_values, p_values]).tolist()
    return {term: tuple(numbers) for term, numbers in zip(terms, columns, strict=True)}


def anova(csv_path: Path) -> dict[str, Numbers]:
    """The ANOVA as F, both degrees of freedom, p, p; each pair as Welch's t, its df, p, p after Holm."""
    groups = _bill_lengths(complete_rows(csv_path))
    overall = _one_way(list(groups.values()))
    pairs = {f"{a} vs {b}": _welch(groups[a], groups[b]) for a, b in combinations(sorted(groups), 2)}
    corrected = _holm({name: numbers[-1] for name, numbers in pairs.items()})
    tests = {name: (*numbers, corrected[name]) for name, numbers in pairs.items()}
    return {"species (one-way ANOVA)": (*overall, overall[-1]), **tests}


def read_coefficients(path: Path) -> dict[str, Numbers]:
    """A coefficient table as the job wrote it, in the shape of coefficients()."""
    columns = ("estimate", "std_error", "t_value", "p_value")
    return {row["term"]: tuple(float(row[column]) for column in columns) for row in read_table(path)}


def read_anova(path: Path) -> dict[str, Numbers]:
    """An ANOVA table as the job wrote it, in the shape of anova()."""
    columns = ("statistic", "df", "p_value", "p_corrected")
    cells = {row["comparison"]: ";".join(row[column] for column in columns) for row in read_table(path)}
    return {comparison: tuple(map(float, text.split(";"))) for comparison, text in cells.items()}


def assert_agree(written: dict[str, Numbers], expected: dict[str, Numbers]) -> None:
    """Same rows in the same order, and every number the same to a relative 1e-9, however small it is."""
    assert list(written) == list(expected)
    for name, numbers in expected.items():
        assert written[name] == pytest.approx(numbers, rel=1e-9, abs=0), name


def _design(rows: list[dict[str, str]]) -> tuple[list[str], Vector]:
    others = sorted({row["species"] for row in rows})[1:]
    terms = ["(Intercept)", "flipper_length_mm", *(f"species{name}" for name in others)]
    flippers = [float(row["flipper_length_mm"]) for row in rows]
    indicators = [[float(row["species"] == name) for row in rows] for name in others]
    return terms, np.column_stack([np.ones(len(rows)), flippers, *indicators])


def _bill_lengths(rows: list[dict[str, str]]) -> dict[str, Vector]:
    species = np.array([row["species"] for row in rows])
    lengths = np.array([float(row["bill_length_mm"]) for row in rows])
    return {str(name): lengths[species == name] for name in np.unique(species)}


def _one_way(groups: list[Vector]) -> Numbers:
    everything = np.concatenate(groups)
    between = sum(len(group) * (group.mean() - everything.mean()) ** 2 for group in groups)
    within = sum(((group - group.mean()) ** 2).sum() for group in groups)
    above, below = len(groups) - 1, len(everything) - len(groups)
    ratio = (between / above) / (within / below)
    p_value = special.betainc(below / 2, above / 2, below / (below + above * ratio))
    return float(ratio), above, below, float(p_value)


def _welch(a: Vector, b: Vector) -> Numbers:
    share_a, share_b = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    t_value = (a.mean() - b.mean()) / np.sqrt(share_a + share_b)
    freedom = (share_a + share_b) ** 2 / (share_a**2 / (len(a) - 1) + share_b**2 / (len(b) - 1))
    p_value = special.betainc(freedom / 2, 0.5, freedom / (freedom + t_value**2))
    return float(t_value), float(freedom), float(p_value)


def _holm(p_values: dict[str, float]) -> dict[str, float]:
    corrected: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        corrected[name] = largest
    return corrected
