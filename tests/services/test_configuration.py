"""Backends, tasks and jobs from a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.drafts import ParameterDraft, TaskDraft
from portal.domain.errors import Invalid
from portal.domain.limits import USUAL, Limits
from portal.domain.parameters import Kind
from portal.domain.retries import Retries
from portal.models import Backend
from portal.services import backends, configuration, jobs, tasks
from portal.services.jobs import JobDraft, StepDraft
from tests.making import make_task

ENTRY = """
backends:
  - {name: b, runner: local, queue: b, languages: [command]}
tasks:
  - {name: t, language: %s, backend: b, code: "true"}
jobs:
  - {name: j, steps: [{order: 1, task: t}]}
"""


BACKEND = "{name: b, runner: local, queue: b, languages: [command]%s}"
TASK = '{name: t, language: command, backend: b, code: "true"%s}'
JOB = "{name: j, steps: [{order: 1, task: t}]%s}"


def written(backend: str = "", task: str = "", job: str = "") -> str:
    """A file with more words in its three entries."""
    more = (each and f", {each}" for each in (backend, task, job))
    return "backends: [{}]\ntasks: [{}]\njobs: [{}]\n".format(
        *(entry % words for entry, words in zip((BACKEND, TASK, JOB), more, strict=True))
    )


def loaded(session: Session, folder: Path, **more: str) -> tuple[Backend, TaskDraft, JobDraft]:
    (folder / "portal.yaml").write_text(written(**more))
    load(session, folder / "portal.yaml")
    [backend] = backends.every(session)
    return backend, tasks.draft_of(tasks.get(session, "t").current), jobs.draft_of(jobs.get(session, "j"))


def load(session: Session, file: Path) -> configuration.Loaded:
    with transaction(session):
        return configuration.load(session, file, None)


def test_it_loads_the_examples_once(session: Session, examples: configuration.Loaded) -> None:
    with transaction(session):
        again = configuration.load_examples(session, None)

    assert "penguins" in examples.jobs
    assert {step.task.name for step in jobs.get(session, "penguins").current.steps} <= set(examples.tasks)
    assert again == configuration.Loaded()
    assert all(len(task.revisions) == 1 for task in tasks.every(session))


def test_it_leaves_what_exists_by_name(session: Session, tmp_path: Path) -> None:
    file = tmp_path / "portal.yaml"
    file.write_text(ENTRY % "command")
    load(session, file)
    file.write_text((ENTRY % "command").replace('"true"', "changed"))

    assert load(session, file) == configuration.Loaded()
    assert tasks.get(session, "t").current.code == "true"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (ENTRY % "cobol", "tasks, t: language: 'cobol' is not possible; it is one of command"),
        (
            (ENTRY % "command").replace("task: t", "task: nothing"),
            "jobs, j: Choose one of the tasks: there is no nothing. (step",
        ),
        ((ENTRY % "command").replace("runner: local", "runner: moon"), "backends, b: "),
        ((ENTRY % "command").replace("queue: b, ", ""), "backends, b: "),
        ((ENTRY % "command").replace("code:", "codes:"), "tasks, t: "),
    ],
)
def test_it_names_the_entry_that_is_wrong_and_loads_nothing(
    session: Session, tmp_path: Path, text: str, named: str
) -> None:
    file = tmp_path / "portal.yaml"
    file.write_text(text)

    with pytest.raises(Invalid) as refusal:
        load(session, file)

    assert refusal.value.fields["file"].startswith(named)
    assert (tasks.every(session), jobs.every(session)) == ([], [])


def test_it_reads_each_type_of_parameter(session: Session, tmp_path: Path) -> None:
    parameters = (
        "{name: day, type: date, default: '2026-11-21'}, {name: code, pattern: '[A-Z]+', required: true}, "
        "{name: table, type: file, choices: [csv, .tsv]}"
    )

    _, task, _ = loaded(session, tmp_path, task=f"parameters: [{parameters}]")

    assert task.parameters == (
        ParameterDraft("day", kind=Kind.DATE, default="2026-11-21"),
        ParameterDraft("code", pattern="[A-Z]+", required=True),
        ParameterDraft("table", kind=Kind.FILE, choices=(".csv", ".tsv")),
    )


@pytest.mark.parametrize("entry", ["type: date, default: 2026-11-21", "pattern: 5", "type: choice, choices: [yes]"])
def test_it_takes_no_text_for_what_yaml_reads_otherwise(session: Session, tmp_path: Path, entry: str) -> None:
    with pytest.raises(Invalid, match="between quotes"):
        loaded(session, tmp_path, task=f"parameters: [{{name: p, {entry}}}]")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tasks: [", "cannot be read as YAML"),
        ("", "must hold backends, tasks, jobs"),
        ("- tasks", "must hold backends, tasks, jobs"),
        ("tasks:", "tasks must be a list of entries"),
        ("tasks: [{language: python}]", "each with a name"),
        ("tasks: [{name: t, language: python, backend: b, code_file: gone.py}]", "tasks, t: "),
        (
            "tasks: [{name: t, langage: python, backend: b, code: x}]",
            "tasks, t: a task knows no langage; it knows",
        ),
        (
            "tasks: [{name: t, language: r, backend: b, code: x, parameters: [{name: a, type: odd}]}]",
            "tasks, t: parameter a: type: 'odd' is not possible",
        ),
        ("jobs: [{name: j}]", "jobs, j: steps is missing."),
        (
            "jobs: [{name: j, steps: [], validators: [{csv: x}]}]",
            "The validator x is not installed: choose another. (validators 1, name)",
        ),
        (
            "jobs: [{name: j, steps: [], validators: [{a: csv, b: csv}]}]",
            "validators is a text, or a file and a text such as fit_table: csv, not names and values.",
        ),
        (
            "jobs: [{name: j, steps: [], validators: [{a_b: [csv]}]}]",
            "validators, a_b is a text, not a list.",
        ),
        (
            "jobs: [{name: j, steps: [], validators: [{a_b: 'c_d: csv'}]}]",
            "The validator c_d: is not installed: choose another.",
        ),
        (
            "jobs: [{name: j, steps: [], validators: [{a_b: csv}]}]",
            "No task of this job takes a file a_b: name no file, which is for the input. (validators 1, file)",
        ),
        ("jobs: [{name: j, steps: [], validators: [csv x]}]", "jobs, j: “x” is no column with a type"),
    ],
)
def test_it_says_what_is_wrong_with_a_file(session: Session, tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)

    with transaction(session), pytest.raises(Invalid, match=re.escape(words)):
        configuration.load(session, file, None)


def test_it_reads_which_file_a_validator_is_for_with_and_without_quotes(session: Session, tmp_path: Path) -> None:
    make_task(session, "My fit", "command", "true", parameters=(ParameterDraft("table", kind=Kind.FILE),))
    file = tmp_path / "job.yaml"
    file.write_text(
        "jobs:\n- name: j\n  steps: [{task: My fit}]\n  validators:\n"
        "  - My fit_table: csv species:text\n"
        "  - '\"My fit_table\": size 1 kB..10 MB'\n"
        '  - "My fit_table": text\n'
        "  - csv a:text\n"
    )

    with transaction(session):
        configuration.load(session, file, None)

    assert jobs.get(session, "j").current.validators == [
        '"My fit_table": csv species:text',
        '"My fit_table": size 1 kB..10 MB',
        '"My fit_table": text',
        "csv a:text",
    ]


def test_it_reads_limits_retries_and_days_as_people_write_them(session: Session, tmp_path: Path) -> None:
    backend, task, job = loaded(
        session,
        tmp_path,
        backend='limits: {memory_bytes: "1.5 GB", files: null}, ceilings: {wall_seconds: 10 min, cpu_seconds: 2 h}',
        task='limits: {wall_seconds: 60, memory_bytes: "500 MB"}, '
        "retries: {most: 2, on_crash: true, exit_statuses: [75], wait_seconds: 5}",
        job="keep_days: 30",
    )

    usual = {"wall_seconds": 600, "memory_bytes": 1_500_000_000, "output_bytes": 2 * 10**9, "log_bytes": 10**7}
    assert (backend.limits, backend.ceilings) == (usual, {"wall_seconds": 600, "cpu_seconds": 7200})
    assert task.limits == Limits(wall_seconds=60, memory_bytes=500_000_000)
    assert task.retries == Retries(2, on_crash=True, exit_statuses=(75,), wait_seconds=5)
    assert job.keep_days == 30


def test_it_leaves_what_is_not_written_as_usual(session: Session, tmp_path: Path) -> None:
    backend, task, job = loaded(session, tmp_path)

    assert (Limits.of(backend.limits), backend.ceilings) == (USUAL, {})
    assert (task.limits, task.retries, job.keep_days) == (Limits(), Retries(), None)


def test_it_understands_a_time_limit_by_itself(session: Session, tmp_path: Path) -> None:
    backend, task, _ = loaded(session, tmp_path, backend="wall_seconds: 90", task="wall_seconds: 60")

    assert (backend.limits["wall_seconds"], task.limits) == (90, Limits(wall_seconds=60))


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"task": "limits: {memory: 5}"}, "tasks, t: limits knows no memory; it knows wall_seconds,"),
        ({"task": "limits: [5]"}, "tasks, t: limits holds names and values, such as {wall_seconds: 60}."),
        ({"task": "limits: {memory_bytes: big}"}, "tasks, t: memory_bytes: “big” is not a size"),
        ({"task": "limits: {wall_seconds: 1.5}"}, "tasks, t: wall_seconds: 1.5 is not a whole number."),
        ({"task": "limits: {files: true}"}, "tasks, t: files: True is not a whole number."),
        ({"task": "limits: {files: 0}"}, "tasks, t: Number of files: give at least 1"),
        ({"task": "wall_seconds: 5, limits: {wall_seconds: 5}"}, "tasks, t: wall_seconds is given twice"),
        ({"task": "retries: {many: 2}"}, "tasks, t: retries knows no many; it knows most, on_crash,"),
        ({"task": "retries: {most: 2}"}, "tasks, t: Choose after which failures"),
        ({"task": "retries: {most: two}"}, "tasks, t: most: “two” is not a number"),
        ({"task": "retries: {on_time: maybe}"}, "tasks, t: on_time is true or false, not 'maybe'."),
        ({"task": "retries: {exit_statuses: 75}"}, "tasks, t: exit_statuses is a list, such as [75]."),
        ({"task": "retries: {exit_statuses: [x]}"}, "tasks, t: exit_statuses: 'x' is not a whole number."),
        ({"backend": "ceilings: {disk: 5}"}, "backends, b: ceilings knows no disk"),
        ({"backend": "limits: {wall_seconds: 2 h}, ceilings: {wall_seconds: 1 h}"}, "backends, b: Wall time: the"),
        ({"backend": "ceilings: {wall_seconds: 60}", "task": "wall_seconds: 61"}, "tasks, t: The backend b allows"),
        ({"job": "keep_days: 0"}, "jobs, j: Keep results for 1 to 36,500 days"),
        ({"job": "keep_days: soon"}, "jobs, j: keep_days: “soon” is not a number"),
    ],
)
def test_it_names_the_limit_that_is_wrong(
    session: Session, tmp_path: Path, more: dict[str, str], sentence: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        loaded(session, tmp_path, **more)

    assert refusal.value.fields["file"].startswith(sentence)


STEPS = """\
tasks:
  - name: fit
    language: command
    backend: b
    code: "true"
    exit_statuses: [3]
    parameters: [{name: loud, type: boolean}]
jobs:
  - {name: inner, steps: [{task: fit}, {task: fit}]}
  - name: outer
    steps:
      - {task: fit}
      - {job: inner, name: again, needs: [fit], when: {exit_status_of: fit, is: 3}}
      - {task: fit, order: 7, when: {parameter: fit_loud, is: true}}
      - {task: fit, when: {file: csv, exists: false}}
"""


def test_it_reads_needs_conditions_and_jobs_as_steps(session: Session, tmp_path: Path) -> None:
    (tmp_path / "portal.yaml").write_text(f"backends: [{BACKEND % ''}]\n{STEPS}")

    assert load(session, tmp_path / "portal.yaml").jobs == ("inner", "outer")

    assert [step.order for step in jobs.draft_of(jobs.get(session, "inner")).steps] == [1, 2]
    assert jobs.draft_of(jobs.get(session, "outer")).steps == (
        StepDraft(1, "fit"),
        StepDraft(2, name="again", needs=("fit",), condition={"exit_status_of": "fit", "is": [3]}, job="inner"),
        StepDraft(4, "fit", condition={"file": ".csv", "exists": False}),
        StepDraft(7, "fit", condition={"parameter": "fit_loud", "is": ["TRUE"]}),
    )


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("needs: [fit]", "needs: fit", "jobs, outer: needs is a list of steps' names, such as [clean]."),
        (
            "needs: [fit]",
            "need: [fit]",
            "jobs, outer: a step knows no need; it knows name, task, job, order, needs, when.",
        ),
        ("order: 7", "order: last", "jobs, outer: order: 'last' is not a whole number."),
        ("{job: inner,", "{job: outer,", "jobs, outer: There is no job outer"),
        ("is: true", "was: true", "jobs, outer: A condition has two fields"),
        ("name: again", "name: 7", "jobs, outer: "),
        ("{task: fit, order", "{task: [], order", "jobs, outer: "),
        ("- {task: fit}\n", "- fit\n", "jobs, outer: a step holds names and values"),
    ],
)
def test_it_names_what_is_wrong_with_a_step(
    session: Session, tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    assert old in STEPS
    (tmp_path / "portal.yaml").write_text(f"backends: [{BACKEND % ''}]\n{STEPS.replace(old, new)}")

    with pytest.raises(Invalid) as refusal:
        load(session, tmp_path / "portal.yaml")

    assert refusal.value.fields["file"].startswith(sentence)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            {"task": "on_exit_status: stop"},
            "on_exit_status: 'stop' is not possible; it is one of continue, finish",
        ),
        ({"task": "on_missing_output: [fail]"}, "on_missing_output: a list is not possible; it is one of continue,"),
        (
            {"task": "exit_statuses: [300]"},
            "'300' is no exit status: give whole numbers from 0 to 255. (exit_s",
        ),
        ({"task": 'exit_statuses: ["x"]'}, "exit_statuses: 'x' is not a whole number."),
        ({"task": "exit_statuses: 3"}, "exit_statuses is a list, such as [75]."),
        ({"task": "inputs: .txt"}, "inputs is a list of endings, such as [.csv]."),
        ({"task": "outputs: [1]"}, "outputs: put 1 between quotes."),
        ({"task": "stdout: yes"}, "stdout: put True between quotes."),
        ({"task": "description: [a]"}, "description is a text, not a list."),
        ({"task": "variables: [A]"}, "variables holds names and texts, such as {LC_ALL: C}, not a list."),
        ({"task": "variables: {A: 1}"}, "variables, A: put 1 between quotes."),
        ({"task": "parameters: {name: a}"}, "parameters is a list, such as [{name: alpha, type: decimal}]."),
        ({"task": "parameters: [a]"}, "parameters: a parameter holds names and values, such as"),
        ({"task": "parameters: [{type: text}]"}, "parameters: name is missing."),
        ({"task": "parameters: [{name: a, colour: red}]"}, "parameter a: a parameter knows no colour; it knows name,"),
        (
            {"task": "parameters: [{name: a, type: colour}]"},
            "parameter a: type: 'colour' is not possible; it is",
        ),
        ({"task": "parameters: [{name: a, minimum: low}]"}, "parameter a: minimum: 'low' is not a number, such as"),
        ({"task": "parameters: [{name: a, spacing: maybe}]"}, "parameter a: spacing is true or false, not 'maybe'."),
        ({"task": "parameters: [{name: a, choices: x}]"}, "parameter a: choices is a list of texts, such as"),
        ({"task": "configurations: [{kind: Software, name: R, version: 4.2}]"}, "configurations: version: put 4.2"),
        ({"task": "code_file: x.sh"}, "give either code or code_file."),
        ({"task": "retries: {most: -1}"}, "Give a number of retries from 0 to 20. (retries)"),
        ({"job": "public: maybe"}, "public is true or false, not 'maybe'."),
        ({"job": "enabled: 1"}, "enabled is true or false, not 1."),
        ({"job": "description: 5"}, "description: put 5 between quotes."),
        ({"job": "validators: csv"}, "validators is a list of texts, such as [csv]."),
        ({"job": "keep_days: 1 month"}, "keep_days: “1 month” is not a number of days: write it like 30, 30 days or"),
        ({"job": "keep_days: [30]"}, "keep_days: a list is not a whole number."),
        ({"backend": "enabled: perhaps"}, "enabled is true or false, not 'perhaps'."),
        ({"backend": "options: [a]"}, "options holds names and texts"),
        ({"backend": "root_directory: 5"}, "root_directory: put 5 between quotes."),
    ],
)
def test_it_checks_each_field_and_says_what_is_possible(
    session: Session, tmp_path: Path, more: dict[str, str], sentence: str
) -> None:
    [kind] = more

    with pytest.raises(Invalid) as refusal:
        loaded(session, tmp_path, **more)

    assert refusal.value.fields["file"].startswith(f"{kind}s, {kind[0]}: {sentence}")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("languages: [command]", "languages: command", "backends, b: languages is a list of languages, such as"),
        ("languages: [command]", "languages: [perl]", "backends, b: languages: 'perl' is not possible; it is one of"),
        ("runner: local", "runner: moon", "backends, b: runner: 'moon' is not possible; it is one of local."),
        ("queue: b", "queue: 7", "backends, b: queue: put 7 between quotes."),
        ("backend: b", "backend: c", "tasks, t: There is no backend c: choose another. (backend)"),
        ("{order: 1, task: t}", "{order: 1}", "jobs, j: step 1: give it a task or a job."),
        ("{order: 1, task: t}", "{order: x, task: t}", "jobs, j: order: 'x' is not a whole number."),
        ("steps: [{order: 1, task: t}]", "steps: t", "jobs, j: steps is a list, such as [{task: fit}]."),
    ],
)
def test_it_checks_what_every_entry_needs(session: Session, tmp_path: Path, old: str, new: str, sentence: str) -> None:
    assert old in written()
    (tmp_path / "portal.yaml").write_text(written().replace(old, new))

    with pytest.raises(Invalid) as refusal:
        load(session, tmp_path / "portal.yaml")

    assert refusal.value.fields["file"].startswith(sentence)


@pytest.mark.parametrize(("said", "days"), [("30", 30), ("30 days", 30), ("8 weeks", 56), ("null", None)])
def test_it_takes_days_with_and_without_their_unit(
    session: Session, tmp_path: Path, said: str, days: int | None
) -> None:
    _, _, job = loaded(session, tmp_path, job=f"keep_days: {said}")

    assert job.keep_days == days
