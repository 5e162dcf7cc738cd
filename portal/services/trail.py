"""What the audit trail has of fetched files: a line for each, but not for each of the many parts of one."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from portal.database import transaction
from portal.models import Account
from portal.services import audit

AGAIN_SECONDS = 60.0
MOST_KNOWN = 5_000

_latest: OrderedDict[tuple[int | str, str], float] = OrderedDict()
_lock = threading.Lock()


def fetched(account: Account | None, address: str, name: str) -> None:
    """The account, or somebody at this address, was given a file of this name."""
    if _is_new(account.id if account else address, name):
        with transaction() as session:
            audit.record(session, "downloaded", "file", name, by=account)


def _is_new(who: int | str, name: str) -> bool:
    now = time.monotonic()
    with _lock:
        latest = _latest.get((who, name))
        if latest is not None and now - latest < AGAIN_SECONDS:
            return False
        _latest[who, name] = now
        while len(_latest) > MOST_KNOWN:
            _latest.popitem(last=False)
    return True
