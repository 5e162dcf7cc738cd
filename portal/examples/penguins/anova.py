"""Does bill length differ between species? One-way ANOVA, then Welch's t-tests, corrected after Holm."""

import csv
from collections import defaultdict
from itertools import combinations

import numpy as np
from scipy import stats

COLUMNS = ["comparison", "statistic", "df", "p_value", "p_corrected", "significant"]


def holm(p_values):
    """Holm's step-down correction: the smallest p value counts n times, the next n - 1 times, ..."""
    order = np.argsort(p_values)
    scaled = np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(scaled))
    return corrected


def line(comparison, statistic, df, p_value, p_corrected):
    significant = "yes" if p_corrected < params["alpha"] else "no"
    return [comparison, float(statistic), df, float(p_value), float(p_corrected), significant]


lengths = defaultdict(list)
with open(inputs[".clean.csv"], newline="", encoding="utf-8") as source:
    for row in csv.DictReader(source):
        lengths[row["species"]].append(float(row["bill_length_mm"]))

f_value, p_value = stats.f_oneway(*lengths.values())
between, within = len(lengths) - 1, sum(map(len, lengths.values())) - len(lengths)

pairs = list(combinations(sorted(lengths), 2))
tests = [stats.ttest_ind(lengths[a], lengths[b], equal_var=False) for a, b in pairs]
corrected = holm([test.pvalue for test in tests])

with open(outputs[".anova.csv"], "w", newline="", encoding="utf-8") as target:
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerow(line("species (one-way ANOVA)", f_value, f"{between};{within}", p_value, p_value))
    for (a, b), test, p_corrected in zip(pairs, tests, corrected, strict=True):
        writer.writerow(line(f"{a} vs {b}", test.statistic, float(test.df), test.pvalue, p_corrected))
