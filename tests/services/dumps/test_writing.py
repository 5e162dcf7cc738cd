"""A dump for the first system."""

from __future__ import annotations

import pytest
import yaml
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.drafts import ParameterDraft
from portal.domain.parameters import Kind
from portal.services import configuration, dumps, jobs, tasks
from portal.services.dumps import Group
from tests.making import make_backend, make_job, make_task
from tests.services.dumps.loading import lines, load, sample

FIELDS = {
    "queuetype": {"name", "execution_behaviour"},
    "backend": {"name", "queue_type", "root_path"},
    "job": {"name", "runnable"},
    "validatortypes": {"name"},
    "validator": {"job", "validation_type"},
    "task": {
        "backend", "name", "description", "in_glob", "out_glob", "stdout_glob", "executable",
        "incomplete_outputs_behaviour", "custom_exit_status", "custom_exit_behaviour",
    },
    "step": {"job", "task", "ordering"},
    "parameter": {"task", "flag", "default", "bool_valued", "rest_alias", "spacing", "switchless"},
    "environment": {"task", "env", "value"},
    "configuration": {"task", "type", "name", "parameters", "version"},
}  # fmt: skip


def endpoints(client: FlaskClient) -> object:
    return client.get("/analytics_automated/endpoints.json").json


def forget_all(session: Session) -> None:
    with transaction(session):
        for found in (*jobs.every(session), *tasks.every(session)):
            session.delete(found)
        session.flush()


def test_it_writes_the_models_of_2019(session: Session) -> None:
    load(session, sample("current.yaml"))

    rows = yaml.safe_load(dumps.dump(session).text())

    keys = {(row["model"], row["pk"]) for row in rows}
    assert len(keys) == len(rows)
    for row in rows:
        model = row["model"].removeprefix("analytics_automated.")
        assert set(row["fields"]) == FIELDS[model]
        for name in {"backend", "job", "task"} & set(row["fields"]):
            assert (f"analytics_automated.{name}", row["fields"][name]) in keys


@pytest.mark.parametrize("name", ["first.yaml", "second.yaml", "third.yaml", "current.yaml"])
def test_it_loads_its_own_dump_to_the_same_endpoints(session: Session, client: FlaskClient, name: str) -> None:
    load(session, sample(name))
    before, written = endpoints(client), dumps.dump(session).text()
    forget_all(session)

    report = load(session, written)

    assert not report.refused
    assert endpoints(client) == before
    assert yaml.safe_load(dumps.dump(session).text()) == yaml.safe_load(written)


def test_it_writes_the_examples_so_that_they_load(
    session: Session, examples: configuration.Loaded, client: FlaskClient
) -> None:
    found = dumps.dump(session)

    report = load(session, found.text())

    assert "task report: the first system runs no command of several lines or with a >." in found.notes
    assert not report.refused
    assert {f"task {name}" for name in examples.tasks} <= set(lines(report, Group.KEPT))


def test_it_tells_what_the_first_system_cannot_say(session: Session) -> None:
    make_backend(session)
    make_task(session, "t" * 80, "command", "true", description="d" * 300)
    make_task(session, "fit", "command", "true", parameters=(ParameterDraft("table", kind=Kind.FILE),))
    make_job(session, "checked", [(1, "t" * 80), (2, "fit")], validators=("csv", "fit_table: png"))

    notes = dumps.dump(session).notes

    assert f"task {'t' * 80}: name has more than 64 characters, which the first system may refuse." in notes
    assert f"task {'t' * 80}: description has more than 256 characters, which the first system may refuse." in notes
    assert "validator csv: the first system needs a function csv in its validators.py." in notes
    assert "job checked: it does not check fit_table there, but the input only." in notes
    assert [row["fields"]["name"] for row in dumps.dump(session).rows if row["model"].endswith("types")] == ["csv"]


def test_it_tells_what_a_task_or_a_job_loses_there(session: Session) -> None:
    make_backend(session)
    make_task(session, "sends", "command", "cat $P1", parameters=(ParameterDraft("table", kind=Kind.FILE),))
    make_task(session, "reads", "python", "print(params['a'], file=open(outputs['.b'], 'w'))", outputs=(".b",))
    make_task(session, "first", "python", "O1.write(P1['-a'])", outputs=(".b",))
    make_job(session, "ours", [(1, "reads")])
    with transaction(session):
        jobs.get(session, "ours").public = False

    notes = dumps.dump(session).notes

    assert notes == [
        "task sends: its parameter table is a file, which the first system takes for a text.",
        "task reads: the first system gives its code no outputs and params, but I1, O1 and P1.",
        "job ours: not runnable there, as it is not public and everybody could run it.",
    ]


def test_what_a_task_only_prints_is_a_result_there_too(session: Session) -> None:
    make_backend(session)
    make_task(session, "says", "command", "echo said", stdout=".said")
    found = dumps.dump(session)

    [row] = [row for row in found.rows if row["model"].endswith(".task")]

    assert (row["fields"]["out_glob"], row["fields"]["stdout_glob"]) == (".said", ".said")
    assert "task says" in lines(load(session, found.text()), Group.KEPT)
