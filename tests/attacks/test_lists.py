"""The list of attacks is whole: each has a test, each test stands in the list."""

from __future__ import annotations

import re
from pathlib import Path

from tests.attacks import listed

MARK = re.compile(r"mark\.attack\(([^)]*)\)")
NUMBER = re.compile(r'"([A-Z]{2}-\d+)"')


def ids_of_tests() -> set[str]:
    files = Path(__file__).parent.glob("test_*.py")
    return {
        number for file in files for mark in MARK.findall(file.read_text("utf-8")) for number in NUMBER.findall(mark)
    }


def test_it_tries_every_attack_of_the_list() -> None:
    wanted = {attack.id for attack in listed.every().values() if not attack.absent}

    assert wanted == ids_of_tests()
