"""No text that is accepted is longer than its column: SQLite would not mind, PostgreSQL would."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import InstrumentedAttribute

from portal.domain.names import LONGEST_ENDING
from portal.domain.texts import LONGEST
from portal.models import Backend, Configuration, Parameter, TaskRevision


@pytest.mark.parametrize(
    ("column", "longest"),
    [
        (Parameter.label, LONGEST["label"]),
        (Parameter.flag, LONGEST["flag"]),
        (Parameter.pattern, LONGEST["pattern"]),
        (Configuration.kind, LONGEST["kind"]),
        (Configuration.name, LONGEST["name"]),
        (Configuration.version, LONGEST["version"]),
        (Backend.root_directory, LONGEST["root directory"]),
        (TaskRevision.stdout, LONGEST_ENDING),
    ],
    ids=str,
)
def test_it_accepts_what_the_column_holds_and_no_more(column: InstrumentedAttribute[str], longest: int) -> None:
    assert column.type.length == longest
