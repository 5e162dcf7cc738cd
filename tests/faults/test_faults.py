"""A short torment: the long one is `make faults N=300`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.servers import ROOT, environment

pytestmark = pytest.mark.real

PATIENCE = 900


def test_it_loses_doubles_and_forgets_nothing_under_thirty_faults() -> None:
    command = [sys.executable, "-m", "tests.faults", "N=30", "SEED=1"]

    with subprocess.Popen(
        command, cwd=ROOT, env=environment({}), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as torment:
        try:
            told, _ = torment.communicate(timeout=PATIENCE)
        finally:
            torment.terminate()

    assert torment.returncode == 0, told
