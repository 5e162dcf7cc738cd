"""What an import finds there already, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.drafts import TaskDraft
from portal.domain.limits import Limits
from portal.domain.retries import Retries
from portal.models import Account, Task
from portal.services import backends, jobs, tasks
from portal.services.dumps import Group
from tests.making import make_task, submitted
from tests.services.dumps.loading import BACKEND, SAMPLES, job, job_of, lines, load, row, sample, task, task_of, text

CHANGED = BACKEND + task(1, "t", "sort $I1") + job(1, "j", 1)
SIMPLE = BACKEND + task(1, "t") + job(1, "j", 1)


def revisions(session: Session) -> dict[str, int]:
    return {each.name: len(each.revisions) for each in (*tasks.every(session), *jobs.every(session))}


def test_it_changes_nothing_the_second_time(session: Session) -> None:
    for name in sorted(path.name for path in SAMPLES.glob("*.*ml")):
        load(session, sample(name), replace=True)
        before = revisions(session)

        report = load(session, sample(name))

        assert report.made_in_words == ""
        assert not report.refused
        assert revisions(session) == before


def test_it_finds_by_name_and_never_by_number(session: Session) -> None:
    ours = make_task(session, "ours", "command", "true")

    load(session, BACKEND + task(ours.task_id, "theirs"))

    assert task_of(session, "ours").code == "true"
    assert task_of(session, "theirs").code == "cat $I1"
    assert tasks.get(session, "ours").id == ours.task_id


def test_it_refuses_another_task_or_job_of_the_same_name(session: Session) -> None:
    load(session, SIMPLE)

    report = load(session, CHANGED + row("job", 2, name="new", runnable="true"))

    assert lines(report, Group.REFUSED) == [
        "task t: another one of this name is there: rename one of both, or let the import replace it."
    ]
    assert jobs.named(session, "new") is None
    assert revisions(session) == {"t": 1, "j": 1}


def test_it_replaces_when_told_to_and_leaves_what_runs(session: Session) -> None:
    load(session, SIMPLE)
    submission = submitted(session, "j")

    report = load(session, CHANGED + task(2, "u") + row("step", 5, job=1, task=2, ordering=9), replace=True)

    assert "task t: replaced, by its revision 2." in lines(report, Group.CHANGED)
    assert "job j: replaced, by its revision 2." in lines(report, Group.CHANGED)
    session.refresh(submission)
    assert [run.work["code"] for run in submission.runs] == ["cat $I1"]


def test_it_takes_a_job_that_nobody_could_save_here_without_enabling_it(session: Session) -> None:
    content = SIMPLE + row("step", 9, job=1, task=1, ordering=-5)

    report = load(session, content)

    assert [step.order for step in jobs.get(session, "j").current.steps] == [-5, 0]
    assert (jobs.get(session, "j").enabled, report.refused) == (False, False)
    assert "job j: imported, but not enabled: -5 is no order number: give one from 0 to 100000." in lines(
        report, Group.CHANGED
    )
    assert "job j" in lines(load(session, content), Group.KEPT)


def test_it_leaves_it_to_the_portal_whether_a_job_is_enabled(session: Session) -> None:
    load(session, SIMPLE)
    with transaction(session):
        jobs.get(session, "j").enabled = False

    load(session, SIMPLE, replace=True)

    assert jobs.get(session, "j").enabled is False


def test_it_switches_a_job_off_whose_task_it_replaced_by_a_doubtful_one(session: Session) -> None:
    load(session, SIMPLE)
    mixed = SIMPLE.replace("cat $I1", "cat $INPUT $I1")

    report = load(session, mixed, replace=True)

    assert jobs.get(session, "j").enabled is False
    assert "job j: switched off, as its task t was replaced." in lines(report, Group.CHANGED)
    with transaction(session):
        jobs.get(session, "j").enabled = True
    load(session, mixed, replace=True)
    assert jobs.get(session, "j").enabled is True


def test_a_replaced_task_keeps_its_limits_and_retries(session: Session) -> None:
    load(session, SIMPLE)
    ours = replace(task_of(session, "t"), limits=Limits(wall_seconds=7200), retries=Retries(most=2, on_time=True))
    with transaction(session):
        tasks.save(session, ours, None, tasks.get(session, "t"))

    load(session, CHANGED, replace=True)

    assert task_of(session, "t") == replace(ours, code="sort $I1")


def test_a_replaced_job_keeps_what_the_first_system_knows_nothing_of(session: Session) -> None:
    load(session, SIMPLE)
    with transaction(session):
        found = jobs.get(session, "j")
        jobs.save(session, replace(job_of(session, "j"), description="Ours", public=False, keep_days=7), None, found)
        found.enabled = False

    report = load(session, SIMPLE + row("step", 9, job=1, task=1, ordering=9), replace=True)

    assert "job j: replaced, by its revision 3." in lines(report, Group.CHANGED)
    kept = job_of(session, "j")
    assert (kept.description, kept.public, kept.keep_days, kept.enabled) == ("Ours", False, 7, False)
    assert [step.order for step in kept.steps] == [0, 9]


def test_it_leaves_what_an_analyst_made_of_an_imported_task(session: Session) -> None:
    load(session, SIMPLE)
    draft = task_of(session, "t")
    with transaction(session):
        tasks.save(session, TaskDraft(**{**vars(draft), "limits": draft.limits}), None, tasks.get(session, "t"))

    assert "task t" in lines(load(session, SIMPLE), Group.KEPT)


def test_it_uses_a_backend_that_is_there(session: Session) -> None:
    with transaction(session):
        backends.save(session, backends.BackendDraft("local1", "local", "mine", ("command", "python")))

    report = load(session, SIMPLE)

    assert "backend local1: its queue is mine." in lines(report, Group.KEPT)
    assert backends.named(session, "local1").languages == ["command", "python"]  # type: ignore[union-attr]


def test_it_refuses_a_backend_that_is_there_and_cannot_run_it(session: Session) -> None:
    with transaction(session):
        backends.save(session, backends.BackendDraft("local1", "local", "mine", ("python",)))

    assert "backend local1: another one" in text(load(session, SIMPLE), Group.REFUSED)
    assert not load(session, SIMPLE, replace=True).refused
    assert backends.named(session, "local1").languages == ["python", "command"]  # type: ignore[union-attr]


def test_it_imports_all_or_nothing(session: Session) -> None:
    many = "".join(task(number, f"t{number}") for number in range(1, 50))

    report = load(session, BACKEND + many + task(50, "bad", "cat $I9"))

    assert "task bad: Line 1: $I9 stands for nothing here." in text(report, Group.REFUSED)
    assert (tasks.every(session), backends.every(session)) == ([], [])


def test_it_names_the_parameter_and_the_variable_that_cannot_be_taken(session: Session) -> None:
    usual = {"task": 1, "flag": "-a", "default": "x", "bool_valued": "false", "spacing": "true", "switchless": "false"}
    rows = (
        row("parameter", 1, **usual, rest_alias="t_first")
        + row("parameter", 2, **usual, rest_alias="t_e(x)")
        + row("parameter", 3, **usual, rest_alias="all")
        + row("parameter", 4, **usual, rest_alias="all")
        + row("environment", 1, task=1, env="BAD NAME", value="x")
    )

    refused = lines(load(session, BACKEND + task(1, "t") + rows), Group.REFUSED)

    assert refused == [
        "task t: parameter t_e(x): Name the parameter with letters, digits, _ - . or blanks.",
        "task t: parameter all: Another parameter has this name: choose a different one.",
        "task t: variable BAD NAME: Use letters, digits and _ for the variable's name.",
    ]


def test_it_names_what_points_nowhere_and_what_is_twice(session: Session) -> None:
    twins = task(1, "twin") + task(2, "twin")
    steps = row("job", 1, name="j", runnable="true") + row("step", 1, job=1, task=999, ordering=0)

    report = load(session, BACKEND + twins + steps + row("step", 2, job=1, task=1, ordering=1))

    refused = text(report, Group.REFUSED)
    assert "step 1 -> task 999: there is no such row in the file." in refused
    assert "2 rows of task have the name “twin”" in refused
    assert session.query(Task).count() == 0


def test_it_writes_nothing_in_a_dry_run_and_says_the_same(session: Session) -> None:
    told = load(session, sample("first.yaml"), dry_run=True)

    assert tasks.every(session) == []
    assert load(session, sample("first.yaml")) == told


def test_it_touches_no_account(session: Session, admin: Account) -> None:
    before = (admin.password_hash, admin.email)
    user = """
- model: auth.user
  fields: {username: admin, password: pbkdf2_sha256$1$a$b, is_superuser: true, email: evil@example.org}
- model: someapp.thing
  pk: 1
  fields: {a: 1}
"""

    report = load(
        session,
        SIMPLE
        + user
        + row("task", 9, backend=1, name="odd", in_glob=".a", out_glob=".b", executable="ls", colour="red"),
    )

    session.refresh(admin)
    assert session.query(Account).count() == 1
    assert (admin.password_hash, admin.email) == before
    skipped = lines(report, Group.SKIPPED)
    assert "1 × auth.user: accounts, groups and permissions are not imported." in skipped
    assert "1 × someapp.thing: an unknown model." in skipped
    assert "field colour: unknown, not taken over: task odd." in skipped
    assert jobs.named(session, "j") is not None
