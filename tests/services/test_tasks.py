"""Saving tasks: every save is a revision, and everything in it is checked first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.drafts import ConfigurationDraft, ParameterDraft, TaskDraft
from portal.domain.errors import Conflict, Invalid, NotFound
from portal.domain.limits import Limits
from portal.domain.parameters import Kind
from portal.domain.retries import Retries
from portal.domain.states import State
from portal.domain.verdict import Then
from portal.domain.work import Work
from portal.services import results, tasks
from tests.making import make_backend, make_job, make_task, submitted

DRAFT = TaskDraft(
    name="fit",
    language="command",
    backend="here",
    code="fit $P1 < $I1 > $O1",
    description="Fits.",
    inputs=(".csv",),
    outputs=(".fit.csv", "graph.out"),
    stdout=".log",
    exit_statuses=(2, 3),
    on_exit_status=Then.FINISH,
    on_missing_output=Then.CONTINUE,
    limits=Limits(wall_seconds=60, memory_bytes=500_000_000),
    retries=Retries(2, on_crash=True, exit_statuses=(75,), wait_seconds=5),
    parameters=(
        ParameterDraft("alpha", "Level", "Between 0 and 1.", "--alpha", Kind.DECIMAL, "0.05", False, 0, 1),
        ParameterDraft("colour", kind=Kind.CHOICE, required=True, choices=("red", "blue"), spacing=False),
    ),
    variables=(("SPECIES", "a 'b' 😀"),),
    configurations=(ConfigurationDraft("Software", "fit", "-O2", "1.2"),),
)


def saved(session: Session, draft: TaskDraft) -> Any:
    make_backend(session)
    known = tasks.named(session, draft.name)
    with transaction(session):
        return tasks.save(session, draft, None, known)


def faults(session: Session, **changes: Any) -> dict[str, str]:
    make_backend(session)
    with pytest.raises(Invalid) as refusal, transaction(session):
        tasks.save(session, replace(DRAFT, **changes), None)
    assert tasks.every(session) == []
    return refusal.value.fields


def test_it_gives_back_everything_that_was_saved(session: Session) -> None:
    assert tasks.draft_of(saved(session, DRAFT)) == DRAFT


def test_it_numbers_the_revisions_and_leaves_earlier_ones_as_they_were(session: Session) -> None:
    saved(session, DRAFT)
    saved(session, replace(DRAFT, code="other", parameters=(), variables=(), outputs=(".txt",)))

    first, second = tasks.get(session, "fit").revisions

    assert (first.number, second.number) == (1, 2)
    assert tasks.draft_of(first) == DRAFT
    assert tasks.get(session, "fit").current.code == "other"


def test_it_keeps_code_with_plain_line_ends_and_endings_with_their_dot(session: Session) -> None:
    revision = saved(session, replace(DRAFT, code="a\r\nb", inputs=("csv",), outputs=(), stdout="log", parameters=()))

    assert (revision.code, revision.inputs, revision.stdout) == ("a\nb", [".csv"], ".log")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "new"}, "name"),
        ({"language": "cobol"}, "language"),
        ({"backend": "nowhere"}, "backend"),
        ({"code": " \n"}, "code"),
        ({"code": "a\0b"}, "code"),
        ({"code": "x" * 200_001}, "code"),
        ({"code": "fit $I2"}, "code"),
        ({"code": "fit `echo $I1`"}, "code"),
        ({"inputs": ("a/b",)}, "inputs"),
        ({"inputs": ("",)}, "inputs"),
        ({"outputs": ("*.csv",)}, "outputs"),
        ({"outputs": (".csv", ".csv")}, "outputs"),
        ({"outputs": (".csv", "csv")}, "outputs"),
        ({"stdout": "a b"}, "stdout"),
        ({"limits": Limits(wall_seconds=0)}, "wall_seconds"),
        ({"retries": Retries(1)}, "retries"),
        ({"retries": Retries(1, exit_statuses=(2,))}, "retry_exit_statuses"),
        ({"variables": (("1A", "x"),)}, "variables-0-name"),
        ({"variables": (("A", "x"), ("A", "y"))}, "variables-1-name"),
        ({"variables": (("A", "x\0"),)}, "variables-0-value"),
    ],
)
def test_it_names_the_field_that_is_wrong(session: Session, changes: dict[str, Any], field: str) -> None:
    found = faults(session, **changes)

    assert list(found) == [field]
    assert found[field].endswith(".")


@pytest.mark.parametrize("name", ["PATH", "HOME", "LD_PRELOAD", "PYTHONPATH", "R_PROFILE_USER", "IFS", "BASH_ENV"])
def test_it_refuses_a_variable_that_would_change_how_programs_are_found(session: Session, name: str) -> None:
    assert "set by the portal" in faults(session, variables=((name, "x"),))["variables-0-name"]


@pytest.mark.parametrize(
    ("parameter", "field"),
    [
        (ParameterDraft("a/b"), "parameters-1-alias"),
        (ParameterDraft(""), "parameters-1-alias"),
        (ParameterDraft("alpha"), "parameters-1-alias"),
        (ParameterDraft("c", kind=Kind.CHOICE), "parameters-1-choices"),
        (ParameterDraft("n", kind=Kind.INTEGER, default="x"), "parameters-1-default"),
        (ParameterDraft("n", kind=Kind.INTEGER, default="9", maximum=5), "parameters-1-default"),
        (ParameterDraft("n", kind=Kind.INTEGER, default="1", minimum=2, maximum=0), "parameters-1-minimum"),
        (ParameterDraft("n", kind=Kind.INTEGER, required=False), "parameters-1-default"),
        (ParameterDraft("n", kind=Kind.CHOICE, choices=("a",), required=False), "parameters-1-default"),
    ],
)
def test_it_names_the_parameter_that_is_wrong(session: Session, parameter: ParameterDraft, field: str) -> None:
    assert field in faults(session, parameters=(DRAFT.parameters[0], parameter))


def test_it_names_every_field_that_is_wrong_at_once(session: Session) -> None:
    assert faults(session, name="", code="", limits=Limits(wall_seconds=-1)).keys() == {"name", "code", "wall_seconds"}


def test_it_refuses_value_where_only_a_boolean_has_its_flag(session: Session) -> None:
    boolean = ParameterDraft("on", flag="VALUE", kind=Kind.BOOLEAN)

    assert "$VALUE" in faults(session, code="fit $VALUE", parameters=(boolean,))["code"]


NFC, NFD = "\u00e9t\u00e9", "e\u0301te\u0301"


def test_it_knows_a_name_however_it_was_typed(session: Session) -> None:
    saved(session, replace(DRAFT, name=NFD))

    assert [task.name for task in tasks.every(session)] == [NFC]
    assert tasks.get(session, NFD) is tasks.get(session, NFC)
    with pytest.raises(Invalid, match="A task of this name exists"), transaction(session):
        tasks.save(session, replace(DRAFT, name=NFD), None)


def test_it_knows_no_task_under_a_name_that_no_database_keeps(session: Session) -> None:
    assert tasks.named(session, "a\0b") is None
    assert tasks.named(session, "\ud83d") is None


def test_it_refuses_a_parameter_that_would_bear_the_public_name_of_another_in_a_job(session: Session) -> None:
    make_task(session, "a_b", "command", "true", parameters=(ParameterDraft("c"),))
    make_task(session, "a", "command", "true")
    make_job(session, "job", [(1, "a"), (1, "a_b")])
    draft = tasks.draft_of(tasks.get(session, "a").current)
    clashing = replace(draft, parameters=(ParameterDraft("x"), ParameterDraft("b_c")))

    with pytest.raises(Invalid) as refusal:
        saved(session, clashing)

    assert refusal.value.fields == {
        "parameters-1-alias": "In the job job, “b_c” of a and “c” of a_b would both be called a_b_c: "
        "give one of them another name."
    }
    saved(session, replace(clashing, name="elsewhere"))


def test_it_refuses_the_name_of_another_task(session: Session) -> None:
    saved(session, DRAFT)

    with pytest.raises(Invalid, match="A task of this name exists"), transaction(session):
        tasks.save(session, DRAFT, None)


def test_it_deletes_a_task_only_when_no_job_uses_it(session: Session) -> None:
    for name in ("used", "unused"):
        make_task(session, name, "command", "true")
    make_job(session, "job", [(1, "used")])

    with pytest.raises(Conflict, match="is a step of"), transaction(session):
        tasks.delete(session, tasks.get(session, "used"))
    with transaction(session):
        tasks.delete(session, tasks.get(session, "unused"))

    assert [task.name for task in tasks.every(session)] == ["used"]
    with pytest.raises(NotFound):
        tasks.get(session, "unused")


def test_it_never_changes_what_was_submitted_before_an_edit(session: Session, work: Callable[[], None]) -> None:
    make_task(session, "say", "command", "echo before", stdout=".txt")
    make_job(session, "job", [(1, "say")])
    submission = submitted(session, "job")
    with transaction(session):
        draft = replace(tasks.draft_of(tasks.get(session, "say").current), code="echo after")
        tasks.save(session, draft, None, tasks.get(session, "say"))

    work()

    session.expire_all()
    [kept] = results.of_submission(submission)
    with results.open_file(results.find(session, kept.name)) as stream:
        assert stream.read() == b"before\n"
    assert (submission.state, submission.runs[0].task_revision) == (State.COMPLETE, 1)
    assert Work.from_json(submission.runs[0].work).code == "echo before"


def test_it_refuses_more_than_the_backend_allows_and_names_both(session: Session) -> None:
    make_backend(session, ceilings=Limits(wall_seconds=7200, memory_bytes=10**9), limits=Limits(wall_seconds=60))

    assert faults(session, limits=Limits(wall_seconds=7201, memory_bytes=10**9 + 1, files=10**6)) == {
        "wall_seconds": "The backend here allows at most 2 h. Lower the wall time, or leave it empty.",
        "memory_bytes": "The backend here allows at most 1 GB. Lower the memory, or leave it empty.",
    }
    saved(session, replace(DRAFT, limits=Limits(wall_seconds=7200, memory_bytes=10**9)))


def test_a_ceiling_that_is_lowered_bounds_what_is_submitted_from_then_on(session: Session) -> None:
    make_backend(session, limits=Limits(cpu_seconds=50, files=7))
    make_task(session, "long", "command", "true", limits=Limits(wall_seconds=600, cpu_seconds=100))
    make_job(session, "job", [(1, "long")])
    before = submitted(session, "job")
    here = make_backend(session)
    with transaction(session):
        here.ceilings = {"wall_seconds": 60, "files": 5, "memory_bytes": 10**9}
    after = submitted(session, "job")

    old, new = (Work.from_json(each.runs[0].work).limits for each in (before, after))

    assert old == Limits(600, 100, files=7, log_bytes=10**9)
    assert new == Limits(60, 100, memory_bytes=10**9, files=5, log_bytes=10**9)


def test_a_submission_carries_its_retries(session: Session) -> None:
    make_task(session, "flaky", "command", "true", retries=DRAFT.retries)
    make_job(session, "job", [(1, "flaky")])

    assert Work.from_json(submitted(session, "job").runs[0].work).retries == DRAFT.retries


def test_it_shows_a_command_with_example_values(session: Session) -> None:
    assert tasks.shown_command(DRAFT) == "fit --alpha 0.05 < 0d9f3a52.csv > 0d9f3a52.fit.csv"
    assert tasks.shown_command(replace(DRAFT, language="python")) == ""
