"""Spans of time, in words."""

from __future__ import annotations


def words(seconds: float) -> str:
    """'0.4 s', '12 s', '3 min 05 s', '2 h 10 min', '3 d 4 h'."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
