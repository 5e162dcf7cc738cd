"""What can go wrong, in the words a person will read. Services raise these; the edge gives each its status once."""

from __future__ import annotations


class PortalError(Exception):
    """A refusal with a sentence for whoever asked. Its text never holds internals."""


class NotFound(PortalError):
    """There is no such thing, or it is not to be seen by the one who asks."""


class NotAllowed(PortalError):
    """The account may not do this."""


class Conflict(PortalError):
    """The thing has changed, exists already, or is still in use."""


class Lost(PortalError):
    """What a runner had started is gone, and left no outcome."""


class Unavailable(PortalError):
    """The portal cannot do this now; it may later."""


class NoRoom(Unavailable):
    """Too little free disk for what is to be done."""


class NoKey(Unavailable):
    """A secret was encrypted with a key that this machine does not have."""


class Damaged(PortalError):
    """A stored file is not what was kept."""


class TooMany(PortalError):
    """A limit is reached; `retry_after` is in seconds."""

    def __init__(self, sentence: str, retry_after: int = 60) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class Invalid(PortalError):
    """Fields that cannot be accepted, each with its rule and remedy: Invalid(name="Give the task a name.")."""

    def __init__(self, /, **fields: str) -> None:
        super().__init__(" ".join(fields.values()))
        self.fields = fields
