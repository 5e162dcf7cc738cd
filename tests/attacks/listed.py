"""The list of attacks: what is tried on the portal, by id, from the files in lists/."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

LISTS = Path(__file__).parent / "lists"


@dataclass(frozen=True)
class Attack:
    """What somebody tries; `absent` says why there is nothing here to try it on."""

    id: str
    what: str
    absent: str = ""


def every() -> dict[str, Attack]:
    """All attacks by id, in the order of the files and their lines. Raises ValueError when an id stands twice."""
    found: dict[str, Attack] = {}
    for file in sorted(LISTS.glob("*.yaml")):
        for attack in _of(yaml.safe_load(file.read_text("utf-8")) or {}):
            if attack.id in found:
                raise ValueError(f"{attack.id} stands twice in the lists")
            found[attack.id] = attack
    return found


def _of(content: dict[str, dict[str, str]]) -> list[Attack]:
    absent = content.get("absent", {})
    tried = [Attack(number, what) for number, what in content.get("attacks", {}).items()]
    return tried + [Attack(number, "", reason) for number, reason in absent.items()]
