"""The worker application and its clock: celery -A workers.celery_app worker -Q ...; celery -A workers.celery_app beat.

Celery carries words only: no payload, no result, no retry. What it loses, the sweep says again.
"""

from __future__ import annotations

import warnings

from celery import Celery
from celery.platforms import SecurityWarning

from portal.queue import CHORES
from portal.settings import settings
from workers import doorbell

warnings.simplefilter("ignore", SecurityWarning)  # it warns root of pickled messages, which are refused below

doorbell.install()
app = Celery("workers", broker=settings().broker, include=["workers.tasks"])
app.conf.update(
    task_default_queue=CHORES,
    task_ignore_result=True,
    task_acks_late=False,
    task_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    worker_hijack_root_logger=True,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    beat_schedule_filename=str(settings().portal_data / "clock"),
    beat_schedule={
        "sweep": {
            "task": "sweep",
            "schedule": settings().portal_poll_seconds,
            "options": {"queue": CHORES, "expires": 30},
        }
    },
)
