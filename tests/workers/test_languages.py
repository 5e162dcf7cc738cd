"""Commands, Python and R as analysts write them, run by real launchers and real interpreters."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from portal.domain.drafts import ParameterDraft
from portal.domain.parameters import Kind
from portal.domain.states import State
from portal.models import Run, Submission
from portal.services import logs, results
from tests.levels import ways

pytestmark = [pytest.mark.usefixtures("level"), pytest.mark.parametrize("level", ways(), indirect=True)]

ODD = 'it\'s "a" $(id) `b` \\ %41 😀\nline two\ttab '
PARAMETERS = (
    ParameterDraft("text", flag="--text", required=True),
    ParameterDraft("small", flag="--small", kind=Kind.DECIMAL, required=True),
    ParameterDraft("whole", flag="-n", kind=Kind.INTEGER, required=True, spacing=False),
    ParameterDraft("on", flag="--on", kind=Kind.BOOLEAN, required=True),
    ParameterDraft("off", flag="--off", kind=Kind.BOOLEAN, required=True),
    ParameterDraft("light colour", flag="-c", kind=Kind.CHOICE, choices=("sky blue", "red"), required=True),
)
VALUES = {
    "t_text": ODD, "t_small": "1e-5", "t_whole": "-1", "t_on": "TRUE", "t_off": "FALSE", "t_light colour": "sky blue",
}  # fmt: skip
DATA = b"\x00\xffa,b\r\n'\"\n" + "é😀".encode()


def only(submission: Submission) -> Run:
    [run] = submission.runs
    return run


def content(session: Session, submission: Submission, ending: str) -> bytes:
    with results.open_file(results.find(session, submission.uuid + ending)) as stream:
        return stream.read()


def errors(session: Session, submission: Submission) -> str:
    return logs.last_lines(session, only(submission), "stderr", 200)


def test_it_hands_a_command_its_files_and_values_byte_for_byte(
    session: Session, done: Callable[..., Submission]
) -> None:
    code = "cp $I1 $O1\nprintf '%s\\0' $P1 $P2 $P3 $P4 $P5 $P6 > $O2"

    submission = done(
        "command", code, DATA, VALUES, inputs=(".bin",), outputs=(".copy", ".words"), parameters=PARAMETERS
    )

    assert content(session, submission, ".copy") == DATA
    words = content(session, submission, ".words").decode().split("\0")
    assert words == ["--text", ODD, "--small", "1e-5", "-n-1", "--on", "-c", "sky blue", ""]


def test_it_hands_python_its_files_and_typed_values_byte_for_byte(
    session: Session, done: Callable[..., Submission]
) -> None:
    code = (
        "import json, shutil, sys\n"
        "shutil.copyfile(inputs['.bin'], outputs['.copy'])\n"
        "def told():\n    return params, sys.argv, __name__, __file__\n"
        "json.dump(told(), open(outputs['.json'], 'w'))\n"
    )

    submission = done("python", code, DATA, VALUES, inputs=(".bin",), outputs=(".copy", ".json"), parameters=PARAMETERS)

    assert content(session, submission, ".copy") == DATA
    params, argv, name, file = json.loads(content(session, submission, ".json"))
    assert params == {
        "text": ODD, "small": 1e-5, "whole": -1, "on": True, "off": False, "light colour": "sky blue",
    }  # fmt: skip
    assert (argv, name, Path(file).name) == (["task.py"], "__main__", "task.py")


def test_it_hands_r_its_files_and_typed_values_byte_for_byte(session: Session, done: Callable[..., Submission]) -> None:
    code = (
        "invisible(file.copy(inputs[['.bin']], outputs[['.copy']]))\n"
        "writeBin(charToRaw(enc2utf8(params$text)), outputs[['.text']])\n"
        "cat(is.integer(params$whole), params$whole, params$small == 1e-5, params$on, params$off,\n"
        "    params[['light colour']], sep = '\\n')\n"
        "params$whole + 1L\n"
    )

    submission = done(
        "r", code, DATA, VALUES, inputs=(".bin",), outputs=(".copy", ".text"), stdout=".txt", parameters=PARAMETERS
    )

    assert only(submission).reason == "Completed step: 1"
    assert content(session, submission, ".copy") == DATA
    assert content(session, submission, ".text").decode() == ODD
    assert content(session, submission, ".txt").decode().splitlines() == [
        "TRUE", "-1", "TRUE", "TRUE", "FALSE", "sky blue", "[1] 0",
    ]  # fmt: skip


def test_it_shows_a_python_error_with_the_analysts_own_line_and_without_the_drivers(
    session: Session, done: Callable[..., Submission]
) -> None:
    submission = done("python", "def f(x):\n    return 1 / x\n\nf(0)\n")

    shown = errors(session, submission)
    assert (submission.state, only(submission).exit_status) == (State.ERROR, 1)
    assert 'File "task.py", line 4, in <module>' in shown
    assert 'File "task.py", line 2, in f\n    return 1 / x' in shown
    assert shown.endswith("ZeroDivisionError: division by zero")
    assert "driver" not in shown


def test_it_shows_where_python_cannot_read_the_code(session: Session, done: Callable[..., Submission]) -> None:
    submission = done("python", "x = 1\ny = 2\nprint(x y)\n")

    shown = errors(session, submission)
    assert only(submission).exit_status == 1
    assert 'File "task.py", line 3' in shown and "SyntaxError" in shown
    assert "driver" not in shown and "Traceback" not in shown


def test_it_shows_an_r_error_inside_a_function_with_the_analysts_own_line(
    session: Session, done: Callable[..., Submission]
) -> None:
    submission = done("r", "f <- function(x) {\n  stop('no such column: ', x)\n}\n\ncat('begun\\n')\nf('é')\n")

    assert only(submission).exit_status == 1
    assert errors(session, submission) == 'Error in f("é") (task.R, line 2): no such column: é'
    assert logs.whole(session, only(submission), "stdout") == b"begun\n"


def test_it_shows_the_line_of_an_r_error_outside_all_functions(
    session: Session, done: Callable[..., Submission]
) -> None:
    submission = done("r", "x <- 1\n\nstop('too few rows')\n")

    assert "(task.R, line 3): too few rows" in errors(session, submission)


def test_it_shows_where_r_cannot_read_the_code(session: Session, done: Callable[..., Submission]) -> None:
    submission = done("r", "x <- 1\ny <- )\n")

    assert only(submission).exit_status == 1
    assert errors(session, submission).startswith("Error: task.R:2:6: unexpected ')'")


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("command", "exit 3"),
        ("python", "import sys; sys.exit(3)"),
        ("python", "quit(3)"),
        ("python", "import os; os._exit(3)"),
        ("r", "quit(status = 3)"),
        ("r", "q('no', 3, runLast = FALSE)"),
    ],
)
def test_it_ends_with_the_status_that_the_code_chose(language: str, code: str, done: Callable[..., Submission]) -> None:
    run = only(done(language, code))

    assert (run.state, run.exit_status) == (State.ERROR, 3)
    assert run.reason == "Step 1 (t): Failed with exit status 3"


def test_it_captures_the_output_of_every_line_of_a_command(session: Session, done: Callable[..., Submission]) -> None:
    submission = done("command", "echo a; echo b | tr b c\ngrep nothing $I1 || :", inputs=(".txt",), stdout=".out")

    assert content(session, submission, ".out") == b"a\nc\n"


def test_it_runs_python_with_the_interpreter_and_the_packages_of_the_portal(
    session: Session, done: Callable[..., Submission]
) -> None:
    submission = done("python", "import numpy, sys\nprint(sys.executable)", stdout=".txt")

    assert content(session, submission, ".txt").decode().strip() == sys.executable
