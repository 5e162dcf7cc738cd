"""Tasks: read by those analysts who may use them, changed by whom they belong to."""

from __future__ import annotations

from flask import Response

from portal import web
from portal.api.v1.drafts import TaskBody, draft_of
from portal.api.v1.edge import (
    AfterName,
    IfMatch,
    Named,
    api,
    changed,
    check_match,
    conditional,
    editor,
    may_edit,
    only,
    page,
    reader,
)
from portal.api.v1.reading import checked
from portal.api.v1.shapes import TaskRow, Tasks, TaskShape
from portal.api.v1.specification import ACCOUNT, answers
from portal.database import transaction
from portal.domain.drafts import TaskDraft
from portal.domain.policy import Action
from portal.services import access, catalogue, tasks


@api.get("/tasks", responses=answers(200, Tasks, 422, headers=("Link",)), security=ACCOUNT)
@checked
def list_tasks(query: AfterName) -> Response:
    """The tasks that may be seen, by name."""
    found = tasks.seen_by(web.session(), may_edit(reader()), query.after, query.limit + 1)
    shown = found[: query.limit]
    catalogue.tasks_at_hand(web.session(), shown)
    return page(Tasks(tasks=[TaskRow.of(task) for task in shown]), found, query.limit, shown[-1].name if shown else "")


@api.post(
    "/tasks", responses=answers(201, TaskShape, 409, 413, 415, 422, headers=("Location", "ETag")), security=ACCOUNT
)
@only(editor)
@checked
def create_task(body: TaskBody) -> tuple[Response, int]:  # type: ignore[valid-type]
    """Make a task."""
    author = editor()
    with transaction(web.session()) as session:
        made = tasks.save(session, draft_of(body, TaskDraft), author).task
    return changed(TaskShape.of(made, True), "v1.show_task"), 201


@api.get("/tasks/<name>", responses=answers(200, TaskShape, 304, 404, headers=("ETag",)), security=ACCOUNT)
@checked
def show_task(path: Named) -> Response:
    """A task as it is now."""
    asking = may_edit(reader())
    task = tasks.seen(web.session(), path.name, asking)
    return conditional(TaskShape.of(task, access.may(asking, Action.CHANGE_TASK, task)))


@api.put(
    "/tasks/<name>",
    responses=answers(200, TaskShape, 404, 409, 412, 413, 415, 422, 428, headers=("Location", "ETag")),
    security=ACCOUNT,
)
@only(editor)
@checked
def change_task(path: Named, header: IfMatch, body: TaskBody) -> Response:  # type: ignore[valid-type]
    """Save a revision of a task."""
    author = editor()
    with transaction(web.session()) as session:
        task = tasks.to_change(session, path.name, author)
        check_match(TaskShape.of(task, True))
        tasks.save(session, draft_of(body, TaskDraft), author, task)
    return changed(TaskShape.of(task, True), "v1.show_task")


@api.delete("/tasks/<name>", responses=answers(204, None, 404, 409, 412, 428), security=ACCOUNT)
@checked
def delete_task(path: Named, header: IfMatch) -> tuple[str, int]:
    """Delete a task that is a step of no job."""
    author = editor()
    with transaction(web.session()) as session:
        task = tasks.to_change(session, path.name, author)
        check_match(TaskShape.of(task, True))
        tasks.delete(session, task, author)
    return "", 204
