"""What others wrote comes as it was when it was chosen: pinned, summed, and under a known licence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ("requirements.txt", "requirements-dev.txt", "requirements-audit.txt")
ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$")
ROW = re.compile(r"^\| ([a-z0-9._-]+) \| (.+) \|$", re.MULTILINE)
GIVEN = {"rpy2", "rpy2-rinterface", "rpy2-robjects"}  # R's own licence, in processes that are R
NOT_OURS_TO_SHIP = re.compile(r"\bA?GPL|not stated|Proprietary", re.IGNORECASE)


def entries(file: str) -> list[str]:
    """Each with the lines of its hashes."""
    text = (ROOT / file).read_text("utf-8").strip()
    return re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))


def names(file: str) -> set[str]:
    return {entry.partition("==")[0] for entry in entries(file)}


@pytest.mark.attack("SC-01")
@pytest.mark.parametrize("file", FILES)
def test_no_package_can_be_swapped_on_its_way(file: str) -> None:
    assert [entry for entry in entries(file) if not ENTRY.match(entry)] == []


@pytest.mark.attack("SC-01")
def test_nothing_is_installed_without_its_sum() -> None:
    assert "--require-hashes" in (ROOT / ".ci" / "environment").read_text("utf-8")
    assert "pip install" not in re.sub(r".*--require-hashes.*", "", (ROOT / "Makefile").read_text("utf-8"))


@pytest.mark.attack("SC-01")
def test_every_package_has_a_known_licence() -> None:
    listed = dict(ROW.findall((ROOT / "docs" / "licences.md").read_text("utf-8")))
    listed.pop("package", None)

    assert listed.keys() == names("requirements.txt")
    assert {name for name, licence in listed.items() if NOT_OURS_TO_SHIP.search(licence)} == GIVEN


@pytest.mark.attack("SC-01")
@pytest.mark.parametrize("file", sorted((ROOT / "portal" / "templates").rglob("*.html")), ids=lambda path: path.name)
def test_no_page_loads_from_another_host(file: Path) -> None:
    loads = re.compile(r"""<(?:script|link|img|iframe|object|embed|source)\b[^>]*(?:src|href)=["']?(?:https?:)?//""")

    assert loads.findall(file.read_text("utf-8")) == []
