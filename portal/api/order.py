"""The first system's POST: its tests in its order, each with its own answer, and then the one way in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from flask import request
from sqlalchemy.orm import Session

from portal import bodies
from portal.api import parts, roots, sender
from portal.api.negotiation import Refused, not_found
from portal.domain.errors import Invalid, NotFound
from portal.domain.names import OWN_FIELDS, normal_name
from portal.domain.parameters import UNREADABLE
from portal.models import Account, Job
from portal.services import jobs, offers, submissions
from portal.services.submissions import LONGEST_KEY, Order
from portal.storage import TooLarge

REQUIRED = ("job", "submission_name", "email")
NOT_VALIDATED = "Input data could not be validated"


@dataclass(frozen=True)
class Accepted:
    """What a client learns of a batch."""

    uuid: str
    name: str


def place(session: Session, account: Account | None) -> Accepted:
    """Accept what the request asks for, or raise the refusal of the first test that says no."""
    _check_media_type()
    _read_form()
    order = _order(account)
    if earlier := submissions.earlier(session, order):
        return Accepted(earlier.uuid, earlier.name)
    chosen = [_chosen(session, name, account) for name in dict.fromkeys(order.jobs)]
    submissions.batch_priority(session, order)
    for job in chosen:
        sender.check_may_run(job.name)
        _check_enabled(job)
        _check_steps(job)
        _check_parameters(job, order)
        _check_values(job, order)
    if UNREADABLE in order.name:
        raise Refused(400, {"error": {"submission_name": ["This is not UTF-8 text."]}})
    try:
        return Accepted(submissions.accept(session, order), order.name)
    except Invalid as wrong:
        _refuse_fields(wrong, order)


def job_for(session: Session, name: str, account: Account | None) -> Job:
    """The job of this name, if the account may know of it."""
    try:
        return jobs.seen(session, name, account)
    except NotFound:
        raise not_found() from None


def _check_media_type() -> None:
    sent = request.content_length or "Transfer-Encoding" in request.headers
    if sent and not _readable():
        kind = request.headers.get("Content-Type", "")
        raise Refused(415, {"detail": f'Unsupported media type "{kind}" in request.'})


def _readable() -> bool:
    """Whether the body is a form. A multipart one without its boundary cannot be read either."""
    if request.mimetype == "multipart/form-data":
        return bool(request.mimetype_params.get("boundary"))
    return request.mimetype == "application/x-www-form-urlencoded"


def _read_form() -> None:
    try:
        request.form  # noqa: B018 - reading it is what may fail
    except bodies.Unreadable as unreadable:
        raise Refused(400, {"error": unreadable.description}) from None


def _order(account: Account | None) -> Order:
    """The request as an order. The last value of a repeated field wins; a file part without a file name is none."""
    fields = {name: values[-1] for name, values in request.form.lists()}
    if not all(name in fields or name in request.files for name in REQUIRED):
        raise Refused(400, {"error": "Input does not contain all required fields"})
    return Order(
        jobs=tuple(fields.get("job", "").split(",")),
        name=fields.get("submission_name", ""),
        email=fields.get("email", ""),
        inputs=parts.inputs(),
        values={normal_name(name): value for name, value in fields.items() if name not in OWN_FIELDS},
        account=account,
        address=request.remote_addr or "",
        idempotency_key=_key(),
        files=parts.further(OWN_FIELDS),
    )


def _key() -> str | None:
    """The client's own name for this request, by which it may send it again without making another batch."""
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) > LONGEST_KEY or not key.isprintable():
        raise Refused(400, {"error": f"Idempotency-Key: at most {LONGEST_KEY} printable characters are allowed."})
    return key or None


def _chosen(session: Session, name: str, account: Account | None) -> Job:
    offer = offers.of(session, name, account)
    if offer is None:
        raise Refused(400, {"error": "Job name supplied does not exist"})
    return offer.job


def _check_enabled(job: Job) -> None:
    if not job.enabled:
        raise Refused(403, {"error": f"{job.name} is present but currently disabled."})


def _check_steps(job: Job) -> None:
    if not job.current.steps:
        raise Refused(400, {"error": f"Job Requested: {job.name} appears to have no Steps"})


def _check_parameters(job: Job, order: Order) -> None:
    sent = order.values.keys() | order.files.keys()
    if any(field.name not in sent and field.rule.required for field in jobs.fields(job)):
        sentence = (
            f"Required Parameter for {job.name} Missing.You are missing a required parameter in your web form "
            f"submission. GET {roots.asked()}/endpoints to discover all required options"
        )
        raise Refused(400, {"error": sentence})


def _check_values(job: Job, order: Order) -> None:
    """What was given for the parameters of this job, before anything of the next job is looked at."""
    if wrong := submissions.wrong_values(order, job):
        _refuse_fields(Invalid(**wrong), order)


def _refuse_fields(wrong: Invalid, order: Order) -> NoReturn:
    """Parameters are tested before the form; the form's fields are reported together."""
    parameters = {name: sentence for name, sentence in wrong.fields.items() if name not in OWN_FIELDS}
    found = parameters or {**wrong.fields, **_empty_file(order)}
    body = {"error": {name: [_as_published(sentence)] for name, sentence in found.items()}}
    raise Refused(413 if isinstance(wrong, TooLarge) else 400, body) from None


def _empty_file(order: Order) -> dict[str, str]:
    if len(order.inputs) != 1 or order.inputs[0].stream.seek(0, 2):
        return {}
    return {"input_data": "The submitted file is empty."}


def _as_published(sentence: str) -> str:
    return NOT_VALIDATED if sentence.startswith(NOT_VALIDATED) else sentence
