"""Commands that start warm: programs of their own, that keep nothing of who started them."""

from __future__ import annotations

from workers.confinement.program import set_usual_limits

Program = None  # none runs in a fork of the parent itself


def load(modules: list[str]) -> None:
    """What limits each program limits this process, too, as it asks for less."""
    set_usual_limits()
