"""The form that orders a submission: the one body that is no JSON, as it carries files."""

from __future__ import annotations

from typing import Any

from flask import abort, request
from sqlalchemy.orm import Session

from portal.api import parts, sender
from portal.domain.errors import Invalid
from portal.domain.names import normal_name
from portal.domain.parameters import UNREADABLE
from portal.models import Account, Batch
from portal.services import submissions
from portal.services.submissions import Order
from portal.storage import TooLarge

FORM = "multipart/form-data"
OWN = {
    "job": "The job's name.",
    "name": "What to call the submission, 64 characters at most.",
    "email": "Where to write to at its end; the account's own address where it is left out.",
}
DESCRIBED: dict[str, Any] = {
    "required": True,
    "content": {
        FORM: {
            "schema": {
                "type": "object",
                "description": "Beside these, each parameter of the job under its public name: text, or a file.",
                "properties": {
                    **{name: {"type": "string", "description": text} for name, text in OWN.items()},
                    "input_data": {"type": "string", "format": "binary", "description": "The input, as a file."},
                },
                "required": ["job", "name", "input_data"],
                "additionalProperties": {"type": "string"},
            }
        }
    },
}


def order(idempotency_key: str | None) -> Order:
    """The request as an order. The last value of a repeated field wins; a file part without a file name is none."""
    fields = _fields()
    account = sender.signed_in()
    return Order(
        jobs=(normal_name(fields.get("job", "")),),
        name=fields.get("name", ""),
        email=fields.get("email", "") or _own_email(account),
        incoming=parts.incoming("input_data"),
        files=parts.further((*OWN, "input_data")),
        values={normal_name(name): value for name, value in fields.items() if name not in OWN},
        account=account,
        address=request.remote_addr or "",
        idempotency_key=idempotency_key,
    )


def placed(session: Session, order: Order) -> Batch:
    """Submit the order; what is wrong is told by the names that the fields have here."""
    try:
        return submissions.submit(session, order)
    except TooLarge:
        raise
    except Invalid as wrong:
        raise Invalid(**{_own_name(name): sentence for name, sentence in wrong.fields.items()}) from None


def _fields() -> dict[str, str]:
    if request.mimetype != FORM or not request.mimetype_params.get("boundary"):
        abort(415, f"Send the body as {FORM}, with its boundary.")
    fields = {name: values[-1] for name, values in request.form.lists()}
    if wrong := [name for name in OWN if UNREADABLE in fields.get(name, "")]:
        raise Invalid(**{name: f"{name}: this is not UTF-8 text." for name in wrong})
    if not fields.get("job"):
        raise Invalid(job="job: name the job that shall run.")
    return fields


def _own_email(account: Account | None) -> str:
    return account.email if account else ""


def _own_name(name: str) -> str:
    return {"submission_name": "name"}.get(name, name)
