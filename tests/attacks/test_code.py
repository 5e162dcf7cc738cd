"""What analysts write is kept byte by byte, never read by the portal itself, and ends as its wait status says."""

from __future__ import annotations

import html
import subprocess
from typing import Any

import pytest
from sqlalchemy import select

from portal.database import transaction
from portal.domain.limits import Limits
from portal.models import Job, Submission, Task
from portal.services import jobs, tasks
from tests.attacks.hostile import MARKUP, A, Site, active, form, site
from tests.making import work_through

__all__ = ["site"]

RUNS_WHEN_READ = [
    "@exec(\"open('{canary}', 'w')\")\ndef f(): pass",
    "def f(x=open('{canary}', 'w')): pass",
    "from evil import *",
    "class M(type):\n    def __new__(*a): open('{canary}', 'w')\nclass A(metaclass=M): pass",
    "import os; os.system('touch {canary}')",
    "# -*- coding: unicode_escape -*-\n\\u006fpen('{canary}', 'w')",
    "system('touch {canary}')",
    "touch {canary}",
]
HEAVY = [
    "(" * 100_000,
    "-" * 190_000 + "1",
    "lambda:" * 10_000,
    "[" * 99_999 + "]" * 99_999,
    "$(" * 60_000 + ")" * 60_000,
    "$P1 " * 49_000,
    "${" * 60_000 + "$P1",
    "cat <<E\n" + "\n" * 190_000,
    "<<E " * 45_000,
    "case " + ")" * 190_000,
    '"$(' * 60_000,
    "`" * 190_000,
    "$P" + "1" * 190_000,
    "$((" * 60_000,
    "x" * 10_000_000,
    "'" * 199_999,
    "\\" * 199_999,
    "(" * 10_000_000,
    "\n$P1" * 40_000,
]


def body(site: Site, code: str, language: str, **more: Any) -> dict[str, Any]:
    return {"name": site.name("code"), "language": language, "backend": "here", "code": code, **more}


@pytest.mark.attack("CE-01")
@pytest.mark.parametrize("code", RUNS_WHEN_READ)
@pytest.mark.parametrize("language", ["command", "python", "r"])
def test_it_runs_nothing_of_what_it_saves_or_shows(site: Site, code: str, language: str) -> None:
    fields = body(site, code.format(canary=site.canary), language)

    assert site.ask("POST", "/tasks/preview", data=fields).status_code == 200
    assert site.ask("POST", "/tasks/new", data=fields).status_code in (200, 303, 422)
    assert site.json("POST", "/tasks", {**fields, "name": site.name()}).status_code in (201, 422)


@pytest.mark.attack("CE-02")
@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
@pytest.mark.parametrize("code", HEAVY, ids=range(len(HEAVY)))
@pytest.mark.parametrize("language", ["command", "python"])
def test_it_saves_or_refuses_heavy_code_soon(site: Site, code: str, language: str) -> None:
    fields = body(site, code, language)
    parameter = {"parameters-0-alias": "v", "parameters-0-default": "x" * 9000}

    assert site.ask("POST", "/tasks/preview", data={**fields, **parameter}).status_code in (200, 413)
    assert site.ask("POST", "/tasks/new", data={**fields, **parameter}).status_code in (303, 413, 422)
    assert site.json("POST", "/tasks", {**fields, "name": site.name()}).status_code in (201, 413, 422)


@pytest.mark.attack("CE-02")
def test_it_reads_no_more_rows_than_a_task_may_have(site: Site) -> None:
    rows = {f"parameters-{n}-alias": f"a{n}" for n in range(100_000)}

    answer = site.ask("POST", "/tasks/new", data={**body(site, "true", "command"), **rows})

    assert answer.status_code in (400, 413, 422)


CLOSING = [
    "</script><script>alert(1)</script>",
    "</textarea>",
    "]]>",
    "-->",
    "<!--",
    "&lt;&amp;",
    "\u2028",
    MARKUP,
    "'\"`",
    "</TEXTAREA >",
]


@pytest.mark.attack("CE-03", "CE-14")
@pytest.mark.parametrize("code", CLOSING)
def test_its_editor_shows_the_code_as_it_was_written(site: Site, code: str) -> None:
    fields = body(site, f"x\n{code}\ny", "python")
    assert site.ask("POST", "/tasks/new", data=fields).status_code == 303

    page = site.ask("GET", f"/tasks/{fields['name']}").get_data(as_text=True)

    shown = page.partition('name="code"')[2].partition(">")[2].partition("</textarea>")[0]
    assert html.unescape(shown).strip() == fields["code"]


@pytest.mark.attack("CE-04")
@pytest.mark.parametrize(
    ("code", "kept"),
    [
        ("a\r\nb", "a\nb"),
        ("\ufeffa", "\ufeffa"),
        ("\ta\t", "\ta\t"),
        ("é日👩‍🔬", "é日👩‍🔬"),
        ("a\0b", None),
        ("x" * 1_000_000, None),
        ("a\x1bb", "a\x1bb"),
        ("a\u202eb", "a\u202eb"),
        ("\ud800", None),
        ("   ", None),
    ],
    ids=range(10),
)
def test_it_keeps_code_as_it_is_or_not_at_all(site: Site, code: str, kept: str | None) -> None:
    fields = body(site, code, "python")

    answer = site.json("POST", "/tasks", fields)

    with site.session() as session:
        made = session.scalar(select(Task).where(Task.name == fields["name"]))
        assert (made.current.code if made else None) == kept
    assert answer.status_code == (201 if kept else 422) or (answer.status_code == 400 and not kept)


def ended(site: Site, code: str, language: str = "python", **more: Any) -> Submission:
    """The submission of a job of this code, after it ran for real."""
    usual: dict[str, Any] = {"limits": Limits(wall_seconds=1), "stdout": "", **more}
    job = site.service(code, language, **usual)
    answer = site.ask("POST", f"{A}/submission.json", site.nobody, data=form(job))
    assert answer.status_code == 201
    work_through()
    with site.session() as session:
        found = session.scalars(select(Submission).where(Submission.batch.has(uuid=answer.json["UUID"]))).one()
        page = site.nobody.get(f"/runs/{found.uuid}")
        assert (page.status_code, active(page.get_data(as_text=True))) == (200, [])
        return found


FAKES = [
    'print(\'{"state": "complete"}\')',
    "print('::set-output name=state::COMPLETE')",
    "print('exit status 0')",
    "open('outcome.json', 'w').write('{\"ending\": \"exited\", \"exit_status\": 0}')",
    "open('verdict', 'w').write('complete')",
]


@pytest.mark.attack("CE-05")
@pytest.mark.parametrize("code", FAKES)
def test_a_verdict_is_never_what_code_says_of_itself(site: Site, code: str) -> None:
    assert ended(site, f"{code}\nraise SystemExit(1)").state == "ERROR"


ENDS = {
    "import sys; sys.exit(3)": "ERROR",
    "import os; os._exit(0)": "COMPLETE",
    "import os; os.kill(os.getpid(), 11)": "ERROR",
    "import os; os.kill(os.getpid(), 9)": "ERROR",
    "import os; os.kill(os.getpid(), 19)": "ERROR",
    "import os; os._exit(255)": "ERROR",
    "import os; [os.close(n) for n in (0, 1, 2)]; os._exit(0)": "COMPLETE",
    "raise KeyboardInterrupt": "ERROR",
    "while True: pass": "ERROR",
    "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)": "ERROR",
    "def f(): f()\nf()": "ERROR",
    "(": "ERROR",
    "import os; os.killpg(0, 9)": "ERROR",
    "import ctypes; ctypes.string_at(0)": "ERROR",
    "import sys; sys.exit('x' * 10**6)": "ERROR",
}


@pytest.mark.attack("CE-06")
@pytest.mark.parametrize("code", ENDS)
def test_a_run_ends_as_its_wait_status_says(site: Site, code: str) -> None:
    assert ended(site, code).state == ENDS[code]


LOUD = {
    "line": ("print('x' * 1_000_000)", "standard output"),
    "no line end": ("import sys; [sys.stdout.write('y' * 10**6) for _ in range(100)]", "standard output"),
    "no text": ("import os; [os.write(n, b'\\xff\\xfe\\x00' * 9000) for n in (1, 2, 1)]", ""),
    "both": ("import os\nfor n in range(3000): os.write(1, b'o' * 9); os.write(2, b'e' * 99)", "standard error"),
}


@pytest.mark.attack("CE-07")
@pytest.mark.parametrize("kind", LOUD)
def test_it_cuts_what_is_too_loud_and_ends_the_run(site: Site, kind: str) -> None:
    code, stream = LOUD[kind]

    found = ended(site, code, limits=Limits(wall_seconds=30, log_bytes=100_000))

    page = site.nobody.get(f"/runs/{found.uuid}").get_data(as_text=True)
    assert found.state == ("ERROR" if stream else "COMPLETE")
    assert (f"its {stream} reached the log limit of 100.0" in page) is bool(stream)
    assert len(page) < 1_000_000


LEAVERS = {
    "child": "import subprocess; subprocess.Popen(['sleep', '{mark}'])",
    "session": "import subprocess; subprocess.Popen(['sleep', '{mark}'], start_new_session=True)",
    "twice": "import os\nif not os.fork():\n    os.setsid()\n    if not os.fork(): os.execvp('sleep', ['sleep', '{mark}'])\n    os._exit(0)",  # noqa: E501
    "deaf": "import os, signal\nif not os.fork():\n    signal.signal(15, signal.SIG_IGN); os.execvp('sleep', ['sleep', '{mark}'])",  # noqa: E501
}


@pytest.mark.attack("CE-08")
@pytest.mark.parametrize("kind", LEAVERS)
def test_nothing_of_a_run_outlives_it(site: Site, kind: str) -> None:
    mark = f"86{4000 + next(site.numbers)}"

    ended(site, LEAVERS[kind].replace("{mark}", mark), limits=Limits(wall_seconds=5))

    assert subprocess.run(["pgrep", "-f", f"sleep {mark}"], check=False, capture_output=True).stdout == b""


@pytest.mark.attack("CE-09")
@pytest.mark.parametrize(
    "code",
    ["tool $X $I9", "tool $P3", "tool $O1", "echo 'a", 'echo "a', "echo `a", "echo $(a", "cat <<E", "$VALUE", ""],
)
def test_it_refuses_a_command_that_cannot_be_meant(site: Site, code: str) -> None:
    answer = site.json("POST", "/tasks", body(site, code, "command"))

    assert answer.status_code == 422
    assert "code" in answer.json["fields"]


@pytest.mark.attack("CE-09")
def test_a_program_that_is_not_there_fails_its_run(site: Site) -> None:
    assert ended(site, "/no/such/program", "command").state == "ERROR"


@pytest.mark.attack("CE-11")
def test_what_waits_runs_as_it_was_submitted(site: Site) -> None:
    job = site.service("import sys; sys.exit(0)", "python", stdout="")
    answer = site.ask("POST", f"{A}/submission.json", site.nobody, data=form(job))
    with site.session() as session, transaction(session):
        task = tasks.get(session, job)
        tasks.save(session, tasks.TaskDraft(job, "python", "here", f"open({str(site.canary)!r}, 'w')"), None, task)

    work_through()

    with site.session() as session:
        found = session.scalars(select(Submission).where(Submission.batch.has(uuid=answer.json["UUID"]))).one()
        assert (found.state, found.runs[0].task_revision) == ("COMPLETE", 1)
    site.alarm()


@pytest.mark.attack("CE-13")
@pytest.mark.parametrize("gone", ["deleted", "disabled", "private", "emptied"])
def test_a_job_that_goes_between_form_and_answer_is_refused(site: Site, gone: str) -> None:
    name = site.service()
    assert site.ask("GET", f"/jobs/{name}/run", site.nobody).status_code == 200
    with site.session() as session, transaction(session):
        job = session.scalars(select(Job).where(Job.name == name)).one()
        jobs.delete(session, job) if gone == "deleted" else None
        job.enabled, job.public = gone != "disabled", gone != "private"
        job.current.steps = [] if gone == "emptied" else job.current.steps
    before = site.counts()["submission"]

    for path in (f"{A}/submission.json", "/api/v1/submissions"):
        fields = (
            {"name": "probe", **form(name)}
            if "v1" not in path
            else {each: value for each, value in {**form(name), "name": "probe"}.items() if each != "submission_name"}
        )
        assert site.app.test_client().post(path, data=fields).status_code in (400, 403, 404, 409, 503)
    fields = {"submission_name": "probe", "email": "a@b.org", "pasted": "x"}
    assert site.app.test_client().post(f"/jobs/{name}/run", data=fields).status_code in (
        302,
        303,
        403,
        404,
        409,
        422,
        503,
    )
    assert site.counts()["submission"] == before


@pytest.mark.attack("CE-13")
def test_a_run_is_shown_when_all_that_it_ran_is_gone(site: Site) -> None:
    found = ended(site, "pass")
    with site.session() as session, transaction(session):
        job = jobs.get(session, found.job_name)
        jobs.delete(session, job)
        session.flush()
        tasks.delete(session, tasks.get(session, found.job_name))

    for path in (
        f"/runs/{found.uuid}",
        "/runs",
        f"{A}/submission/single/{found.uuid}.json",
        "/jobs",
        "/tasks",
        f"{A}/jobtimes/",
    ):
        assert site.ask("GET", path).status_code == 200
