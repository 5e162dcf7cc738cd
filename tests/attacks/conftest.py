"""What attacks need: servers of their own, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import postgresql


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    with postgresql() as url:
        yield url
