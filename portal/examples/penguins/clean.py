"""Keep the complete rows of a penguin table; write down which rows were dropped, and why."""

import csv
import json
import sys

REQUIRED = ["species", "bill_length_mm", "flipper_length_mm", "body_mass_g"]


def missing_cells(row):
    return [column for column, cell in row.items() if (cell or "").strip() in ("", "NA")]


with open(inputs[".csv"], newline="", encoding="utf-8-sig") as source:
    reader = csv.DictReader(source)
    columns = reader.fieldnames or []
    rows = list(reader)

absent = [column for column in REQUIRED if column not in columns]
if absent:
    sys.exit(f"The table lacks the column(s) {', '.join(absent)}. Add them and submit again.")

kept, dropped = [], []
for number, row in enumerate(rows, start=1):
    if None in row:
        sys.exit(f"Row {number} has more cells than the header line. Correct it and submit again.")
    missing = missing_cells(row)
    if missing:
        dropped.append({"row": number, "missing": missing})
    else:
        kept.append(row)
if not kept:
    sys.exit("No row of the table is complete, so there is nothing to analyse.")

with open(outputs[".clean.csv"], "w", newline="", encoding="utf-8") as target:
    writer = csv.DictWriter(target, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(kept)

with open(outputs[".dropped.json"], "w", encoding="utf-8") as target:
    json.dump({"read": len(rows), "kept": len(kept), "dropped": dropped}, target, indent=2)

print(f"Read {len(rows)} rows, kept {len(kept)}, dropped {len(dropped)}.")
