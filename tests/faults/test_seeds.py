"""The seeded bugs fit the code as it is now; that the checker finds each is shown by `make seeds`."""

from __future__ import annotations

import pytest

from tests.faults.seeds import SEEDS, Seed
from tests.servers import ROOT


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.name)
def test_it_knows_where_to_sow(seed: Seed) -> None:
    for edit in seed.edits:
        assert (ROOT / edit.file).read_text("utf-8").count(edit.old) == 1, edit.old
