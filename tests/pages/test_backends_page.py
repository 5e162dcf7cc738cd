"""Backends: what each can run now, and changing them."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.limits import NAMES, USUAL
from portal.domain.policy import Role
from portal.models import Backend, Worker
from portal.services import accounts, backends
from portal.settings import settings
from tests.conftest import PASSWORD
from tests.making import make_backend, make_job, make_task, submitted
from tests.pages.sent_back import fields_of

FILLED = {
    "name": "grid",
    "runner": "local",
    "queue": "grid",
    "languages": ["command", "r"],
    "wall_seconds": "60",
    "options": "project=bio\nmemory = 4G",
    "enabled": "y",
}


def test_it_says_which_languages_are_unavailable_and_why(signed_in: FlaskClient, session: Session) -> None:
    make_backend(session)
    with transaction(session):
        languages = {"r": "Rscript is not installed.", "python": None, "command": None}
        backends.report(session, Worker(name="w", queues=["here"], obstacles={"here": languages}))

    assert "unavailable: Rscript is not installed." in signed_in.get("/backends").text


def test_it_says_when_no_worker_has_reported(signed_in: FlaskClient, session: Session) -> None:
    make_backend(session)

    assert "no worker has reported yet" in signed_in.get("/backends").text


def test_it_keeps_what_was_filled_in(signed_in: FlaskClient, session: Session) -> None:
    answer = signed_in.post("/backends/new", data=FILLED)

    assert answer.status_code == 302
    kept = backends.named(session, "grid")
    assert kept is not None
    assert (kept.languages, kept.limits["wall_seconds"], kept.enabled) == (["command", "r"], 60, True)
    assert kept.options == {"project": "bio", "memory": "4G"}


def test_it_shows_what_is_kept_and_changes_it(signed_in: FlaskClient, session: Session) -> None:
    backend = make_backend(session, "here", options={"project": "bio"})
    page = signed_in.get(f"/backends/{backend.id}").text
    assert "project=bio" in page and 'value="here"' in page

    signed_in.post(f"/backends/{backend.id}", data=FILLED | {"name": "there", "enabled": ""})

    session.rollback()
    assert (backend.name, backend.enabled) == ("there", False)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("name", "", "Give the backend a name."),
        ("queue", "two words", "Use letters, digits"),
        ("wall_seconds", "0", "Wall time: give at least 1 s"),
        ("wall_seconds", "soon", "“soon” is not a time: write it like 90 s"),
        ("memory_bytes", "big", "“big” is not a size: write it like 500 MB"),
        ("most_wall_seconds", "59 s", "Wall time: the default is above its ceiling of 59 s."),
        ("most_files", "0", "Number of files: give at least 1"),
        ("most_log_bytes", "2 GB", "Log size: give at most 1 GB"),
        ("options", "project", "is not of the form name=value"),
        ("languages", [], "Choose at least one language."),
        ("root_directory", "here", "Give the whole path"),
    ],
)
def test_it_names_the_field_that_is_wrong(field: str, value: object, sentence: str, signed_in: FlaskClient) -> None:
    answer = signed_in.post("/backends/new", data=FILLED | {field: value})

    assert answer.status_code == 422
    assert sentence in answer.text


def test_it_starts_with_the_usual_limits(signed_in: FlaskClient) -> None:
    sent = fields_of_card(signed_in.get("/backends/new").text)

    assert {name: sent[name] for name in NAMES} == {
        "wall_seconds": "1 h",
        "cpu_seconds": "",
        "memory_bytes": "",
        "output_bytes": "2 GB",
        "files": "10,000",
        "log_bytes": "10 MB",
    }
    assert all(sent[f"most_{name}"] == "" for name in NAMES)


def test_it_keeps_limits_and_ceilings_and_sends_them_back_unchanged(signed_in: FlaskClient, session: Session) -> None:
    typed = {"wall_seconds": "", "memory_bytes": "1.5 GB", "most_wall_seconds": "1h30m", "most_files": "10 000"}
    signed_in.post("/backends/new", data=FILLED | typed)
    kept = backends.named(session, "grid")
    assert kept is not None
    said = ({"memory_bytes": 1_500_000_000}, {"wall_seconds": 5400, "files": 10_000})
    assert (kept.limits, kept.ceilings) == said

    page = signed_in.get(f"/backends/{kept.id}").text
    assert 'value="1 h 30 min"' in page
    signed_in.post(f"/backends/{kept.id}", data=FILLED | fields_of_card(page))

    session.rollback()
    assert (kept.limits, kept.ceilings) == said
    assert "1 h 30 min" in signed_in.get("/backends").text


def test_it_says_what_is_in_force_without_a_limit(signed_in: FlaskClient) -> None:
    page = signed_in.get("/backends/new").text

    assert "Empty: no limit, but 10,000,000 s (115 days) of wall time and 1 GB of log." in page


def fields_of_card(page: str) -> dict[str, str]:
    sent = fields_of(page, "backend-form")
    return {name: sent[name] for prefix in ("", "most_") for name in (f"{prefix}{each}" for each in NAMES)}


def test_it_deletes_one_that_no_task_uses(signed_in: FlaskClient, session: Session) -> None:
    backend = make_backend(session)

    assert signed_in.post(f"/backends/{backend.id}/delete").status_code == 303
    session.rollback()
    assert backends.every(session) == []


def test_it_keeps_one_that_a_task_uses(signed_in: FlaskClient, session: Session) -> None:
    make_task(session, "count", "command", "wc -l")
    [backend] = backends.every(session)

    answer = signed_in.post(f"/backends/{backend.id}/delete")

    assert (answer.status_code, answer.location) == (303, f"/backends/{backend.id}")
    assert "switch it off instead" in signed_in.get(answer.location).text


@pytest.mark.parametrize("number", ["9" * 40, "2147483648", "7"])
def test_it_knows_no_backend_of_an_odd_number(number: str, signed_in: FlaskClient) -> None:
    assert signed_in.get(f"/backends/{number}").status_code == 404
    assert signed_in.post(f"/backends/{number}/delete").status_code == 404


def test_it_gives_the_list_as_json_and_csv(signed_in: FlaskClient, session: Session) -> None:
    make_backend(session)
    with transaction(session):
        told = Worker(name="w", queues=["here"], obstacles={"here": {"r": "Rscript is not installed."}})
        backends.report(session, told)

    [row] = signed_in.get("/backends.json").json["backends"]
    assert (row["name"], row["languages"], row["enabled"]) == ("here", ["command", "python", "r"], True)
    assert (row["limits"], row["ceilings"]) == (USUAL.stated(), {})
    assert row["obstacles"] == {"r": "Rscript is not installed."}
    table = signed_in.get("/backends.csv")
    assert table.mimetype == "text/csv"
    cells = "here,local,here,command python r,r: Rscript is not installed.,3600,,,2000000000,10000,10000000,,,,,,,"
    assert f"{cells}True,False," in table.text
    assert 'href="/backends.csv"' in signed_in.get("/backends").text


def test_it_shows_each_queue_with_what_waits_and_who_serves_it(signed_in: FlaskClient, session: Session) -> None:
    make_task(session, "t", "command", "true")
    make_job(session, "j", [(1, "t")])
    submitted(session, "j")
    with transaction(session):
        backends.report(session, Worker(name="alpha:11", queues=["high_here"], obstacles={}))

    page = signed_in.get("/backends").text
    assert page.count("no worker</span>") == 2
    assert "alpha" in page and "1 process" in page
    high, plain, low = signed_in.get("/backends.json").json["queues"]
    assert (high["form"], high["waiting"], high["workers"][0]["host"]) == ("high_here", 0, "alpha")
    assert (plain["queue"], plain["form"], plain["waiting"], plain["workers"]) == ("here", "here", 1, [])
    assert "here,here,1,no worker" in signed_in.get("/backends/queues.csv").text
    assert low["form"] == "low_here"


@pytest.mark.parametrize("address", ["/backends/new", "/backends/{}", "/backends/{}/delete"])
def test_it_refuses_changes_by_an_analyst(address: str, client: FlaskClient, session: Session) -> None:
    backend = make_backend(session)
    with transaction(session):
        accounts.create(session, "ann", PASSWORD, Role.ANALYST)
    client.post("/sign-in", data={"name": "ann", "password": PASSWORD})

    assert client.get("/backends").status_code == 200
    assert client.post(address.format(backend.id), data=FILLED).status_code == 403


def test_it_asks_to_sign_in_first(client: FlaskClient) -> None:
    answer = client.get("/backends")

    assert answer.status_code == 302
    assert answer.location == "/sign-in?next=/backends"


def test_it_keeps_a_runner_that_is_not_installed(signed_in: FlaskClient, session: Session) -> None:
    with transaction(session):
        draft = backends.BackendDraft("grid", "moon", "grid", ("command",))
        identity = backends.save(session, draft, Backend(runner="moon")).id
    path = f"/backends/{identity}"

    page = signed_in.get(path).text
    signed_in.post(path, data={**fields_of(page, "backend-form"), "languages": "command", "queue": "slow"})

    session.expire_all()
    backend = backends.get(session, identity)
    assert (backend.runner, backend.queue) == ("moon", "slow")
    assert "the runner moon is not installed" in signed_in.get("/backends").text


def test_it_grants_the_network_and_asks_for_a_level(signed_in: FlaskClient, session: Session) -> None:
    backend = make_backend(session)
    assert (backend.network, backend.minimum_level) == (False, None)

    signed_in.post(f"/backends/{backend.id}", data=FILLED | {"network": "y", "minimum_level": "4"})

    session.rollback()
    assert (backend.network, backend.minimum_level) == (True, 4)
    page = signed_in.get("/backends").text
    assert "Runs reach the network" in page and "Level 4 at least" in page


def test_it_shows_how_far_each_machine_confines_runs_and_what_it_lacks(
    signed_in: FlaskClient, session: Session
) -> None:
    lacks = {"3": {"start": "bubblewrap is not installed"}}
    with transaction(session):
        backends.report(session, Worker(name="alpha/b:11", queues=[], obstacles={}, level=2, probes=lacks))

    page = signed_in.get("/backends").text

    assert "Level 2" in page and "also a filter of files, sockets and system calls" in page
    assert "start: bubblewrap is not installed" in page
    assert "are not confined" not in page
    [told] = signed_in.get("/backends.json").json["confinement"]
    assert (told["name"], told["level"], told["failed"]) == ("alpha", 2, ["start: bubblewrap is not installed"])


def test_it_warns_of_machines_that_do_not_confine_runs(
    signed_in: FlaskClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_MIN_LEVEL", "2")
    settings.cache_clear()
    with transaction(session):
        backends.report(session, Worker(name="alpha/b:11", queues=[], obstacles={}, level=1))

    page = signed_in.get("/backends").text

    assert "Runs on alpha are not confined" in page
    assert "PORTAL_MIN_LEVEL asks for level 2" in page
