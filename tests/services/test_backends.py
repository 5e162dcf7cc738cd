"""Backends, and what workers report of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from portal.database import clock, transaction
from portal.domain.errors import Conflict, Invalid, NotFound
from portal.domain.limits import USUAL, Limits
from portal.models import Worker
from portal.services import backends
from portal.services.backends import BackendDraft
from tests.making import make_backend, make_task

DRAFT = BackendDraft("here", "local", "here", ("python", "r"), "/srv/runs", options={"python": "/usr/bin/python3"})


def told(session: Session, name: str, queues: list[str], **reasons: str | None) -> None:
    with transaction(session):
        backends.report(session, Worker(name=name, queues=queues, obstacles={"here": reasons}))


def reason(session: Session, language: str) -> tuple[str | None, bool]:
    found = backends.abilities(session, make_backend(session))
    return next((each.reason, each.sure) for each in found if each.language == language)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "a/b"}, "name"),
        ({"runner": "moon"}, "runner"),
        ({"queue": "a,b"}, "queue"),
        ({"queue": ""}, "queue"),
        ({"languages": ()}, "languages"),
        ({"languages": ("python", "cobol")}, "languages"),
        ({"root_directory": "runs"}, "root_directory"),
        ({"root_directory": "."}, "root_directory"),
        ({"root_directory": "/proc/nope"}, "root_directory"),
        ({"root_directory": "/sys"}, "root_directory"),
        ({"root_directory": "/dev/null"}, "root_directory"),
        ({"root_directory": "//proc"}, "root_directory"),
        ({"root_directory": "/srv/../proc"}, "root_directory"),
        ({"root_directory": "/" + "x" * 500}, "root_directory"),
        ({"root_directory": "/a\0b"}, "root_directory"),
        ({"options": {"python": "x" * 2000}}, "options"),
        ({"options": {"python": "a\0b"}}, "options"),
        ({"limits": Limits(wall_seconds=0)}, "wall_seconds"),
        ({"ceilings": Limits(cpu_seconds=0)}, "most_cpu_seconds"),
    ],
)
def test_it_names_the_field_that_is_wrong(session: Session, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refusal, transaction(session):
        backends.save(session, replace(DRAFT, **changes))

    assert list(refusal.value.fields) == [field]


def test_it_refuses_a_default_above_its_ceiling(session: Session) -> None:
    above = replace(DRAFT, limits=Limits(wall_seconds=61, files=9), ceilings=Limits(wall_seconds=60, files=9))

    with pytest.raises(Invalid) as refusal, transaction(session):
        backends.save(session, above)

    sentence = "Wall time: the default is above its ceiling of 1 min. Lower it, or raise the ceiling."
    assert refusal.value.fields == {"wall_seconds": sentence}


def test_it_starts_with_what_is_usual_and_keeps_its_own_limits(session: Session) -> None:
    with transaction(session):
        usual = backends.save(session, DRAFT)
        own = backends.save(session, replace(DRAFT, name="own", limits=Limits(files=3), ceilings=Limits(log_bytes=9)))

    assert Limits.of(usual.limits) == USUAL
    assert (own.limits, own.ceilings) == ({"files": 3}, {"log_bytes": 9})
    assert backends.bounds(own, Limits(files=5)) == Limits(wall_seconds=10_000_000, files=5, log_bytes=9)


def test_it_changes_a_backend_and_gives_a_name_once(session: Session) -> None:
    with transaction(session):
        made = backends.save(session, DRAFT)
        backends.save(session, replace(DRAFT, queue="other", enabled=False), made)

    assert (backends.get(session, made.id).queue, made.enabled) == ("other", False)
    with pytest.raises(Invalid, match="exists"), transaction(session):
        backends.save(session, DRAFT)


def test_it_knows_a_backend_however_its_name_was_typed(session: Session) -> None:
    with transaction(session):
        backends.save(session, replace(DRAFT, name="e\u0301"))

    assert [each.name for each in backends.every(session)] == ["\u00e9"]
    assert backends.named(session, "e\u0301") is backends.named(session, "\u00e9")
    assert backends.named(session, "a\0b") is None


def test_it_knows_no_backend_of_a_number_that_none_can_have(session: Session) -> None:
    with pytest.raises(NotFound):
        backends.get(session, 10**20)


def test_it_keeps_a_backend_that_a_task_names(session: Session) -> None:
    make_task(session, "t", "command", "true")
    spare = make_backend(session, "spare")

    with pytest.raises(Conflict, match="switch it off instead"), transaction(session):
        backends.delete(session, make_backend(session))
    with transaction(session):
        backends.delete(session, spare)

    assert [each.name for each in backends.every(session)] == ["here"]


def test_it_is_not_sure_before_a_worker_has_reported(session: Session) -> None:
    assert reason(session, "r") == (None, False)


def test_it_cannot_run_what_every_worker_of_its_queue_lacks(session: Session) -> None:
    told(session, "one", ["here"], r="no R here", python=None)

    assert reason(session, "r") == ("no R here", True)
    assert reason(session, "python") == (None, True)


def test_it_can_run_what_one_worker_of_its_queue_can(session: Session) -> None:
    told(session, "one", ["here"], r="no R here")
    told(session, "two", ["every"], r=None)

    assert reason(session, "r") == (None, True)


def test_it_passes_over_workers_of_other_queues_and_those_that_fell_silent(session: Session) -> None:
    told(session, "elsewhere", ["there"], r="no R there")
    told(session, "gone", ["here"], r="no R here")
    with transaction(session):
        late = clock(session) - timedelta(minutes=10)
        session.execute(update(Worker).where(Worker.name == "gone").values(seen=late))

    assert reason(session, "r") == (None, False)


def test_it_believes_a_workers_last_word(session: Session) -> None:
    told(session, "one", ["here"], r="no R here")
    told(session, "one", ["here"], r=None)

    assert reason(session, "r") == (None, True)
