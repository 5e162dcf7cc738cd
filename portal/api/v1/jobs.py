"""Jobs: readable by who may run them, changed by whom they belong to."""

from __future__ import annotations

from flask import Response

from portal import web
from portal.api import sender
from portal.api.v1.drafts import JobBody, draft_of
from portal.api.v1.edge import AfterName, IfMatch, Named, api, changed, check_match, conditional, editor, only, page
from portal.api.v1.reading import checked
from portal.api.v1.shapes import JobRow, Jobs, JobShape
from portal.api.v1.specification import ACCOUNT, ANYBODY, answers
from portal.domain.policy import Action
from portal.services import access, catalogue, jobs


@api.get("/jobs", responses=answers(200, Jobs, 422, headers=("Link",)), security=ANYBODY)
@checked
def list_jobs(query: AfterName) -> Response:
    """The jobs that may be seen, by name."""
    found = jobs.seen_by(web.session(), sender.account(), query.after, query.limit + 1)
    shown = catalogue.jobs_at_hand(web.session(), found[: query.limit])
    return page(Jobs(jobs=[JobRow.of(job) for job in shown]), found, query.limit, shown[-1].name if shown else "")


@api.post("/jobs", responses=answers(201, JobShape, 409, 413, 415, 422, headers=("Location", "ETag")), security=ACCOUNT)
@only(editor)
@checked
def create_job(body: JobBody) -> tuple[Response, int]:  # type: ignore[valid-type]
    """Make a job."""
    author = editor()
    with jobs.changing(web.session()) as session:
        made = jobs.save(session, draft_of(body, jobs.JobDraft), author).job
    return changed(JobShape.of(made, True), "v1.show_job"), 201


@api.get("/jobs/<name>", responses=answers(200, JobShape, 304, 404, headers=("ETag",)), security=ANYBODY)
@checked
def show_job(path: Named) -> Response:
    """A job as it is now."""
    job = jobs.named(web.session(), path.name)
    asking = sender.account(job.name if job else None)
    shown = access.shown(asking, job, f"There is no job {path.name}.")
    catalogue.jobs_at_hand(web.session(), [shown])
    return conditional(JobShape.of(shown, access.may(asking, Action.CHANGE_JOB, shown)))


@api.put(
    "/jobs/<name>",
    responses=answers(200, JobShape, 404, 409, 412, 413, 415, 422, 428, headers=("Location", "ETag")),
    security=ACCOUNT,
)
@only(editor)
@checked
def change_job(path: Named, header: IfMatch, body: JobBody) -> Response:  # type: ignore[valid-type]
    """Save a revision of a job."""
    author = editor()
    with jobs.changing(web.session()) as session:
        job = jobs.to_change(session, path.name, author)
        check_match(JobShape.of(job, True))
        jobs.save(session, draft_of(body, jobs.JobDraft), author, job)
    return changed(JobShape.of(job, True), "v1.show_job")


@api.delete("/jobs/<name>", responses=answers(204, None, 404, 409, 412, 428), security=ACCOUNT)
@checked
def delete_job(path: Named, header: IfMatch) -> tuple[str, int]:
    """Delete a job; what it has run stays."""
    author = editor()
    with jobs.changing(web.session()) as session:
        job = jobs.to_change(session, path.name, author)
        check_match(JobShape.of(job, True))
        jobs.delete(session, job, author)
    return "", 204
