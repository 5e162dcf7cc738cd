"""The rows of all files as one whole: found by model and pk, each field read as what it must be, all oddities told."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from portal.domain.names import normal_name
from portal.services.dumps.report import Group, Report
from portal.services.dumps.rows import APP, Row, empty, number, truth, written
from portal.services.dumps.vocabulary import CLOCK, CLOCKS, LEFT, SKIPPED, TAKEN, UNKNOWN

NAMED = ("backend", "queuetype", "job", "task")
MOST_NAMED = 5


class Catalogue:
    """Rows by kind and pk. Every question that a row cannot answer is a line of the report."""

    def __init__(self, rows: Iterable[Row], report: Report) -> None:
        self.report = report
        self._rows: dict[str, dict[str, Row]] = defaultdict(dict)
        self._owned: dict[tuple[str, str], dict[Row, list[Row]]] = {}
        others: Counter[str] = Counter()
        for row in rows:
            if row.model.startswith((APP, CLOCK)) and (row.kind in TAKEN or row.model.startswith(CLOCK)):
                self._add(row)
            else:
                others[row.kind] += 1
        self._tell_others(others)
        self._tell_fields()
        self._check_names()

    def all(self, kind: str) -> list[Row]:
        return sorted(self._rows[kind].values(), key=lambda row: row.place)

    def of(self, owner: Row, kind: str) -> list[Row]:
        """The rows of a kind that belong to this one."""
        if (kind, owner.kind) not in self._owned:
            self._owned[kind, owner.kind] = self._by_owner(kind, owner.kind)
        return self._owned[kind, owner.kind][owner]

    def _by_owner(self, kind: str, owner: str) -> dict[Row, list[Row]]:
        found: dict[Row, list[Row]] = defaultdict(list)
        for row in self.all(kind):
            if belongs_to := self.find(row, owner, owner):
                found[belongs_to].append(row)
            elif self.key(row, owner) is None:
                self.report.say(Group.SKIPPED, row.label, f"it belongs to no {owner}.")
        return found

    def key(self, row: Row, field: str) -> str | None:
        text, _ = self._written(row, field)
        return text

    def find(self, row: Row, field: str, kind: str) -> Row | None:
        """The row that this one points to. One that is not in the file is refused."""
        key = self.key(row, field)
        found = self._rows[kind].get(key) if key is not None else None
        if key is not None and found is None:
            self.report.refuse(row.label, f"{row.label} -> {kind} {key[:40]}: there is no such row in the file.")
        return found

    def text(self, row: Row, field: str, default: str = "") -> str:
        found, surprise = self._written(row, field)
        if surprise:
            self.report.change(row.label, f"{field}: {surprise}")
        return default if found is None else found

    def name(self, row: Row) -> str:
        return normal_name(self.text(row, "name"))

    def number(self, row: Row, field: str) -> int | None:
        try:
            return number(row.fields.get(field))
        except ValueError as wrong:
            self.report.refuse(row.label, f"{field} {wrong}.")
            return None

    def truth(self, row: Row, field: str, default: bool) -> bool:
        try:
            return truth(row.fields.get(field), default)
        except ValueError as wrong:
            self.report.refuse(row.label, f"{field} {wrong}.")
            return default

    def _written(self, row: Row, field: str) -> tuple[str | None, str]:
        try:
            return written(row.fields.get(field))
        except ValueError as wrong:
            self.report.refuse(row.label, f"{field} {wrong}.")
            return None, ""

    def _add(self, row: Row) -> None:
        if row.pk is None:
            self.report.refuse(row.kind, f"a {row.kind} has no pk: nothing can point to it.")
            return
        known = self._rows[row.kind].setdefault(row.pk, row)
        if known != row:
            self.report.refuse(row.label, f"two rows of {row.kind} have the pk {row.pk}, the other is {known.label}.")

    def _tell_others(self, others: Counter[str]) -> None:
        for kind, count in others.items():
            self.report.say(Group.SKIPPED, f"{count} × {kind}", SKIPPED.get(kind, UNKNOWN), count)
        for kind, rows in self._rows.items():
            if kind.startswith(CLOCK) and not kind.endswith("periodictask"):
                self.report.say(Group.SKIPPED, f"{len(rows)} × {kind}", CLOCKS, len(rows))

    def _tell_fields(self) -> None:
        """Fields that are not taken, each with the rows that have something in it."""
        for kind in TAKEN:
            fields: dict[str, list[str]] = defaultdict(list)
            for row in self.all(kind):
                for name in row.fields.keys() - TAKEN[kind]:
                    if name not in LEFT.get(kind, ()) or not empty(row.fields[name]):
                        fields[name].append(row.label)
            for name, labels in fields.items():
                why = "not taken over" if name in LEFT.get(kind, ()) else "unknown, not taken over"
                self.report.say(Group.SKIPPED, f"field {name}", f"{why}: {_some(labels)}.", len(labels))

    def _check_names(self) -> None:
        for kind in NAMED:
            names = Counter(normal_name(self._name(row)) for row in self.all(kind))
            for name, count in names.items():
                if count > 1 and name:
                    self.report.refuse(f"{kind} {name}", f"{count} rows of {kind} have the name “{name}”: rename one.")

    def _name(self, row: Row) -> str:
        return self._written(row, "name")[0] or ""


def _some(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - MOST_NAMED} more" if len(labels) > MOST_NAMED else ""
    return ", ".join(labels[:MOST_NAMED]) + more
