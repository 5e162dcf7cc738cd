"""The form that orders a submission: the one body that is no JSON, as it carries files."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flask import abort, request
from sqlalchemy.orm import Session

from portal.api import parts, sender
from portal.domain.errors import Invalid
from portal.domain.names import normal_name
from portal.domain.parameters import UNREADABLE
from portal.models import Account, Batch
from portal.services import jobs, offers, submissions
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
    """The request as an order. Each field is sent once; a file part without a file name is none."""
    fields = _fields()
    account = sender.signed_in()
    return Order(
        jobs=(normal_name(fields.get("job", "")),),
        name=fields.get("name", ""),
        email=fields.get("email", "") or _own_email(account),
        inputs=parts.inputs(),
        files=parts.further(OWN),
        values={normal_name(name): value for name, value in fields.items() if name not in OWN},
        account=account,
        address=request.remote_addr or "",
        idempotency_key=idempotency_key,
    )


def placed(session: Session, order: Order) -> Batch:
    """Submit the order; what is wrong is told by the names that the fields have here."""
    _check_known(session, order)
    try:
        return submissions.submit(session, order)
    except TooLarge:
        raise
    except Invalid as wrong:
        raise Invalid(**{_own_name(name): sentence for name, sentence in wrong.fields.items()}) from None


def _check_known(session: Session, order: Order) -> None:
    """A field that nothing takes is a misspelt parameter, whose default would count. Raises Invalid."""
    offer = offers.of(session, order.jobs[0], order.account)
    if offer is None:
        return
    job = offer.job
    taken = [field.name for field in jobs.fields(job)]
    unknown = [name for name in (*order.values, *order.files) if name not in taken]
    if unknown:
        known = ", ".join(taken) if taken else "no parameters"
        raise Invalid(
            **{name[:80]: f"There is no field {name[:80]!r} here: {job.name} has {known}." for name in unknown[:5]}
        )


def _fields() -> dict[str, str]:
    if request.mimetype != FORM or not request.mimetype_params.get("boundary"):
        abort(415, f"Send the body as {FORM}, with its boundary.")
    fields = {name: values[-1] for name, values in request.form.lists()}
    names = [normal_name(name) for form in (request.form, request.files) for name, _ in form.items(multi=True)]
    if twice := [name for name, number in Counter(names).items() if number > 1 and name != parts.INPUT]:
        raise Invalid(**{name[:80]: f"{name[:80]}: this is sent several times: send it once." for name in twice[:5]})
    if wrong := [name for name in OWN if UNREADABLE in fields.get(name, "")]:
        raise Invalid(**{name: f"{name}: this is not UTF-8 text." for name in wrong})
    if not fields.get("job"):
        raise Invalid(job="job: name the job that shall run.")
    return fields


def _own_email(account: Account | None) -> str:
    return account.email if account else ""


def _own_name(name: str) -> str:
    return {"submission_name": "name"}.get(name, name)
