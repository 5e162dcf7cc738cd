"""The documentation says what is there."""

from __future__ import annotations

import re

from portal.settings import Settings
from tests.servers import ROOT


def test_every_setting_is_described_and_no_other() -> None:
    table = (ROOT / "docs" / "settings.md").read_text("utf-8")
    described = {name for row in re.findall(r"^\| (`[^|]*) \|", table, re.M) for name in re.findall(r"`(\w+)`", row)}

    assert described == {name.upper() for name in Settings.model_fields}


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text("utf-8"))

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
