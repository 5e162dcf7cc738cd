"""The bundled examples run as they do where nothing else is set: confined as far as the machine can."""

from __future__ import annotations

from pathlib import Path

import pytest

from portal.settings import settings


@pytest.fixture(autouse=True)
def confined(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORTAL_LEVEL", "PORTAL_MIN_LEVEL", "PORTAL_MIN_LEVEL_ANONYMOUS"):
        monkeypatch.delenv(name)
    settings.cache_clear()
