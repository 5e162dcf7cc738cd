"""From the rows of a dump to drafts of ours: nothing here touches the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from portal.domain.drafts import TaskDraft
from portal.services.backends import BackendDraft
from portal.services.dumps import clocks
from portal.services.dumps.catalogue import Catalogue
from portal.services.dumps.homes import NOWHERE, Homes
from portal.services.dumps.job_drafts import Jobs
from portal.services.dumps.report import Report
from portal.services.dumps.rows import Row
from portal.services.dumps.task_drafts import Tasks
from portal.services.jobs import JobDraft


@dataclass
class Plan:
    """What a dump asks for, in the order in which it can be made."""

    backends: list[BackendDraft] = field(default_factory=list)
    tasks: list[TaskDraft] = field(default_factory=list)
    jobs: list[JobDraft] = field(default_factory=list)


def plan(rows: Sequence[Row], report: Report) -> Plan:
    """What is to be made of these rows. What cannot be is refused in the report, or told there."""
    catalogue = Catalogue(rows, report)
    homes = Homes(catalogue, report)
    tasks = Tasks(catalogue, report, homes)
    found = Plan([homes.draft(row) for row in catalogue.all("backend")])
    found.tasks = [tasks.draft(row) for row in catalogue.all("task")]
    if any(task.backend == NOWHERE.name for task in found.tasks):
        found.backends.append(NOWHERE)
    jobs = Jobs(catalogue, report, tasks.doubtful)
    found.jobs = [jobs.draft(row) for row in catalogue.all("job")]
    homes.tell_idle_queues()
    clocks.tell(catalogue)
    return found
