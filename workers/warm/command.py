"""Commands that start warm: their launchers are ready, and have confined what is to start them.

A command is a program of its own, that keeps nothing of who started it. So its launcher minds one after another.
"""

from __future__ import annotations

from workers.confinement.cages import LEVELS
from workers.confinement.pair import Pair
from workers.confinement.program import set_usual_limits
from workers.confinement.spawn import Spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def load(modules: list[str]) -> None:
    """What limits each program limits this process, too, as it asks for less."""
    set_usual_limits()


def made(common: dict[str, Any]) -> Pair | Spawn:
    """Walls are whole processes' own."""
    return Pair(common) if LEVELS[common["level"]].walled else Spawn(common)
