"""Files as they come: what is read, and what a hostile one does not get."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from portal.services import jobs, tasks
from portal.services.dumps import Group, Report
from portal.services.dumps.conditions import statuses
from portal.services.dumps.planning import plan
from portal.services.dumps.rows import rows_of
from tests.services.dumps.loading import BACKEND, job, job_of, lines, load, row, sample, task, task_of, text


def test_it_reads_windows_lines_and_a_byte_order_mark(session: Session) -> None:
    content = b"\xef\xbb\xbf" + sample("current.yaml").replace(b"\n", b"\r\n")

    assert not load(session, content).refused
    assert task_of(session, "stretch").code == (
        "with open(outputs['.long'], 'w') as out:\n    out.write(open(inputs['.upper']).read() * 2)\n"
    )


def test_it_reads_json_whose_rows_point_forward(session: Session) -> None:
    load(session, sample("forward.json"))
    from_json = task_of(session, "measure"), job_of(session, "pictures").steps
    for made in (jobs.get(session, "pictures"), tasks.get(session, "measure")):
        session.delete(made)
    session.commit()

    load(session, sample("second.yaml"))

    assert (task_of(session, "measure"), job_of(session, "pictures").steps) == from_json


def test_it_takes_several_files_as_one(session: Session) -> None:
    report = load(session, job(1, "j", 1), task(1, "t"), BACKEND)

    assert report.made_in_words == "1 queue, 1 backend, 1 task, 1 job, 1 step"


def test_it_takes_files_whose_numbers_clash_for_dumps_of_two_systems(session: Session) -> None:
    report = load(session, BACKEND + task(1, "t") + job(1, "j", 1), BACKEND + task(1, "u") + job(1, "k", 1))

    assert report.made_in_words == "1 queue, 1 backend, 2 tasks, 2 jobs, 2 steps"
    assert [step.task for step in job_of(session, "k").steps] == ["u"]


@pytest.mark.parametrize(
    "content",
    [
        "- model: !!python/object/apply:os.system ['touch {}']\n",
        "- !!python/object/new:subprocess.Popen [['touch', '{}']]\n",
        "- model: analytics_automated.task\n  pk: 1\n  fields: !!python/name:os.system ''\n# {}",
        "- fields: {{<<: {{a: 1}}}}\n  model: x\n# {}",
    ],
)
def test_it_makes_nothing_that_a_tag_names(session: Session, tmp_path: Path, content: str) -> None:
    report = load(session, content.format(tmp_path / "made"))

    assert "cannot be read" in text(report, Group.REFUSED)
    assert list(tmp_path.glob("made")) == []


@pytest.mark.parametrize("content", ["- " * 200_000, "[" * 200_000, "? " * 100_000, "- {a: " * 100_000])
def test_it_refuses_lists_in_lists_without_end(session: Session, content: str) -> None:
    assert "cannot be read" in text(load(session, content), Group.REFUSED)


@pytest.mark.parametrize("field", ["runnable", "name", "colour", "cwl_content"])
def test_it_is_not_held_up_by_references_in_references(session: Session, field: str) -> None:
    levels = "".join(f"    a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    bomb = f"- model: analytics_automated.job\n  pk: 1\n  fields:\n    a0: &a0 [x]\n{levels}    {field}: *a11\n"

    report = load(session, bomb + bomb.replace("&a", "&b").replace("*a", "*b").replace("[x]", "[y]"))

    assert "two rows of job have the pk 1" in text(report, Group.REFUSED)


@pytest.mark.parametrize("value", [".inf", ".nan", "-1", "2019-01-01", "[]", "{a: 1}", "x", f"'{'9' * 5000}'"])
@pytest.mark.parametrize("field", ["backend", "name", "in_glob", "custom_exit_status", "incomplete_outputs_behaviour"])
def test_it_answers_to_any_value_of_a_field(field: str, value: str) -> None:
    usual = {"backend": 1, "name": "t", "in_glob": ".a", "out_glob": ".b", "executable": "ls"}

    plan(rows_of(BACKEND + row("task", 1, **{**usual, field: value}), "a file"), Report())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff\x00\x01", "not UTF-8"),
        ("<django-objects/>", "XML"),
        ("", "must hold backends, tasks, jobs"),
        ("[1, 2]", "row 1 is not of the form model, pk, fields"),
        ("- model: analytics_automated.task\n  pk: [1]\n  fields: {}", "row 1 is not of the form"),
        ("- a: [", "cannot be read"),
        (b"- " + b"x" * 10_000_001, "larger than 10 MB"),
    ],
)
def test_it_says_what_is_wrong_with_a_file(session: Session, content: str | bytes, sentence: str) -> None:
    assert sentence in text(load(session, content), Group.REFUSED)


def test_it_tells_what_is_read_otherwise_than_written(session: Session) -> None:
    fields = {"task": 1, "flag": "-x", "bool_valued": "false", "spacing": "true"}
    parameters = "".join(
        row("parameter", number, rest_alias=f"t_{number}", default=written, **fields)
        for number, written in enumerate(("'10'", "10", "no", "1.10", "'no'", "010", "9.1"), 1)
    )
    version = row("configuration", 1, task=1, type=0, name="cat", version="1.10")

    report = load(session, BACKEND + task(1, "t", "cat $P1 $P2 $P3 $P4 $P5 $P6 $P7") + parameters + version)

    draft = task_of(session, "t")
    assert [each.default for each in draft.parameters] == ["10", "10", "False", "1.1", "no", "010", "9.1"]
    assert draft.configurations[0].version == "1.1"
    told = lines(report, Group.CHANGED)
    assert [line.partition(" without")[0] for line in told] == [
        "parameter 3: default: no",
        "parameter 4: default: 1.10",
        "parameter 6: default: 010",
        "configuration cat: version: 1.10",
    ]


def test_it_takes_a_truth_value_in_json_for_the_same(session: Session) -> None:
    content = '[{"model": "analytics_automated.job", "pk": 1, "fields": {"name": "j", "runnable": false}}]'

    load(session, content)

    assert job_of(session, "j").enabled is False


def test_it_reads_a_large_dump_in_seconds(session: Session) -> None:
    permission = (
        "- model: auth.permission\n  fields:\n    name: Can add thing {0}\n    content_type:\n    - some_application\n"
        "    - thing{0}\n    codename: add_thing{0}_" + "x" * 280 + "\n"
    )
    content = "".join(permission.format(number) for number in range(5000))
    content += "".join(row("batch", number, UUID=f"'{number}'", status=2) for number in range(90))
    start = time.process_time()

    report = load(session, content)

    assert len(content) > 2_000_000
    assert report.number(Group.SKIPPED) == 5090
    assert time.process_time() - start < 30


@pytest.mark.parametrize(
    ("condition", "found"), [("exit_code == 1", [1]), (" exit_code==0 ", [0]), ("exit_code in (1, 2)", [1, 2])]
)
def test_it_reads_a_condition_as_a_comparison(condition: str, found: list[int]) -> None:
    assert statuses(condition) == found


@pytest.mark.parametrize(
    "condition", ["exit_code == 999", "exit_code > 1", "True", "exit_code == exit()", "exit_code in []"]
)
def test_it_reads_no_other_condition(condition: str) -> None:
    with pytest.raises(ValueError, match="exit"):
        statuses(condition)


def test_it_shows_no_control_characters_of_a_file(session: Session) -> None:
    report = load(session, '[{"model": "evil\\u001b[2J.x", "pk": 1, "fields": {}}]')

    assert lines(report, Group.SKIPPED) == ["1 × evil\\x1b[2j.x: an unknown model."]


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 10**30])
def test_it_refuses_a_number_that_the_first_system_could_not_hold(session: Session, number: int) -> None:
    rows = BACKEND + task(1, "t") + row("job", 1, name="j", runnable="true")

    report = load(session, rows + row("step", 1, job=1, task=1, ordering=number))

    assert lines(report, Group.REFUSED) == ["step 1: ordering is not a whole number of at most 32 bits."]
