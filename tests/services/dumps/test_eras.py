"""Dumps of every time since 2015."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from portal.domain import plugins
from portal.domain.errors import Unavailable
from portal.domain.parameters import Kind
from portal.domain.states import State
from portal.domain.verdict import Then
from portal.services import backends, jobs, submissions
from portal.services.dumps import Group
from tests.making import order, submitted
from tests.services.dumps.loading import BACKEND, job, job_of, lines, load, row, sample, task, task_of, text


@pytest.fixture
def every_validator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A portal that has a validator for each kind of data that the first system knew."""
    for name in ("png", "jpeg", "gif", "pdb", "fasta"):
        (tmp_path / f"{name}.py").write_text("LABEL = 'x'\n")
    monkeypatch.setitem(plugins.FOLDERS, "validators", tmp_path)
    plugins.plugins.cache_clear()
    yield
    monkeypatch.undo()
    plugins.plugins.cache_clear()


def endpoints(client: FlaskClient) -> list[str]:
    answer = client.get("/analytics_automated/endpoints.json").json
    assert answer is not None
    found: list[str] = answer["jobs"]
    return found


# Since 2019


def test_it_loads_a_dump_of_today_without_a_warning(session: Session) -> None:
    report = load(session, sample("current.yaml"))

    assert (
        report.made_in_words
        == "2 queues, 2 backends, 2 tasks, 2 parameters, 1 variable, 1 configuration, 2 jobs, 2 steps"
    )
    assert lines(report, Group.CHANGED) == lines(report, Group.REFUSED) == []
    assert report.number(Group.SKIPPED) == 3


def test_it_runs_what_it_loaded(session: Session, work: Callable[[], None]) -> None:
    load(session, sample("current.yaml"))
    values = {"Jane's upper_squeeze runs": "TRUE", "stretch_stretch_number": "4"}
    submission = submitted(session, "shout", b"aab\n", values)

    work()

    session.refresh(submission)
    assert submission.state is State.COMPLETE
    assert [(result.run.stage, result.name.partition(".")[2]) for result in submission.results][:2] == [
        (1, "upper"),
        (2, "long"),
    ]


def test_it_keeps_the_live_names_of_parameters(session: Session, client: FlaskClient) -> None:
    load(session, sample("current.yaml"))

    [line] = endpoints(client)
    assert line.endswith("&Jane's upper_squeeze runs=[TRUE/FALSE]&stretch_stretch_number=[VALUE]")
    assert [each.required for name in ("Jane's upper", "stretch") for each in task_of(session, name).parameters] == [
        True,
        True,
    ]


@pytest.mark.parametrize("alias", ["task1_task1_all", "old name_all", "all", "task1", "task1_"])
def test_it_keeps_a_name_whatever_it_begins_with(session: Session, client: FlaskClient, alias: str) -> None:
    parameter = row(
        "parameter", 1, task=1, flag="-a", default="x", bool_valued="false", rest_alias=alias, spacing="true"
    )

    report = load(session, BACKEND + task(1, "task1", "cat $P1") + parameter + job(1, "j", 1))

    assert not report.refused
    assert endpoints(client)[0].endswith(f"&{alias}=[VALUE]")
    assert submitted(session, "j", values={alias: "5"}).runs[0].work["arguments"][0]["text"] == "5"


def test_it_takes_empty_fields(session: Session) -> None:
    fields = {"description": "null", "stdout_glob": "''", "custom_exit_status": "''", "custom_exit_behaviour": "null"}

    load(session, BACKEND + task(1, "t", **fields))

    draft = task_of(session, "t")
    assert (draft.description, draft.stdout, draft.exit_statuses) == ("", ".stdout", ())


@pytest.mark.parametrize(
    ("globs", "endings"),
    [("'.a, .b'", (".a", ".b")), ("a", (".a",)), (".tar.gz", (".tar.gz",)), ("'graph.out,.a'", ("graph.out", ".a"))],
)
def test_it_reads_lists_of_endings(session: Session, globs: str, endings: tuple[str, ...]) -> None:
    load(session, BACKEND + task(1, "t", in_glob=globs, out_glob=globs))

    draft = task_of(session, "t")
    assert draft.inputs == draft.outputs == endings


def test_it_changes_nothing_in_code_but_carriage_returns(session: Session) -> None:
    code = "x = '$INPUT $P1'\\r\\n\\tprint( x )  \\r\\n"
    backend = BACKEND.replace("execution_behaviour: 1", "execution_behaviour: 4")

    report = load(session, backend + task(1, "t", f'"{code}"'))

    assert task_of(session, "t").code == "x = '$INPUT $P1'\n\tprint( x )  \n"
    assert lines(report, Group.CHANGED) == []


def test_it_lets_a_command_set_what_the_portal_sets_itself(session: Session) -> None:
    variables = row("environment", 1, task=1, env="LD_LIBRARY_PATH", value="/opt/a b") + row(
        "environment", 2, task=1, env="LC_ALL", value="C"
    )

    report = load(session, BACKEND + task(1, "t") + variables)

    draft = task_of(session, "t")
    assert draft.code == "export LD_LIBRARY_PATH='/opt/a b'; cat $I1"
    assert draft.variables == (("LC_ALL", "C"),)
    assert "LD_LIBRARY_PATH is set by its command" in text(report, Group.CHANGED)


def test_it_switches_off_what_has_no_queue_or_no_backend(session: Session) -> None:
    rows = (
        row("backend", 1, name="b", root_path="/scratch/", server_type="null")
        + task(1, "t")
        + task(2, "u", backend="null")
    )

    load(session, rows + job(1, "j", 1) + job(2, "k", 2))

    for name in ("j", "k"):
        with pytest.raises(Unavailable, match="switched off"):
            submissions.submit(session, order(name))


# 2015 to 2016


def test_it_loads_a_dump_of_2016(session: Session) -> None:
    report = load(session, sample("first.yaml"))

    assert not report.refused
    found = {
        each.name: (each.runner, each.queue, each.languages, each.root_directory) for each in backends.every(session)
    }
    assert found == {
        "local1": ("local", "localhost", ["command"], ""),
        "grid1": ("gridengine", "GridEngine", ["command"], "/scratch/"),
        "rserve1": ("local", "R", ["r"], ""),
    }
    skipped = text(report, Group.SKIPPED)
    for counted in ("1 × auth.permission", "1 × auth.user", "1 × backenduser", "field ip", "field port"):
        assert counted in skipped
    assert "hunter2" not in repr(report)


def test_it_rewrites_the_commands_of_2016(session: Session) -> None:
    report = load(session, sample("first.yaml"))

    assert task_of(session, "task1").code == "ls $P1"
    assert task_of(session, "task2").code == '/usr/bin/grep $P1 "/" $I1 || :'
    assert "-query $I1 " in task_of(session, "psiblast seq").code
    assert "-out_pssm $O1 " in task_of(session, "psiblast seq").code
    changed = lines(report, Group.CHANGED)
    assert "task task1: `ls` is now `ls $P1`" in changed
    assert "task task1: in_glob: in is now .in" in changed
    assert "task task2: output of all but the last command was lost in A_A; here it is kept." in changed


def test_it_gives_what_2016_did_not_say_its_usual_values(session: Session) -> None:
    load(session, sample("first.yaml"))

    draft = task_of(session, "task2")
    [parameter] = draft.parameters
    assert (draft.stdout, draft.on_missing_output) == (".stdout", Then.FAIL)
    assert (parameter.alias, parameter.kind, parameter.spacing, parameter.switchless) == (
        "number",
        Kind.TEXT,
        True,
        False,
    )


def test_it_shows_the_jobs_of_2016(session: Session, client: FlaskClient) -> None:
    load(session, sample("first.yaml"))

    [line] = endpoints(client)
    assert line.startswith("/submission/&job=listing&")
    assert line.endswith("&task1_all=[TRUE/FALSE]&task2_number=[VALUE]")


def test_it_does_not_enable_a_job_with_a_check_by_regular_expression(session: Session) -> None:
    report = load(session, sample("first.yaml"))

    assert job_of(session, "checked").enabled is False
    asked = "its check that the data begin as the regular expression “.+” says"
    assert (
        f"job checked: imported, but not enabled: {asked} cannot be taken over: "
        "choose a validator, such as regex for every line."
    ) in lines(report, Group.CHANGED)


def test_it_says_at_submission_what_is_not_installed(session: Session, client: FlaskClient) -> None:
    load(session, BACKEND.replace("execution_behaviour: 1", "execution_behaviour: 2") + task(1, "t") + job(1, "j", 1))
    fields = {"job": "j", "submission_name": "x", "email": "a@example.org", "input_data": (io.BytesIO(b"x"), "x.txt")}

    answer = client.post("/analytics_automated/submission.json", data=fields)

    assert answer.status_code == 503
    assert "the runner gridengine is not installed" in answer.text


def test_it_redirects_what_2015_redirected_by_hand(session: Session) -> None:
    rows = "".join(
        row("parameter", pk, task=1, flag=flag, default="x", bool_valued=boolean, rest_alias=f"t_{pk}")
        for pk, flag, boolean in ((1, "-z", "false"), (2, "-v", "true"), (3, "-a", "false"))
    )
    sorting = task(1, "t", "sort $FLAGS $OPTIONS $INPUT > $OUTPUT", stdout_glob="null", out_glob=".sorted")

    load(session, BACKEND + sorting + rows)

    draft = task_of(session, "t")
    assert (draft.code, draft.stdout) == ("sort $P2 $P3 $P1 $I1", ".sorted")


def test_it_does_not_guess_what_a_mixed_command_means(session: Session) -> None:
    report = load(session, BACKEND + task(1, "t", "cat $INPUT $I1") + job(1, "j", 1))

    assert task_of(session, "t").code == "cat $INPUT $I1"
    assert job_of(session, "j").enabled is False
    assert "mixes $INPUT and $I1" in text(report, Group.CHANGED)


# 2017 to 2018


def test_it_keeps_queues_of_one_behaviour_apart(session: Session) -> None:
    load(session, sample("second.yaml"))

    assert {each.name: each.queue for each in backends.every(session)} == {"quick": "fast", "patient": "slow"}


@pytest.mark.usefixtures("every_validator")
def test_it_finds_validators_by_their_names(session: Session) -> None:
    report = load(session, sample("second.yaml"))

    assert (job_of(session, "pictures").validators, job_of(session, "pictures").enabled) == (("png",), True)
    assert (job_of(session, "special").validators, job_of(session, "special").enabled) == ((), False)
    assert "job special: imported, but not enabled: its validator site_specific_check" in text(report, Group.CHANGED)


@pytest.mark.usefixtures("every_validator")
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("seq", ("fasta",)), ("pdb_file", ("pdb",)), ("gif", ("gif",)), ("jpeg", ("jpeg",)), ("none", ())],
)
def test_it_knows_the_first_systems_validators(session: Session, theirs: str, ours: tuple[str, ...]) -> None:
    rows = row("validatortypes", 77, name=theirs) + row("validator", 1, job=1, validation_type=77)

    load(session, BACKEND + task(1, "t") + job(1, "j", 1) + rows)

    assert (job_of(session, "j").validators, job_of(session, "j").enabled) == (ours, True)


def test_it_reads_custom_exit_statuses(session: Session) -> None:
    report = load(session, sample("second.yaml"))

    draft = task_of(session, "measure")
    assert (draft.exit_statuses, draft.on_exit_status, draft.on_missing_output) == (
        (1, 2),
        Then.CONTINUE,
        Then.CONTINUE,
    )
    assert draft.variables == (("LC_ALL", "C"),)
    assert "1 × batch" in text(report, Group.SKIPPED)
    assert "hunter2" not in repr(report)


def test_it_counts_a_step_of_any_order_number_from_one(session: Session) -> None:
    load(session, sample("forward.json"))

    assert [run.stage for run in submitted(session, "pictures", values={"measure_total": "auto"}).runs] == [1]


# 2019


def test_it_reads_a_column_for_each_kind_of_configuration(session: Session) -> None:
    load(session, sample("third.yaml"))

    found = [(each.kind, each.name, each.version) for each in task_of(session, "copy").configurations]
    assert found == [("Software", "cat", "9.1"), ("Dataset", "uniref90", "2019_01")]


# The second version


def test_it_reads_the_exit_statuses_of_the_second_version(session: Session) -> None:
    load(session, sample("fourth.yaml"))

    assert (task_of(session, "find").exit_statuses, task_of(session, "find").on_exit_status) == ((1,), Then.CONTINUE)
    assert (task_of(session, "complain").exit_statuses, task_of(session, "complain").on_exit_status) == (
        (3,),
        Then.FINISH,
    )


def test_it_does_not_enable_a_job_whose_exit_statuses_say_two_things(session: Session) -> None:
    report = load(
        session, BACKEND + task(1, "t", custom_success_exit="'1'", custom_terminate_exit="'3'") + job(1, "j", 1)
    )

    assert (task_of(session, "t").exit_statuses, job_of(session, "j").enabled) == ((1,), False)
    assert "it goes on after exit status 1 and ends the job after 3" in text(report, Group.CHANGED)


def test_it_keeps_a_condition_as_a_comparison(session: Session) -> None:
    load(session, sample("fourth.yaml"))

    first, second = jobs.get(session, "wf").current.steps
    assert (first.condition, second.condition) == (None, {"exit_status_of": "find", "is": [1]})
    assert (first.name, jobs.get(session, "wf").enabled) == ("find", True)


def test_it_does_not_enable_a_job_with_a_condition_that_can_never_hold(session: Session) -> None:
    content = sample("fourth.yaml").replace(b"condition: exit_code == 1", b"condition: 'exit_code in (1, 7)'")

    report = load(session, content)

    sentence = "After the exit status 7 of find no step follows"
    assert f"job wf: imported, but not enabled: {sentence}" in text(report, Group.CHANGED)
    revision = jobs.get(session, "wf").current
    assert [step.condition for step in revision.steps] == [None, {"exit_status_of": "find", "is": [1, 7]}]
    assert jobs.get(session, "wf").enabled is False
    assert not load(session, content).of(Group.MADE)


def test_it_evaluates_no_condition(session: Session) -> None:
    report = load(session, sample("fourth.yaml"))

    assert job_of(session, "sly").enabled is False
    assert not Path("/tmp/sly").exists()  # noqa: S108
    assert "job sly: imported, but not enabled: the condition “__import__" in text(report, Group.CHANGED)


def test_it_lists_what_it_does_not_take_over(session: Session) -> None:
    skipped = lines(load(session, sample("fourth.yaml")), Group.SKIPPED)

    assert "field hints: not taken over: task find." in skipped
    assert "field cwl_content: not taken over: job wf." in skipped


def test_it_tells_of_schedules_in_words(session: Session) -> None:
    skipped = lines(load(session, sample("fourth.yaml")), Group.SKIPPED)

    unavailable = "not imported: schedules are not available. It starts the job wf"
    assert f"schedule nightly: {unavailable}, daily 02:00 UTC." in skipped
    assert f"schedule often: {unavailable}, every 30 minutes." in skipped
