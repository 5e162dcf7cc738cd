"""A user of its own for each run at one time: a slot is a locked file, and 20001 + its number is the user.

The launcher holds the lock while it lives. The files lie where all portals of the machine look, for all use these.
"""

from __future__ import annotations

import errno
import fcntl
import os
from functools import cache

SHARED_USER = 20_000  # where a run shall have no privileges, but no user of its own either
FIRST_USER = 20_001
MOST = 1000
DIRECTORY = "/run/portal-slots"


@cache
def ours() -> int:
    """This launcher's, as long as it lives."""
    return take()[0]


def take() -> tuple[int, int]:
    """A free slot's number, and the descriptor that holds it. Raises OSError."""
    os.makedirs(DIRECTORY, mode=0o700, exist_ok=True)
    if os.stat(DIRECTORY).st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, f"{DIRECTORY} belongs to somebody else")
    for number in range(MOST):
        descriptor = os.open(os.path.join(DIRECTORY, str(number)), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        return number, descriptor
    raise OSError(errno.EUSERS, f"all {MOST} slots are taken")
