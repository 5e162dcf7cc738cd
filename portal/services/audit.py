"""The audit trail: who did what to which object, when and from where. What is recorded is committed with the deed."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from sqlalchemy.orm import Session

from portal.models import Account, Audit

NOBODY = "nobody"


@dataclass(frozen=True)
class Origin:
    """Where a deed comes from: an address, and the id under which the log knows the request."""

    address: str = ""
    request: str = ""


_origin: ContextVar[Origin] = ContextVar("origin", default=Origin())  # noqa: B039 - it is frozen


def come_from(address: str, request: str) -> None:
    """What is recorded from now on, in this request, comes from there."""
    _origin.set(Origin(address, request))


def record(session: Session, account: Account | None, action: str, kind: str, name: str, **detail: object) -> None:
    """Add a line: the account did this to the object of this kind (task, job, run ...) and name. Never a secret."""
    origin = _origin.get()
    session.add(
        Audit(
            actor=account.name if account else NOBODY,
            account_id=account.id if account else None,
            action=action[:60],
            kind=kind,
            object=name[:200],
            address=origin.address,
            request=origin.request,
            detail=detail,
        )
    )
