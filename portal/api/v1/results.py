"""What a submission gave, as bytes: results, all of them in a zip, and what its steps wrote."""

from __future__ import annotations

from typing import Literal

from flask import Response
from pydantic import BaseModel, Field

from portal import downloads, web
from portal.api import sender
from portal.api.v1.edge import api, conditional
from portal.api.v1.reading import checked
from portal.api.v1.shapes import Results
from portal.api.v1.specification import ANYBODY, answers
from portal.api.v1.submissions import Uuid
from portal.domain.errors import NotFound
from portal.services import logs, results, stories, submissions

ANY_FILE = "*/*"


class ResultPath(Uuid):
    """A file of a submission by its public name."""

    name: str


class LogPath(Uuid):
    """What a step of a submission wrote, to one of its two streams."""

    run: str
    stream: Literal["stdout", "stderr"]


class Conditional(BaseModel):
    """Which bytes of it, and what is there already."""

    range: str | None = Field(None, alias="Range", description="Such as bytes=0-999, or bytes=-1000 for the end.")
    etag: str | None = Field(None, alias="If-None-Match", description="The ETag of what is there already.")


@api.get("/submissions/<uuid>/results", responses=answers(200, Results, 304, 404, headers=("ETag",)), security=ANYBODY)
@checked
def list_results(path: Uuid) -> Response:
    """The files that a submission gave so far."""
    found = sender.seen(path.uuid)
    stories.load(web.session(), [found])
    return conditional(Results.of(found))


@api.get(
    "/submissions/<uuid>/results/<name>",
    responses=answers(200, ANY_FILE, 206, 304, 404, 416, headers=("ETag",)),
    security=ANYBODY,
)
@checked
def download_result(path: ResultPath, header: Conditional) -> Response:
    """A result's bytes, or a range of them."""
    return downloads.file(_stored(path.uuid, path.name), sender.signed_in())


@api.get("/submissions/<uuid>/results.zip", responses=answers(200, "application/zip", 404), security=ANYBODY)
@checked
def download_results(path: Uuid) -> Response:
    """All results in one zip, made while it is sent."""
    found = sender.seen(path.uuid)
    stories.load(web.session(), [found])
    every = [results.stored(each) for each in results.of_submission(found)]
    return downloads.archive(f"{found.uuid}.zip", every, sender.signed_in())


@api.get(
    "/submissions/<uuid>/steps/<run>/logs/<stream>",
    responses=answers(200, "text/plain", 206, 304, 404, 416, 422, headers=("ETag",)),
    security=ANYBODY,
)
@checked
def show_log(path: LogPath, header: Conditional) -> Response:
    """What a step's last attempt wrote so far, or a range of it."""
    run = submissions.run(web.session(), sender.seen(path.uuid), path.run)
    written = logs.Written(run.id, run.attempt, path.stream)
    log = logs.Log(written, logs.size(web.session(), written))
    return downloads.log(f"{run.task_name}.{path.stream}.txt", log, f"{run.uuid}.{run.attempt}.{log.size}")


def _stored(uuid: str, name: str) -> results.Stored:
    """A file of this very submission."""
    if not name.startswith(sender.seen(uuid).uuid):
        raise NotFound("There is no such file, or not yet.")
    return results.find(web.session(), name)
