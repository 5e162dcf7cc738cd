"""The first system's scheduled jobs, in words: this portal has no schedules, so that somebody must know of them."""

from __future__ import annotations

import json

from portal.services.dumps.catalogue import Catalogue
from portal.services.dumps.report import Group
from portal.services.dumps.rows import Row

PERIODIC = "django_celery_beat.periodictask"
RUNNER = "analytics_automated.tasks.task_job_runner"
EVERY = {"minute": "*", "hour": "*", "day_of_month": "*", "month_of_year": "*", "day_of_week": "*"}


def tell(catalogue: Catalogue) -> None:
    """A line for each schedule, naming its job and its times."""
    for row in catalogue.all(PERIODIC):
        sentence = f"not imported: schedules are not available. {_what(catalogue, row)}, {_when(catalogue, row)}."
        catalogue.report.say(Group.SKIPPED, f"schedule {catalogue.text(row, 'name')}", sentence)


def _what(catalogue: Catalogue, row: Row) -> str:
    task = catalogue.text(row, "task")
    if task != RUNNER:
        return f"It starts {task}"
    try:
        arguments = json.loads(catalogue.text(row, "args", "[]"))
    except (ValueError, RecursionError):
        arguments = None
    named = isinstance(arguments, list) and arguments and isinstance(arguments[0], str)
    return f"It starts the job {arguments[0]}" if named else "It names no job"


def _when(catalogue: Catalogue, row: Row) -> str:
    for field in ("crontab", "interval", "solar", "clocked"):
        if catalogue.key(row, field) is not None:
            found = catalogue.find(row, field, f"django_celery_beat.{field}schedule")
            return _in_words(catalogue, field, found) if found else "at unknown times"
    return "at no time"


def _in_words(catalogue: Catalogue, field: str, row: Row) -> str:
    if field == "crontab":
        return _cron(catalogue, row)
    if field == "interval":
        return f"every {catalogue.text(row, 'every')} {catalogue.text(row, 'period')}"
    return f"{field}: {catalogue.text(row, 'event') or catalogue.text(row, 'clocked_time')}"


def _cron(catalogue: Catalogue, row: Row) -> str:
    fields = {name: _part(catalogue, row, name) for name in EVERY}
    zone = catalogue.text(row, "timezone", "UTC")
    minute, hour = fields["minute"], fields["hour"]
    if fields == {**EVERY, "minute": minute, "hour": hour} and minute.isdecimal() and hour.isdecimal():
        return f"daily {int(hour):02}:{int(minute):02} {zone}"
    return f"cron {' '.join(fields.values())} {zone}"


def _part(catalogue: Catalogue, row: Row, name: str) -> str:
    value = catalogue.number(row, name) if not isinstance(row.fields.get(name), str) else None
    return str(value) if value is not None else catalogue.text(row, name, "*")
