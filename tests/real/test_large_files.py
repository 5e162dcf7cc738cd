"""Files of hundreds of megabytes are checked by a process that stays small."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.servers import ROOT
from tests.validators.test_every_validator import LONG

pytestmark = pytest.mark.real

SIZES = {"csv": 100, "pdb": 100, "fasta protein": 100, "regex [a-z ]+": 50, "gif": 100}
MOST_MEGABYTES = 20
CODE = """
import resource, sys
from portal import validators
from tests.validators.samples import Endless
from tests.validators.test_every_validator import LONG

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

entry, size = sys.argv[1], int(sys.argv[2]) * 1_000_000
piece, begin, end = LONG[entry]
validators.check(entry, Endless(1_000_000, piece, begin, end))
before = peak()
print(validators.check(entry, Endless(size, piece, begin, end)), peak() - before)
"""


@pytest.mark.parametrize("entry", LONG)
def test_it_checks_a_large_file_in_little_memory(entry: str) -> None:
    size = str(SIZES.get(entry, 300))
    done = subprocess.run(
        [sys.executable, "-c", CODE, entry, size], cwd=ROOT, capture_output=True, text=True, check=True
    )

    answer, more = done.stdout.split()
    assert answer == "None"
    assert int(more) < MOST_MEGABYTES
