"""Sizes and other figures, in words."""

from __future__ import annotations


def size(count: int | None) -> str:
    """Bytes as people read them: '812 B', '15.2 kB', '3.4 MB'."""
    if count is None:
        return ""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
